"""How long each class sounded, and how many of its events began, in one minute after the other.

An event is known some seconds after it began, and its end some seconds after it fell silent. So minutes are closed a
little later than they end; an event whose end is not known by then counts as sounding to the minute's end. Each event
counts once: as begun in the minute that holds its start, or where that was closed already, in the next.
"""

from typing import Dict, Iterable, List, NamedTuple

from edge.levels.period import SoundingTimes
from edge.records import EventChange


class _Sounding(NamedTuple):
    label: str
    start_s: float
    end_s: float  # infinite while it lasts
    is_counted: bool


class EventTimes:
    """Follows one source's events; times are its stream's."""

    def __init__(self) -> None:
        self._events: Dict[str, _Sounding] = {}

    def take(self, changes: Iterable[EventChange]) -> None:
        """What started, went on and ended."""
        for change in changes:
            known = self._events.get(change.event_id)
            is_counted = known is not None and known.is_counted
            if change.phase == "end":
                self._events[change.event_id] = _Sounding(change.label, change.start_s, change.end_s, is_counted)
            elif known is None:
                self._events[change.event_id] = _Sounding(change.label, change.start_s, float("inf"), False)

    def close(self, start_s: float, end_s: float) -> SoundingTimes:
        """What sounded in a stretch that follows the last one that was asked for; nothing of it is asked again."""
        spans: Dict[str, List[List[float]]] = {}
        began: Dict[str, int] = {}
        for event_id, event in list(self._events.items()):
            if event.start_s >= end_s:
                continue
            if not event.is_counted:
                began[event.label] = began.get(event.label, 0) + 1
            if event.end_s > start_s:
                spans.setdefault(event.label, []).append([max(start_s, event.start_s), min(end_s, event.end_s)])
            if event.end_s <= end_s:
                del self._events[event_id]
            else:
                self._events[event_id] = event._replace(is_counted=True)
        return SoundingTimes({label: _covered_s(of_label) for label, of_label in spans.items()}, began)


def _covered_s(spans: List[List[float]]) -> float:
    """Seconds that lie in at least one of them."""
    covered_s, reached_s = 0.0, -float("inf")
    for start_s, end_s in sorted(spans):
        covered_s += max(0.0, end_s - max(start_s, reached_s))
        reached_s = max(reached_s, end_s)
    return covered_s
