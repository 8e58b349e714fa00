"""How long things take: percentiles of the recent past, and totals."""

import threading
from collections import deque
from typing import Callable, Deque, Dict, NamedTuple, Sequence

_RECENT = 600  # ten minutes of hops

OnStage = Callable[[str], None]  # called at the end of each stage with its name; what went before is that stage's


def ignore_stage(name: str) -> None:
    """Nobody measures."""


class DurationSummary(NamedTuple):
    """What is known of some durations, all in seconds."""

    entries: int  # since the start
    total_s: float
    quantiles_s: Dict[float, float]  # of the most recent ones; empty where there is none


class Durations:
    """Durations, written by one thread and summed up by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: Deque[float] = deque(maxlen=_RECENT)
        self._count, self._total_s = 0, 0.0

    def add(self, seconds: float) -> None:
        """One more; a negative one, of a clock that is being slewed, counts as none."""
        with self._lock:
            self._recent.append(max(0.0, seconds))
            self._count += 1
            self._total_s += max(0.0, seconds)

    def summary(self, quantiles: Sequence[float] = (0.5, 0.99)) -> DurationSummary:
        """Count, total, and the smallest duration that so large a share of the recent ones does not exceed."""
        with self._lock:
            recent, count, total_s = sorted(self._recent), self._count, self._total_s
        last = len(recent) - 1
        return DurationSummary(
            count, total_s, {q: recent[min(last, int(q * len(recent)))] for q in quantiles} if recent else {}
        )
