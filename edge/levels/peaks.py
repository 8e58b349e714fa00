"""The highest point of a sampled sound, between its samples too.

A crest that falls between two samples is missed by what the samples show: of a steady 8 kHz at 48 kHz up to 1.2 dB, of
16 kHz up to 6. So the highest crests of a block are looked at more closely, by band-limited interpolation.
"""

import numpy as np

REACH_SAMPLES = 16  # on both sides of a crest that the interpolation looks at
_POINTS = 16  # between two samples: at 0.45 of the sample rate the highest of them is 0.02 dB off at most
_CRESTS = 12  # that are looked at; the true highest is among the highest sampled ones
_WORTH_LOOKING = 0.5  # of the highest sample: with three samples to a crest and less than 6 dB lost between two


class PeakFinder:
    """Highest magnitude of a stream, block by block; the same for any size of the blocks.

    What lies within REACH_SAMPLES of a block's end counts as the next block's, whose samples it takes to know it.
    """

    def __init__(self) -> None:
        self._kernel = _interpolation_kernel()
        self.reset()

    def reset(self) -> None:
        """Begin anew, as if there had been silence."""
        self._before = np.zeros(2 * REACH_SAMPLES)

    def find(self, samples: np.ndarray) -> float:
        """The highest magnitude of a block.  Samples [T]; T at least 1."""
        joined = np.concatenate([self._before, samples])
        self._before = joined[-2 * REACH_SAMPLES :]
        magnitudes = np.abs(joined)
        highest = float(magnitudes[2 * REACH_SAMPLES :].max())
        crests = self._highest_crests(magnitudes, max(highest, float(magnitudes[REACH_SAMPLES:-REACH_SAMPLES].max())))
        if len(crests):
            around = joined[crests[:, None] + np.arange(-REACH_SAMPLES, REACH_SAMPLES + 1)]
            highest = max(highest, float(np.abs(around @ self._kernel).max()))
        return highest

    @staticmethod
    def _highest_crests(magnitudes: np.ndarray, highest: float) -> np.ndarray:
        """Indices of the samples at whose side the highest point may be.  Shape [K], K from 0 to _CRESTS."""
        inner = magnitudes[REACH_SAMPLES:-REACH_SAMPLES]
        if highest <= 0.0:
            return np.zeros(0, int)
        worth = np.flatnonzero(inner >= _WORTH_LOOKING * highest) + REACH_SAMPLES
        worth = worth[(magnitudes[worth] >= magnitudes[worth - 1]) & (magnitudes[worth] >= magnitudes[worth + 1])]
        if len(worth) > _CRESTS:
            worth = worth[np.argpartition(magnitudes[worth], -_CRESTS)[-_CRESTS:]]
        return worth


def _interpolation_kernel() -> np.ndarray:
    """Windowed sinc for points from half a sample before to half a sample behind.  Shape [2 REACH + 1, POINTS]."""
    offsets = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    distances = np.arange(-REACH_SAMPLES, REACH_SAMPLES + 1)[:, None] - offsets[None, :]
    window = np.i0(8.0 * np.sqrt(np.maximum(0.0, 1.0 - np.square(distances / (REACH_SAMPLES + 0.5))))) / np.i0(8.0)
    kernel = np.sinc(distances) * window
    return kernel / kernel.sum(axis=0)  # a constant stays what it is
