"""Front end and network on one device: samples go up, raw answers come back, and nothing between leaves it."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any, List

import numpy as np

from edge.records import WindowScores
from edge.scorer import Scorer
from edge.window_stream import WindowStream
from engines.bundle import Bundle
from engines.cuda.device import CudaDevice
from engines.cuda.gpu_thread import FIRST_ANSWER_TIMEOUT_S, START_TIMEOUT_S, GpuThread
from engines.cuda.logmel import CudaLogMel
from engines.errors import BundleError
from engines.runtimes.base import DeviceRuntime
from engines.selftest import SelfTestResult, judge_selftest, load_selftest

_LOGGER = logging.getLogger(__name__)


class GpuScorer(Scorer):
    """CUDA front end whose output buffer is the input of a device's network.

    A thread of its own makes the context, uses it and tears it down; the caller hands samples over and waits for the
    answers, which are those of `CpuScorer` on the same samples.

    Args:
        runtime: not open yet; opened, used and closed in that thread.
        cache_dir: where compiled kernels are kept; in the state directory.

    Raises:
        RuntimeUnavailableError: PyCUDA, the device or the runtime cannot serve.
        BundleError: the network is refused, or takes another input than the front end gives.
    """

    def __init__(self, bundle: Bundle, runtime: DeviceRuntime, hop_s: float, cache_dir: Path) -> None:
        self._bundle, self._runtime, self._hop_s = bundle, runtime, hop_s
        self._device = CudaDevice(cache_dir)
        self._front_end: Any = None  # these two live in the thread alone, from _open to _close
        self._stream: Any = None
        self._resources = ExitStack()
        self._description = ""
        self._closed = False
        self._thread = GpuThread("gpu-%s" % bundle.name)
        self._thread.start()
        try:
            self._thread.call(self._open, START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""
        return self._thread.call(lambda: self._stream.push(samples))

    def finish(self) -> List[WindowScores]:
        """The answer for a stretch too short for one window.  Starts anew afterwards."""
        return self._thread.call(lambda: self._stream.finish())

    def start_at(self, number: int) -> None:
        """The next sample begins the window of this number."""
        self._thread.call(lambda: self._stream.start_anew(number))

    def run_selftest(self) -> SelfTestResult:
        """Check this very unit, front end and network, against the bundle's record.  Raises SelfTestError."""
        reference = load_selftest(self._bundle)
        logmel, logits = self._thread.call(lambda: self._compute_window(reference.samples), FIRST_ANSWER_TIMEOUT_S)
        logmel_error_db = float(np.abs(logmel - reference.logmel).max() / abs(self._bundle.frontend.scale))
        return judge_selftest(self._bundle, self._runtime, logmel_error_db, logits, reference)

    def describe(self) -> str:
        """What computes here, for people."""
        return self._description

    def close(self) -> None:
        """Release everything; harmless when called again.  A device that hangs is left behind."""
        if self._closed:
            return
        self._closed = True
        if not self._thread.close(self._close):
            _LOGGER.warning("the GPU's thread does not end; what it holds is freed with the process")

    def _open(self) -> None:
        self._device.open()
        self._resources.callback(self._device.close)
        self._front_end = CudaLogMel(self._device, self._bundle.frontend)
        self._resources.callback(self._runtime.close)  # before the device, and also when open fails half-way
        self._runtime.open(self._device.stream_handle)
        spec = self._bundle.frontend
        expected = (1, 1, spec.n_mels, spec.window_frames)
        if tuple(self._runtime.input_shape) != expected:
            raise BundleError(
                "bundle %s: its network takes %s on this device and its front end gives %s: export the bundle again"
                % (self._bundle.path, tuple(self._runtime.input_shape), expected)
            )
        self._runtime.bind_input(self._front_end.input_pointer)
        self._stream = WindowStream(self._bundle, self._front_end, self._infer, self._hop_s)
        self._description = "CUDA front end on %s, %s" % (self._device.describe(), self._runtime.describe())

    def _close(self) -> None:
        self._stream = None
        try:
            self._resources.close()
        finally:
            self._front_end = None

    def _infer(self) -> np.ndarray:
        self._front_end.update_input()
        self._runtime.enqueue()
        return self._runtime.read_output()

    def _compute_window(self, samples: np.ndarray) -> Any:
        self._stream.start_anew()
        self._front_end.push(samples)
        logmel = np.array(self._front_end.read_window())
        logits = np.array(self._infer())
        self._stream.start_anew()
        return logmel, logits
