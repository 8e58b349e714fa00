"""Who is alive: every stage reports progress, or a waiting that it declares and that has an end.

Neither is ever a matter of the broker: a node whose broker is away for a week is well. What a stage cannot do any more
(it hangs) it cannot report either, so the watchdog is not fed, and systemd starts the node anew.
"""

import faulthandler
import io
import logging
import sys
import threading
import time
from typing import Callable, List, NamedTuple

from edge.systemd_notify import Notifier

_LOGGER = logging.getLogger(__name__)
STAGE_LIMIT_S = 20.0  # silence of a stage that has declared nothing
_FEEDS_PER_WATCHDOG = 3.0


class _Report(NamedTuple):
    due_s: float  # monotonic time by which the next report must come
    waits_for: str  # empty: it works


class Stage:
    """What one part of the node reports.  Reporting never blocks; one thread reports, another looks.

    Args:
        name: for people.
        limit_s: longest time from one progress to the next.
    """

    def __init__(
        self, name: str, limit_s: float = STAGE_LIMIT_S, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.steps = 0  # reported so far
        self._limit_s, self._monotonic_s = limit_s, monotonic_s
        self._report = _Report(monotonic_s() + limit_s, "")  # replaced whole, so that a look sees one report

    def progress(self, steps: int = 1) -> None:
        """Frames were captured, windows classified, rows stored."""
        self.steps += steps
        self._report = _Report(self._monotonic_s() + self._limit_s, "")

    def wait(self, what_for: str, at_most_s: float) -> None:
        """Nothing to do until then: a device that is not there, an engine that is being built, a disk that is full.

        What lasts longer is declared again, by the one who has looked again.
        """
        self._report = _Report(self._monotonic_s() + at_most_s, what_for)

    @property
    def overdue_s(self) -> float:
        """How long a report has been missing; 0 where all is well."""
        return max(0.0, self._monotonic_s() - self._report.due_s)

    @property
    def waits_for(self) -> str:
        """What the stage waits for by its own word; empty where it works."""
        return self._report.waits_for


class Supervision:
    """All stages, and the watchdog that is fed while none of them is overdue.  `watch` belongs to one thread."""

    def __init__(self, notifier: Notifier, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._notifier, self._monotonic_s = notifier, monotonic_s
        self._lock = threading.Lock()
        self._stages: List[Stage] = []
        self._next_feed_s = float("-inf")
        self._complained: List[str] = []

    def stage(self, name: str, limit_s: float = STAGE_LIMIT_S) -> Stage:
        """A new stage; from now on it has to report."""
        stage = Stage(name, limit_s, self._monotonic_s)
        self.add(stage)
        return stage

    def add(self, stage: Stage) -> None:
        """A stage that somebody else has made; it has to report from now on."""
        with self._lock:
            self._stages.append(stage)

    def dismiss(self, stage: Stage) -> None:
        """Its part of the node has ended in order."""
        with self._lock:
            self._stages = [other for other in self._stages if other is not stage]

    def overdue(self) -> List[Stage]:
        """The stages that owe a report."""
        with self._lock:
            return [stage for stage in self._stages if stage.overdue_s > 0]

    def watch(self) -> bool:
        """Look at all stages; feed the watchdog where it is time and none is overdue.  Returns whether all is well."""
        overdue = self.overdue()
        self._complain(overdue)
        if overdue:
            return False
        now_s = self._monotonic_s()
        if self._notifier.watchdog_s and now_s >= self._next_feed_s:
            self._next_feed_s = now_s + self._notifier.watchdog_s / _FEEDS_PER_WATCHDOG
            self._notifier.alive()
        return True

    def _complain(self, overdue: List[Stage]) -> None:
        names = [stage.name for stage in overdue]
        if names and names != self._complained:
            for stage in overdue:
                doing = "waiting for %s" % stage.waits_for if stage.waits_for else "at work"
                _LOGGER.error(
                    "%s hangs: %s, and %.0f s late; the watchdog is not fed", stage.name, doing, stage.overdue_s
                )
            _dump_threads()
        elif self._complained and not names:
            _LOGGER.warning("%s went on by itself", ", ".join(self._complained))
        self._complained = names


def _dump_threads() -> None:
    """Where every thread stands, to the log: the only witness of a hang that is gone after the restart."""
    try:
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation) as error:
        _LOGGER.debug("threads cannot be shown: %s", error)
