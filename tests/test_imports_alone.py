"""Every module of edge and engines imports with only NumPy installed, each by itself. Runs on Python 3.6 too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Runs in an interpreter of its own. Only NumPy may come from site-packages; before each module those of the project
# are forgotten, so that none rests on one imported earlier.
IMPORTER = r"""
import importlib.abc
import importlib.machinery
import sys
import traceback

SITE = ("site-packages", "dist-packages")


class OnlyNumpy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("numpy", "edge", "engines"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        places = [] if spec is None else [spec.origin or ""] + list(spec.submodule_search_locations or [])
        if any(site in place for place in places for site in SITE):
            raise ModuleNotFoundError("kept away by the test: " + name, name=name)
        return None


def forget(belongs):
    for name in [name for name in sys.modules if belongs(name)]:
        del sys.modules[name]


import numpy

forget(lambda name: any(site in (getattr(sys.modules[name], "__file__", None) or "") for site in SITE)
       and name.partition(".")[0] != "numpy")
sys.meta_path.insert(0, OnlyNumpy())
failed = 0
for module in sys.argv[1:]:
    forget(lambda name: name.partition(".")[0] in ("edge", "engines"))
    try:
        importlib.import_module(module)
    except BaseException:
        failed += 1
        print("--- %s" % module)
        traceback.print_exc(file=sys.stdout)
sys.exit(1 if failed else 0)
"""


def module_names(package):
    """Dotted names of a package's modules; `__main__` starts the program and is left out."""
    sources = sorted((ROOT / package).rglob("*.py"))
    parts = [source.relative_to(ROOT).with_suffix("").parts for source in sources if source.stem != "__main__"]
    return [".".join(part for part in names if part != "__init__") for names in parts]


def import_alone(modules, folder=ROOT):
    return subprocess.run(
        [sys.executable, "-c", IMPORTER] + list(modules),
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=300,
    )


@pytest.mark.parametrize("package", ["edge", "engines"])
def test_every_module_imports_with_only_numpy(package):
    modules = module_names(package)
    done = import_alone(modules)
    assert len(modules) > 3
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("source", "status"),
    [("import numpy, json, sqlite3", 0), ("import soxr", 1), ("import paho.mqtt.client", 1), ("import pytest", 1)],
)
def test_only_numpy_is_let_through(tmp_path, source, status):
    (tmp_path / "module_under_test.py").write_text(source + "\n")
    assert import_alone(["module_under_test"], folder=tmp_path).returncode == status
