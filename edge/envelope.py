"""Levels of 125 ms, and the running background: what the gate and the bounds of events are judged by."""
from typing import Optional

import numpy as np

FRAME_S = 0.125
_KEPT_S = 300.0
_BACKGROUND_PERCENTILE = 10.0
_BACKGROUND_AFTER_S = 20.0  # before that, a sound that fills a short recording would be taken for its background
_FLOOR_DBFS = -160.0


class Envelope:
    """RMS level of each 125 ms of a stream, for the last five minutes.

    Frames lie on a fixed grid from the stream's first sample; what was lost in a gap is NaN.
    Levels are dBFS (0 dB: RMS 1), NaN where nothing was heard, at least -160.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame_samples = int(round(sample_rate_hz * FRAME_S))
        self._sample_rate_hz = sample_rate_hz
        self._ring_dbfs = np.full(int(_KEPT_S / FRAME_S), np.nan, np.float32)
        self._frames = 0  # complete ones since the stream's first sample
        self._energy, self._energy_samples = 0.0, 0

    @property
    def frame_s(self) -> float:
        """Exact duration of a frame, seconds."""
        return self._frame_samples / float(self._sample_rate_hz)

    def push(self, samples: np.ndarray) -> None:
        """Take mono samples [T] that follow directly on the last ones."""
        samples = np.asarray(samples, np.float32)
        missing = self._frame_samples - self._energy_samples
        if len(samples) < missing:
            self._energy += float(np.dot(samples, samples))
            self._energy_samples += len(samples)
            return
        head, rest = samples[:missing], samples[missing:]
        self._append(self._energy + float(np.dot(head, head)), self._energy_samples + missing)
        whole = len(rest) // self._frame_samples
        for frame in rest[:whole * self._frame_samples].reshape(whole, self._frame_samples):
            self._append(float(np.dot(frame, frame)), self._frame_samples)
        tail = rest[whole * self._frame_samples:]
        self._energy, self._energy_samples = float(np.dot(tail, tail)), len(tail)

    def skip(self, first_sample: int) -> None:
        """Continue at this sample index of the stream: what lies between was lost."""
        target = first_sample // self._frame_samples
        for _ in range(min(max(0, target - self._frames), len(self._ring_dbfs))):
            self._append(float("nan"), 1)
        self._frames = max(self._frames, target)
        self._energy, self._energy_samples = 0.0, first_sample % self._frame_samples

    def levels(self, start_s: float, end_s: float) -> np.ndarray:
        """Levels of the complete frames between two times of the stream, oldest first.  Shape [F], dBFS."""
        first, last = self.first_frame(start_s), min(self._frames, int(round(end_s / self.frame_s)))
        return self._ring_dbfs[np.arange(first, max(first, last)) % len(self._ring_dbfs)]

    def first_frame(self, start_s: float) -> int:
        """Index of the frame that `levels` begins with for this start."""
        oldest = max(0, self._frames - len(self._ring_dbfs))
        return min(self._frames, max(oldest, int(round(start_s / self.frame_s))))

    def background_dbfs(self) -> Optional[float]:
        """Level that is exceeded nine tenths of the last five minutes; None in the first 20 s."""
        heard = self._ring_dbfs[np.isfinite(self._ring_dbfs)]
        if len(heard) * self.frame_s < _BACKGROUND_AFTER_S:
            return None
        return float(np.percentile(heard, _BACKGROUND_PERCENTILE))

    def _append(self, energy: float, samples: int) -> None:
        level_dbfs = 10.0 * np.log10(max(energy / samples, 10.0 ** (_FLOOR_DBFS / 10.0))) if energy == energy \
            else np.nan
        self._ring_dbfs[self._frames % len(self._ring_dbfs)] = level_dbfs
        self._frames += 1
        self._energy, self._energy_samples = 0.0, 0
