"""Levels of 125 ms, and the running background: what the gate and the bounds of events are judged by."""

import math
from typing import Optional

import numpy as np

FRAME_S = 0.125
KEPT_S = 300.0  # what is older is forgotten: no event's end is sought there
_AHEAD_S = 60.0  # a block may bring so much more than the window that is judged
_BACKGROUND_PERCENTILE = 10.0
_BACKGROUND_AFTER_S = 20.0  # before that, a sound that fills a short recording would be taken for its background
_FLOOR_DBFS = -160.0
_SAME_TIME_S = 1e-3  # resampling rounds the end of a stream to a sample


class Envelope:
    """RMS level of each 125 ms of a stream, for the last five minutes.

    Frames lie on a fixed grid from the stream's first sample; what was lost in a gap is NaN.
    Levels are dBFS (0 dB: RMS 1), NaN where nothing was heard, at least -160.
    Answers about a time do not depend on what the stream brought after it, so the size of its blocks is no matter.

    Args:
        background_dbfs: what was known before, from a stream that this one continues at another rate.
    """

    def __init__(self, sample_rate_hz: int, background_dbfs: Optional[float] = None) -> None:
        self._known_background_dbfs = background_dbfs
        self._frame_samples = int(round(sample_rate_hz * FRAME_S))
        self._sample_rate_hz = sample_rate_hz
        self._kept = int(KEPT_S / FRAME_S)
        self._ring_dbfs = np.full(self._kept + int(_AHEAD_S / FRAME_S), np.nan, np.float32)
        self._frames = 0  # complete ones since the stream's first sample
        self._energy, self._energy_samples = 0.0, 0  # of the frame under way
        self._unheard_samples = 0  # at its beginning
        self._has_stopped = False

    @property
    def frame_s(self) -> float:
        """Exact duration of a frame, seconds."""
        return self._frame_samples / float(self._sample_rate_hz)

    def push(self, samples: np.ndarray) -> None:
        """Take mono samples [T] that follow directly on the last ones."""
        samples = np.asarray(samples, np.float32)
        missing = self._frame_samples - self._unheard_samples - self._energy_samples
        if len(samples) < missing:
            self._energy += float(np.dot(samples, samples))
            self._energy_samples += len(samples)
            return
        head, rest = samples[:missing], samples[missing:]
        self._energy += float(np.dot(head, head))
        self._energy_samples += missing
        is_mostly_heard = 2 * self._unheard_samples <= self._frame_samples
        self._append(self._level_of_frame_under_way() if is_mostly_heard else float("nan"))
        whole = len(rest) // self._frame_samples
        for frame in rest[: whole * self._frame_samples].reshape(whole, self._frame_samples):
            self._append(_level_dbfs(float(np.dot(frame, frame)), self._frame_samples))
        tail = rest[whole * self._frame_samples :]
        self._energy, self._energy_samples = float(np.dot(tail, tail)), len(tail)

    def stop(self) -> None:
        """Nothing follows directly: the frame under way counts as far as it was heard.  `skip` goes on."""
        self._has_stopped = True

    def skip(self, first_sample: int) -> None:
        """Continue at this sample index of the stream: what lies between was lost."""
        target = first_sample // self._frame_samples
        for _ in range(min(max(0, target - self._frames), len(self._ring_dbfs))):
            self._append(float("nan"))
        self._frames = max(self._frames, target)
        self._energy, self._energy_samples = 0.0, 0
        self._unheard_samples = first_sample % self._frame_samples
        self._has_stopped = False

    def levels(self, start_s: float, end_s: float) -> np.ndarray:
        """Levels of the frames that begin and end between two times of the stream, oldest first.  Shape [F], dBFS."""
        first, last = self.first_frame(start_s, end_s), self._frames_until(end_s)
        levels = self._ring_dbfs[np.arange(first, max(first, last)) % len(self._ring_dbfs)]
        heard_s = last * self.frame_s + (self._unheard_samples + self._energy_samples) / float(self._sample_rate_hz)
        if self._has_stopped and self._energy_samples and last == self._frames and end_s >= heard_s - _SAME_TIME_S:
            return np.append(levels, np.float32(self._level_of_frame_under_way()))
        return levels

    def first_frame(self, start_s: float, end_s: float) -> int:
        """Index of the frame that `levels` begins with for these times."""
        last = self._frames_until(end_s)
        return min(last, max(0, last - self._kept, int(round(start_s / self.frame_s))))

    def background_dbfs(self, at_s: float) -> Optional[float]:
        """Level that was exceeded nine tenths of the five minutes before; None in the first 20 s.

        After a long loss of sound what was known before it holds, until there are 20 s again.
        """
        levels = self.levels(0.0, at_s)
        heard = levels[np.isfinite(levels)]
        if len(heard) * self.frame_s < _BACKGROUND_AFTER_S:
            return self._known_background_dbfs
        self._known_background_dbfs = _percentile(heard, _BACKGROUND_PERCENTILE)
        return self._known_background_dbfs

    def _frames_until(self, end_s: float) -> int:
        return min(self._frames, int((end_s + _SAME_TIME_S) / self.frame_s))

    def _level_of_frame_under_way(self) -> float:
        return _level_dbfs(self._energy, self._energy_samples)

    def _append(self, level_dbfs: float) -> None:
        self._ring_dbfs[self._frames % len(self._ring_dbfs)] = level_dbfs
        self._frames += 1
        self._energy, self._energy_samples, self._unheard_samples = 0.0, 0, 0


def _percentile(values: np.ndarray, percent: float) -> float:
    """What np.percentile gives, in a quarter of its time.  `values` is not empty."""
    at = percent / 100.0 * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    return float(ordered[low]) + (at - low) * (float(ordered[high]) - float(ordered[low]))


def _level_dbfs(energy: float, samples: int) -> float:
    return 10.0 * math.log10(max(energy / samples, 10.0 ** (_FLOOR_DBFS / 10.0)))
