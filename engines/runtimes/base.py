"""What every runtime offers: one window in, raw outputs out."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from engines.bundle import Bundle


class Runtime(ABC):
    """A bundle's network, ready to run in the thread that opened it."""

    name = ""

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
