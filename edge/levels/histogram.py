"""How often which level was met, in steps of 0.1 dB. Histograms can be joined; percentiles cannot."""

import math
from typing import Optional, Tuple

import numpy as np

STEPS_PER_DB = 10
_LOWEST = -200 * STEPS_PER_DB  # what is quieter counts as this: 32 bits of silence are -190 dB
_BINS = 240 * STEPS_PER_DB


class LevelHistogram:
    """Counts levels, each in the bin of its nearest tenth of a decibel."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LevelHistogram) and bool(np.array_equal(self._counts, other._counts))

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def count(self) -> int:
        """How many levels there are."""
        return int(self._counts.sum())

    def add(self, level_db: float) -> None:
        """Take one level."""
        at = int(round(level_db * STEPS_PER_DB)) - _LOWEST
        self._counts[min(max(at, 0), _BINS - 1)] += 1

    def merge(self, other: "LevelHistogram", shift_db: float = 0.0) -> None:
        """Take all of another's, so much louder; the shift is taken to the nearest tenth of a decibel."""
        steps = int(round(shift_db * STEPS_PER_DB))
        if steps == 0:
            self._counts += other._counts
            return
        first, counts = other.occupied
        for at, count in enumerate(counts, start=first + steps - _LOWEST):
            self._counts[min(max(at, 0), _BINS - 1)] += count

    def exceeded(self, percent: float) -> Optional[float]:
        """The level that was exceeded for this share of the time; None without any.

        Between two levels it is where NumPy's percentile lies between them: so it is within 0.05 dB of that of the
        levels themselves.

        Args:
            percent: above 0, below 100; 10 for L10.
        """
        count = self.count
        if count == 0:
            return None
        rank = (count - 1) * (1.0 - percent / 100.0)
        reached = np.cumsum(self._counts)
        low, high = (
            int(np.searchsorted(reached, at, side="right")) + _LOWEST for at in (math.floor(rank), math.ceil(rank))
        )
        return (low + (rank - math.floor(rank)) * (high - low)) / STEPS_PER_DB

    @property
    def occupied(self) -> Tuple[int, Tuple[int, ...]]:
        """The lowest bin that holds something, in tenths of a decibel, and the counts from there to the highest."""
        found = np.flatnonzero(self._counts)
        if len(found) == 0:
            return 0, ()
        counts = self._counts[found[0] : found[-1] + 1]
        return int(found[0]) + _LOWEST, tuple(int(count) for count in counts)

    @classmethod
    def from_occupied(cls, lowest: int, counts: Tuple[int, ...]) -> "LevelHistogram":
        """The one of which `occupied` told.  Raises ValueError: there is none such."""
        first = lowest - _LOWEST
        if not 0 <= first <= first + len(counts) <= _BINS or min(counts, default=0) < 0:
            raise ValueError("%d bins from %d" % (len(counts), lowest))
        made = cls()
        made._counts[first : first + len(counts)] = counts
        return made
