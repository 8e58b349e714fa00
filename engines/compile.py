"""From a bundle to an engine for the device that this runs on: what `soundclr-edge compile`, `soundclr-train compile`
and the node's first start share.

All of TensorRT's and CUDA's work is done by a child (`engines.compile_process`): the system may kill it for memory, a
broken library may crash it, and this process neither dies of it nor ever holds a builder's memory.
"""

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import engines
from engines.bundle import Bundle
from engines.engine_cache import EngineCache, EngineKey
from engines.errors import BundleError, CompileError, NotBuiltError, RefusedError, RuntimeUnavailableError
from engines.network_build import MEMORY_ADVICE

_LOGGER = logging.getLogger(__name__)
PRECISION_NAMES = ("auto", "fp32", "fp16", "int8")
PRECISIONS_TO_TRY = {  # each falls back to what is sure to be right
    "auto": ("fp16", "fp32"),
    "fp32": ("fp32",),
    "fp16": ("fp16", "fp32"),
    "int8": ("int8", "fp16", "fp32"),
}
_ERRORS = {
    "unavailable": RuntimeUnavailableError,
    "bundle": BundleError,
    "refused": RefusedError,
    "absent": NotBuiltError,
    "failed": CompileError,
}
_POLL_S = 0.5
_KEPT_STDERR_BYTES = 4096
_MAX_LINE_BYTES = 1 << 16
_END_TIMEOUT_S = 10.0


class CompileOptions(NamedTuple):
    """How to build."""

    precision: str = "auto"  # "auto": fp16 where the device is fast at it; all fall back to fp32
    workspace_mib: int = 128  # scratch memory that a layer may take
    timeout_s: float = 1800.0  # for everything; a Jetson Nano is expected to take 1 to 5 minutes
    again: bool = False  # build even where an engine is there
    build: bool = True  # False: only look for one


_DEFAULTS = CompileOptions()


class PreparedEngine(NamedTuple):
    """An engine that lies in the cache and has passed its self-test on this device."""

    key: EngineKey
    path: Path
    was_built: bool  # False: it was there already
    build_s: float
    notes: Tuple[str, ...]  # why a faster precision is not used

    @property
    def precision(self) -> str:
        """What it computes in: "fp32", "fp16", "int8"."""
        return self.key.precision

    def describe(self) -> str:
        """For people."""
        return "TensorRT %s, %s, %s (compute capability %s)" % (
            self.key.tensorrt,
            self.key.precision,
            self.key.device,
            self.key.compute_capability,
        )


def engines_directory(state_directory: Path) -> Path:
    """Where engines lie in an installation's state directory."""
    return Path(state_directory) / "engines"


def prepare_engine(
    bundle: Bundle,
    state_directory: Path,
    options: CompileOptions = _DEFAULTS,
    progress: Callable[[str], None] = _LOGGER.info,
    on_wait: Callable[[], None] = lambda: None,
) -> PreparedEngine:
    """Find the bundle's engine for this device in the cache, or build it there.

    Args:
        progress: told in words what is being done.
        on_wait: called about twice a second meanwhile, so that a supervisor's patience can be asked for; what it raises
            ends the child and comes out here.

    Raises:
        RuntimeUnavailableError: no TensorRT, PyCUDA or CUDA device that could serve.
        CompileError: the network cannot be built, or not within memory and time (NotBuiltError: was not to be).
        BundleError: one of the bundle's networks is unusable.
    """
    cache = EngineCache(engines_directory(state_directory))
    left, notes = list(PRECISIONS_TO_TRY[options.precision]), []
    deadline_s = time.monotonic() + options.timeout_s
    with cache.locked(options.timeout_s, on_wait):
        while True:
            child = _Child(bundle, cache.directory, left, options, progress)
            try:
                result = child.wait(deadline_s, on_wait)
            except _CrashedError as crash:
                notes.append("%s: %s" % (child.precision, crash))
                _LOGGER.warning("bundle %s: %s", bundle.name, notes[-1])
                left = left[left.index(child.precision) + 1 :] if child.precision in left else []
                if not left:
                    raise CompileError("bundle %s: %s" % (bundle.name, crash)) from crash
                continue
            break
    for note in result["notes"]:
        _LOGGER.warning("bundle %s: %s", bundle.name, note)
    key = EngineKey(**result["key"])
    return PreparedEngine(
        key, cache.path_of(key), result["was_built"], result["build_s"], tuple(notes + result["notes"])
    )


class _CrashedError(Exception):
    """The child died of a fault inside a library, not of memory or time."""


class _Child:
    """One child, from its start to its end.  `precision` is what it was last building."""

    def __init__(
        self,
        bundle: Bundle,
        directory: Path,
        precisions: List[str],
        options: CompileOptions,
        progress: Callable[[str], None],
    ) -> None:
        self.precision = precisions[0]
        self._bundle, self._options, self._progress = bundle, options, progress
        self._result: Optional[Dict[str, Any]] = None
        self._error: Optional[Dict[str, str]] = None
        self._pending = self._complaints = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engines.compile_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_child_environment(),
            cwd="/",
            start_new_session=True,
        )
        request = {
            "bundle": str(bundle.path.resolve()),
            "directory": str(directory.resolve()),
            "precisions": precisions,
            "workspace_bytes": options.workspace_mib << 20,
            "again": options.again,
            "build": options.build,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once: `wait` says of what
            # it stays open: its end tells the child that this process is gone
            self._process.stdin.write((json.dumps(request) + "\n").encode("utf-8"))
            self._process.stdin.flush()

    def wait(self, deadline_s: float, on_wait: Callable[[], None]) -> Dict[str, Any]:
        """Its result.  Raises what `prepare_engine` raises, and _CrashedError."""
        try:
            self._read_until_end(deadline_s, on_wait)
            status = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        finally:
            self._end()
        if self._error is not None:
            raise _ERRORS.get(self._error["kind"], CompileError)(self._error["message"])
        if self._result is not None:
            return self._result
        if status == -signal.SIGKILL:
            raise CompileError(
                "bundle %s: the system killed the build in %s, as it does when memory runs out; %s"
                % (self._bundle.name, self.precision, MEMORY_ADVICE)
            )
        raise _CrashedError(
            "the build ended with status %d: %s" % (status, _last_line(self._complaints) or "no reason given")
        )

    def _read_until_end(self, deadline_s: float, on_wait: Callable[[], None]) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        open_pipes = [out, err]
        while out in open_pipes:
            if time.monotonic() >= deadline_s:
                raise CompileError(
                    "bundle %s: not built within %g s; give it more time with `soundclr-edge compile --timeout-s`, or "
                    "set [model] precision to fp32" % (self._bundle.name, self._options.timeout_s)
                )
            ready, _, _ = select.select(open_pipes, [], [], _POLL_S)
            for pipe in ready:
                part = os.read(pipe, 1 << 16)
                if not part:
                    open_pipes.remove(pipe)
                elif pipe == err:
                    self._complaints = (self._complaints + part)[-_KEPT_STDERR_BYTES:]
                else:
                    self._take(part)
            on_wait()

    def _take(self, part: bytes) -> None:
        *lines, self._pending = (self._pending + part).split(b"\n")
        self._pending = self._pending[-_MAX_LINE_BYTES:]
        for line in lines:
            said = json.loads(line.decode("utf-8"))
            if "precision" in said:
                self.precision = said["precision"]
            if "progress" in said:
                self._progress(said["progress"])
            self._result = said.get("result", self._result)
            self._error = said.get("error", self._error)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own group: nothing that it started stays behind
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _LOGGER.error("the build's process %d hangs in the kernel; a driver is stuck", self._process.pid)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _child_environment() -> Dict[str, str]:
    """One in which the child finds this very `engines`, from a wheel and from the tree alike."""
    environment = dict(os.environ)
    root = Path(engines.__file__).resolve().parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(root) + (os.pathsep + inherited if inherited else "")
    return environment


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
