"""The latest part of a stream, so that a scorer that takes over can hear what its predecessor heard."""

import numpy as np


class RecentSamples:
    """Keeps the last `capacity` samples; appending copies each of them once, as a rule.

    Args:
        capacity: in samples; also the most that one call may append.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer = np.zeros(2 * capacity, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything; counting begins anew."""
        self._end = 0  # of what is kept, in the buffer
        self.count = 0  # samples since the last reset

    def append(self, samples: np.ndarray) -> None:
        """Take mono float32 samples [T], T <= capacity."""
        if self._end + len(samples) > len(self._buffer):
            kept = self._buffer[self._end - self._capacity : self._end]
            self._buffer[: self._capacity] = kept  # the two do not overlap: the buffer is twice as long
            self._end = self._capacity
        self._buffer[self._end : self._end + len(samples)] = samples
        self._end += len(samples)
        self.count += len(samples)

    @property
    def oldest(self) -> int:
        """The first sample that is certainly kept, counted from the last reset."""
        return max(0, self.count - self._capacity)

    def since(self, first_sample: int) -> np.ndarray:
        """Everything from that sample on, counted from the last reset; a copy.

        Raises:
            ValueError: it is no longer kept.
        """
        start = self._end - (self.count - first_sample)
        if not 0 <= first_sample <= self.count or start < 0:
            raise ValueError("sample %d of %d; the last %d are kept" % (first_sample, self.count, self._end))
        return self._buffer[start : self._end].copy()
