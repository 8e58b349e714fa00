"""The child of `engines.compile`: one request on standard input, JSON lines on standard output, then the end.

Lines: {"progress": text, "precision": name}, and last {"result": ...} or {"error": {"kind": ..., "message": ...}}.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from engines.bundle import Bundle, load_bundle
from engines.device_facts import DeviceFacts, load_driver, read_device_facts
from engines.engine_cache import EngineCache, EngineKey
from engines.errors import (
    BundleError,
    CompileError,
    EngineError,
    NotBuiltError,
    RefusedError,
    RuntimeUnavailableError,
    SelfTestError,
)
from engines.network_build import BuildRequest, build_plan, model_file_for
from engines.runtimes.tensorrt import TensorRTRuntime
from engines.runtimes.uploaded import UploadedRuntime
from engines.selftest import SelfTestResult, run_selftest
from engines.tensorrt_library import load_tensorrt, new_log

_NICENESS = 10  # the node goes on hearing meanwhile
_KINDS = (
    (RuntimeUnavailableError, "unavailable"),
    (BundleError, "bundle"),
    (RefusedError, "refused"),
    (NotBuiltError, "absent"),
    (EngineError, "failed"),
)


class Compilation:
    """One bundle's way through the precisions, on this process's device.

    Args:
        say: takes what the parent is to know.
    """

    def __init__(self, request: Dict[str, Any], say: Callable[[Dict[str, Any]], None]) -> None:
        self._request, self._say = request, say
        self._bundle: Bundle = load_bundle(Path(request["bundle"]))
        self._cache = EngineCache(Path(request["directory"]))
        self._facts: DeviceFacts = read_device_facts(load_driver())
        self._trt = load_tensorrt()
        self._notes: List[str] = []

    def run(self) -> Dict[str, Any]:
        """The first precision that serves.

        Raises:
            RefusedError: none does.
            EngineError: another failure, after which trying on makes no sense.
        """
        for precision in self._request["precisions"]:
            try:
                return self._prepare(precision)
            except RefusedError as error:
                self._notes.append("%s is not used: %s" % (precision, error))
        raise RefusedError("bundle %s: %s" % (self._bundle.name, "; ".join(self._notes)))

    def _prepare(self, precision: str) -> Dict[str, Any]:
        file_name, is_optional = model_file_for(self._trt, precision)
        if is_optional and file_name not in self._bundle.digests:
            raise RefusedError(
                "TensorRT %s needs %s for it, which the bundle does not hold; `soundclr-train quantise` makes it"
                % (self._trt.__version__, file_name)
            )
        key = self._key(precision, file_name)
        if self._request["again"]:
            self._cache.forget(key)
        if self._cache.read(key) is not None:
            return self._result(key, False, 0.0)
        refusal = self._cache.refusal(key)
        if refusal is not None:
            raise RefusedError(refusal + " (found before; `compile --again` tries anew)")
        if not self._request["build"]:
            raise NotBuiltError(
                "TensorRT %s has no engine of bundle %s on %s yet; `soundclr-edge compile` builds it"
                % (key.tensorrt, self._bundle.name, self._facts.architecture)
            )
        try:
            return self._build(key, file_name)
        except RefusedError as error:
            self._cache.refuse(key, str(error))
            raise

    def _build(self, key: EngineKey, file_name: str) -> Dict[str, Any]:
        self._say(
            {
                "precision": key.precision,
                "progress": "building %s in %s for TensorRT %s on %s (%s), usually 1 to 5 minutes"
                % (self._bundle.name, key.precision, key.tensorrt, self._facts.architecture, key.device),
            }
        )
        started_s = time.monotonic()
        request = BuildRequest(
            (self._bundle.path / file_name).read_bytes(),
            "%s of bundle %s" % (file_name, self._bundle.name),
            key.precision,
            self._request["workspace_bytes"],
            self._cache.read_timing(key),
        )
        built = build_plan(self._trt, new_log(self._trt), request, self._facts)
        build_s = time.monotonic() - started_s
        self._cache.store_timing(key, built.timing_cache)
        self._say({"progress": "built in %.0f s, %d bytes; self-test" % (build_s, len(built.plan))})
        result = self._selftest(built.plan, key.precision)
        self._cache.store(
            key,
            built.plan,
            {
                "build_s": round(build_s, 1),
                "workspace_bytes": self._request["workspace_bytes"],
                "logmel_error_db": result.logmel_error_db,
                "logit_error": result.logit_error,
            },
        )
        return self._result(key, True, build_s)

    def _selftest(self, plan: bytes, precision: str) -> SelfTestResult:
        runtime = UploadedRuntime(TensorRTRuntime(self._bundle, plan, precision))
        try:
            runtime.open()
            return run_selftest(self._bundle, runtime)
        except SelfTestError as error:
            raise RefusedError(str(error)) from error
        finally:
            runtime.close()

    def _key(self, precision: str, file_name: str) -> EngineKey:
        return EngineKey(
            self._bundle.digests[file_name],
            precision,
            str(self._trt.__version__),
            "%d.%d" % self._facts.compute_capability,
            self._facts.name,
            self._facts.driver,
        )

    def _result(self, key: EngineKey, was_built: bool, build_s: float) -> Dict[str, Any]:
        return {"key": dict(key._asdict()), "was_built": was_built, "build_s": build_s, "notes": self._notes}


def main() -> int:
    """Serve one request.  Returns the exit status."""
    os.nice(_NICENESS)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries that print must not print between our lines

    def say(message: Dict[str, Any]) -> None:
        answers.write((json.dumps(message) + "\n").encode("utf-8"))

    request = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    try:
        say({"result": Compilation(request, say).run()})
    except EngineError as error:
        kind: Optional[str] = next(name for kind, name in _KINDS if isinstance(error, kind))
        say({"error": {"kind": kind, "message": " ".join(str(error).split())}})
        return 1
    except MemoryError:
        say({"error": {"kind": "failed", "message": str(CompileError("not enough memory in the build's process"))}})
        return 1
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # until its end: the parent is gone, however that came about
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
