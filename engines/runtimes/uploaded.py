"""A device's network fed from the host: for the self-test, and for front ends that compute on the processor."""

from typing import Any, Optional

import numpy as np

from engines.device_facts import load_driver
from engines.errors import RuntimeUnavailableError
from engines.runtimes.base import DeviceRuntime, Runtime


class UploadedRuntime(Runtime):
    """Owns a context, a stream and an input buffer, and copies each window to the device.

    TensorRT computes in CUDA's primary context, so that is the one made current, in the thread that opens this, uses
    it and closes it.
    """

    def __init__(self, network: DeviceRuntime) -> None:
        super().__init__(network.bundle)
        self.name = network.name
        self.precision = network.precision
        self._network = network
        self._driver: Any = None
        self._cuda_context: Optional[Any] = None
        self._stream: Any = None
        self._staging: Any = None  # page-locked host memory
        self._buffer: Any = None  # device memory

    def open(self) -> None:
        """Make the context current and load the network in it."""
        self._driver = load_driver()
        try:
            self._cuda_context = self._driver.Device(0).retain_primary_context()
            self._cuda_context.push()
            self._stream = self._driver.Stream()
            self._network.open(int(self._stream.handle))
            self._staging = self._driver.pagelocked_empty(self._network.input_shape, np.float32)
            self._buffer = self._driver.mem_alloc(self._staging.nbytes)
            self._network.bind_input(int(self._buffer))
        except self._driver.Error as error:
            self.close()
            raise RuntimeUnavailableError(
                "the CUDA device cannot be used: %s" % " ".join(str(error).split())
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release everything in order; harmless when called again."""
        self._network.close()
        self._buffer = None
        self._staging = None
        self._stream = None
        if self._cuda_context is not None:
            self._driver.Context.pop()
            self._cuda_context = None  # and with the last reference to it the primary context is released

    def describe(self) -> str:
        """Library, version, precision and device, for people."""
        return self._network.describe()

    def _infer(self, network_input: np.ndarray) -> np.ndarray:
        if self._buffer is None:
            raise RuntimeError("the runtime is not open")
        self._staging[...] = network_input
        self._driver.memcpy_htod_async(self._buffer, self._staging, self._stream)
        self._network.enqueue()
        return self._network.read_output()
