"""From the source's rate to the bundle's, block by block."""

from typing import Any

import numpy as np

_QUALITY = "HQ"  # 20 bit; its stop band begins at the lower Nyquist frequency


class StreamResampler:
    """Resamples one mono stream. Output sample i lies at input time i / to_hz: the filter's delay is taken out."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError("rates are %s and %s Hz, expected positive numbers" % (from_hz, to_hz))
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._stream: Any = None
        self.reset()

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, give what can already be told of the output.

        Args:
            samples: At from_hz.  Shape [T], float32; T may be 0.

        Returns:
            At to_hz.  Shape [U], float32.  U lags behind T * to_hz / from_hz until flush().  With equal rates the
            very samples that were given.
        """
        if self._stream is None:
            return samples
        if not len(samples):
            return np.zeros(0, np.float32)  # soxr 0.3 takes an empty chunk for the end
        return self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32))

    def flush(self) -> np.ndarray:
        """The rest of the output, as if silence followed; then start anew.  Shape [U], float32."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget everything: what comes next does not follow what came before."""
        if self.from_hz == self.to_hz:
            return
        import soxr

        self._stream = soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality=_QUALITY)
