"""How long things take: percentiles of the recent past, totals, and the parts of a work."""

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Sequence

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


class Spent(NamedTuple):
    """What work took, seconds."""

    wall_s: float
    processor_s: float  # of all threads of this process


class StageClock:
    """Adds up what each stage takes; what is between two calls belongs to the stage that the second one names."""

    def __init__(
        self,
        wall_s: Callable[[], float] = time.perf_counter,
        processor_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._wall_s, self._processor_s = wall_s, processor_s
        self._spent_s: Dict[str, List[float]] = {}  # lists and local names: this is called a hundred times a hop
        self.start()

    def start(self) -> None:
        """From here on time counts."""
        self._at_wall_s, self._at_processor_s = self._wall_s(), self._processor_s()

    def __call__(self, stage: str) -> None:
        """A stage has ended here; an `OnStage`."""
        wall_s, processor_s = self._wall_s(), self._processor_s()
        spent_s = self._spent_s.get(stage)
        if spent_s is None:
            spent_s = self._spent_s[stage] = [0.0, 0.0]
        spent_s[0] += wall_s - self._at_wall_s
        spent_s[1] += processor_s - self._at_processor_s
        self._at_wall_s, self._at_processor_s = wall_s, processor_s

    def take(self) -> Dict[str, Spent]:
        """What has been added up by stage; begins again with nothing."""
        spent_s, self._spent_s = self._spent_s, {}
        return {stage: Spent(*values) for stage, values in spent_s.items()}
