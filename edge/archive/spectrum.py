"""The spectrum of a day, for its picture: sixth-octave bands, averaged over some seconds. No measurement of levels."""

from typing import List, Tuple

import numpy as np

COLUMN_S, SHORT_COLUMN_S = 10.0, 1.0
_SHORT_S = 1800.0  # so much is shown in seconds
BANDS = 59
_FFT_S = 0.3  # at least: a sixth of an octave at 25 Hz is 3 Hz wide
_FLOOR = 1e-16  # -160 dBFS
_FIRST = -32  # 1 kHz times 10 ** (-32 / 20): 25 Hz


def band_centres_hz() -> np.ndarray:
    """Centres of the bands, 25 Hz to 20 kHz, ten to a factor of ten twice over.  Shape [BANDS]."""
    return 1000.0 * 10.0 ** ((np.arange(BANDS) + _FIRST) / 20.0)


def band_edges_hz() -> np.ndarray:
    """Lower edges of the bands, and the upper one of the last.  Shape [BANDS + 1]."""
    return 1000.0 * 10.0 ** ((np.arange(BANDS + 1) + _FIRST - 0.5) / 20.0)


Column = Tuple[
    float, float, List[int]
]  # start since the reel's own beginning and length, seconds; half dB re full scale


class SpectrumStrip:
    """Mean power spectrum of each ten seconds of a stream, or each second of a short one, as far as it was heard.

    Args:
        first_sample: of the stream; where the first column begins.
        duration_s: of the whole.
    """

    def __init__(self, sample_rate_hz: int, first_sample: int, duration_s: float) -> None:
        self._rate_hz, self._first = sample_rate_hz, first_sample
        self._column_s = SHORT_COLUMN_S if duration_s <= _SHORT_S else COLUMN_S
        self._size = 1 << int(np.ceil(np.log2(_FFT_S * sample_rate_hz)))
        self._window = np.hanning(self._size).astype(np.float32)
        self._scale = 2.0 / (self._size * float(np.square(self._window).sum()))
        edges = band_edges_hz()
        self._bands = int(np.searchsorted(edges[1:], 0.5 * sample_rate_hz, side="right"))
        bins = np.ceil(edges[: self._bands + 1] * self._size / sample_rate_hz).astype(int)
        self._bins = np.maximum.accumulate(np.maximum(bins, 1))
        self._pending = np.zeros(0, np.float32)
        self._at = first_sample  # of what is pending
        self._sum, self._count, self._column = np.zeros(self._bands), 0, 0
        self._done: List[Column] = []

    def push(self, samples: np.ndarray, first_sample: int) -> None:
        """Take mono samples [T]; what does not follow on the last ones begins anew."""
        if first_sample != self._at + len(self._pending):
            self._pending, self._at = np.zeros(0, np.float32), first_sample
        self._pending = np.concatenate([self._pending, np.asarray(samples, np.float32)])
        whole = len(self._pending) // self._size
        for row in self._powers(self._pending[: whole * self._size].reshape(whole, self._size)):
            column = int((self._at - self._first) / (self._column_s * self._rate_hz))
            if column != self._column:
                self._close_column()
                self._column = column
            self._sum += row
            self._count += 1
            self._at += self._size
        self._pending = self._pending[whole * self._size :]

    def take(self) -> List[Column]:
        """The columns that are complete and were not taken before."""
        done, self._done = self._done, []
        return done

    def finish(self) -> List[Column]:
        """The stream has ended: the rest."""
        self._close_column()
        return self.take()

    def _powers(self, frames: np.ndarray) -> np.ndarray:
        """Shape [N, bands]; a full-scale sine has 0.5."""
        if not len(frames):
            return np.zeros((0, self._bands))
        power = np.square(np.abs(np.fft.rfft(frames * self._window, axis=1))) * self._scale
        power[:, : self._bins[0]] = 0.0
        return np.add.reduceat(power[:, : self._bins[-1]], self._bins[:-1], axis=1)

    def _close_column(self) -> None:
        if self._count:
            decibels = 10.0 * np.log10(np.maximum(self._sum / self._count, _FLOOR))
            bands = [int(value) for value in np.round(2.0 * decibels)]
            self._done.append((self._column * self._column_s, self._column_s, bands))
        self._sum, self._count = np.zeros(self._bands), 0
