"""ONNX Runtime on the CPU."""

import ctypes
from typing import Any, Optional

import numpy as np

from engines.bundle import Bundle
from engines.errors import BundleError, RuntimeUnavailableError
from engines.runtimes.base import Runtime


class OnnxRuntime(Runtime):
    """Runs `model.onnx` in ONNX Runtime (1.10, the last for Python 3.6, and later)."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        super().__init__(bundle)
        self._threads = threads
        self._session: Optional[Any] = None
        self._version = ""

    def open(self) -> None:
        """Load the network and check it against the manifest."""
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeUnavailableError(
                "ONNX Runtime cannot be loaded (%s); install it: pip install onnxruntime" % error
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena keeps 20 MB that a network of this size never needs again
        options.log_severity_level = 3
        path = str(self.bundle.path / "model.onnx")
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions are made at run time and share no base that could be named
            if type(error).__module__.split(".")[0] != "onnxruntime" and not isinstance(error, RuntimeError):
                raise
            raise BundleError(
                "bundle %s: model.onnx is refused by ONNX Runtime %s: %s; export the bundle again"
                % (self.bundle.path, onnxruntime.__version__, str(error).splitlines()[0])
            ) from error
        self._check(session)
        _give_back_free_memory()
        self._session, self._version = session, onnxruntime.__version__
        self._input_name = session.get_inputs()[0].name

    def close(self) -> None:
        """Release the session."""
        self._session = None

    def describe(self) -> str:
        """Library, version and device, for people."""
        return "ONNX Runtime %s, CPU, %d thread%s" % (self._version, self._threads, "s" * (self._threads != 1))

    def _infer(self, network_input: np.ndarray) -> np.ndarray:
        if self._session is None:
            raise RuntimeError("the runtime is not open")
        logits: np.ndarray = self._session.run(None, {self._input_name: network_input})[0][0]
        return logits

    def _check(self, session: Any) -> None:
        spec = self.bundle.frontend
        expected = ([[1, 1, spec.n_mels, spec.window_frames]], [[1, self.bundle.n_outputs]])
        given = ([list(i.shape) for i in session.get_inputs()], [list(o.shape) for o in session.get_outputs()])
        if given != expected:
            raise BundleError(
                "bundle %s: model.onnx takes %s and gives %s; its manifest (%d labels, method %s) expects "
                "%s and %s: export the bundle again"
                % (
                    (self.bundle.path,)
                    + given
                    + (len(self.bundle.labels), self.bundle.decision.foreign.method)
                    + expected
                )
            )


def _give_back_free_memory() -> None:
    """Return to the system what reading the network took and nobody uses any more: 14 MB of the daemon's 96."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # a C library other than glibc
        return
    trim(0)
