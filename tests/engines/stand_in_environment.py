"""Makes a stand-in for one version of TensorRT, and for PyCUDA, importable here and in children."""

import contextlib
import importlib
import os
import sys
from pathlib import Path

STAND_INS = Path(__file__).resolve().parent / "tensorrt_stand_ins"
ROOT = STAND_INS.parent.parent.parent
VERSIONS = ("v8_2", "v8_6", "v10_3", "v11")
_MODULES = ("tensorrt", "pycuda", "pycuda.driver", "tests.engines.tensorrt_stand_ins.surface")


@contextlib.contextmanager
def installed(monkeypatch, version):
    """For as long as this lasts.  Yields what they found wrong in their use: to be empty at the end."""
    paths = [str(STAND_INS / version), str(STAND_INS / "cuda"), str(ROOT)]
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths + ([inherited] if inherited else [])))
    monkeypatch.setattr(sys, "path", paths[:2] + sys.path)
    _forget()
    try:
        yield importlib.import_module("tests.engines.tensorrt_stand_ins.surface").violations
    finally:
        _forget()


def _forget():
    for name in _MODULES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
