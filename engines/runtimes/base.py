"""What every runtime offers: one window in, raw outputs out.

Two interfaces, because the window lies in one of two places: `Runtime` takes it from the host, `DeviceRuntime` finds it
in the device's memory, where the front end left it.
"""

from abc import ABC, abstractmethod
from typing import Any, Tuple

import numpy as np

from engines.bundle import Bundle


class Runtime(ABC):
    """A bundle's network, ready to run in the thread that opened it."""

    name = ""
    precision = "fp32"  # "fp32", "fp16", "int8": how far its answers may be off, see engines.selftest

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @abstractmethod
    def open(self) -> None:
        """Load the network. Called once.  Raises RuntimeUnavailableError or BundleError."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; harmless when called again."""

    @abstractmethod
    def describe(self) -> str:
        """Library, version and device, for people."""

    @abstractmethod
    def _infer(self, network_input: np.ndarray) -> np.ndarray:
        """[1, 1, n_mels, window_frames] float32 -> [n_outputs]."""

    def infer(self, network_input: np.ndarray) -> np.ndarray:
        """Raw outputs of one window.

        Args:
            network_input: log-mel as the front end gives it.  Shape [n_mels, window_frames], float32.

        Returns:
            Logits.  Shape [n_outputs], float32.

        Raises:
            ValueError: another shape.
        """
        spec = self.bundle.frontend
        if network_input.shape != (spec.n_mels, spec.window_frames):
            raise ValueError(
                "network input of shape %s; bundle %s takes %s"
                % (network_input.shape, self.bundle.name, (spec.n_mels, spec.window_frames))
            )
        return self._infer(network_input[None, None])

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class DeviceRuntime(ABC):
    """A bundle's network on a device, reading its input where the front end wrote it: no round trip through the host.

    One thread owns the device's context and makes every call, with that context current, in this order: `open`,
    `bind_input`, then `enqueue` and `read_output` for each window, `close` before the stream and the context go.
    """

    name = ""
    precision = "fp32"  # "fp32", "fp16", "int8": how far its answers may be off, see engines.selftest

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @property
    @abstractmethod
    def input_shape(self) -> Tuple[int, ...]:
        """Shape of the input, float32 and contiguous: (1, 1, n_mels, window_frames). Known once open."""

    @abstractmethod
    def open(self, stream_handle: int) -> None:
        """Load the network and allocate its buffers on the device.  Called once.

        Args:
            stream_handle: CUstream of the owner, which outlives this runtime; all work is queued on it.

        Raises:
            RuntimeUnavailableError: the library or the device cannot serve.
            BundleError: the network is refused, or is not what its manifest says.
        """

    @abstractmethod
    def bind_input(self, device_pointer: int) -> None:
        """Name the device buffer [input_shape] that every later `enqueue` reads; its owner keeps it alive."""

    @abstractmethod
    def enqueue(self) -> None:
        """Queue one inference, and the copy of its output to the host, behind what the stream holds.  Does not wait.

        Raises:
            RuntimeUnavailableError: the library refused the work.
        """

    @abstractmethod
    def read_output(self) -> np.ndarray:
        """Wait for the last `enqueue`.  Returns its raw outputs [n_outputs], float32; a copy."""

    @abstractmethod
    def describe(self) -> str:
        """Library, version, precision and device, for people."""

    @abstractmethod
    def close(self) -> None:
        """Release everything in order; harmless when called again."""

    def __enter__(self) -> "DeviceRuntime":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
