"""How loud each event was, and how loud it was before: from a memory that reaches back past an event's onset.

When an event is found it has sounded for seconds, and its end is known later still. So the last minutes of levels are
kept; what of a long event is older than that has been added up before it is forgotten.
"""

import math
from collections import deque
from typing import Deque, Dict, Iterable, List, NamedTuple, Optional

import numpy as np

from edge.levels.totals import level_of
from edge.records import EventChange, LevelFrame

BACKGROUND_S = 60.0  # before an event, of which its background's LA90 is made
_BACKGROUND_PERCENTILE = 10.0  # the level exceeded for 90 % of the time
_SAME_TIME_S = 1e-3  # resampling rounds the end of a stream to a sample
_LEAST_BACKGROUND_FRAMES = 80  # 10 s: of less, LA90 says nothing


class _Moment(NamedTuple):
    """What is kept of a frame."""

    middle_s: float
    end_s: float
    heard_samples: int
    energy_a: float
    laf_dbfs: Optional[float]
    lafmax_dbfs: Optional[float]


class _Loudness:
    """Of an event, as far as it is known."""

    def __init__(self) -> None:
        self.heard_samples = 0
        self.energy_a = 0.0
        self.lafmax_dbfs: Optional[float] = None

    def add(self, moment: _Moment) -> None:
        self.heard_samples += moment.heard_samples
        self.energy_a += moment.energy_a
        if moment.lafmax_dbfs is not None and (self.lafmax_dbfs is None or moment.lafmax_dbfs > self.lafmax_dbfs):
            self.lafmax_dbfs = moment.lafmax_dbfs

    def copy(self) -> "_Loudness":
        other = _Loudness()
        other.__dict__.update(self.__dict__)
        return other

    @property
    def laeq_dbfs(self) -> Optional[float]:
        return level_of(self.energy_a, self.heard_samples)


class _Event:
    """What has been told of one."""

    def __init__(self, start_s: float, background_la90_dbfs: Optional[float]) -> None:
        self.start_s = start_s
        self.end_s = math.inf  # once it has ended, when
        self.background_la90_dbfs = background_la90_dbfs
        self.forgotten = _Loudness()  # of its part that is older than the memory


class EventLevels:
    """Joins one source's events with its levels.

    Args:
        kept_s: how far back an event's start or end may lie when it is told, seconds.
    """

    def __init__(self, sample_rate_hz: int, kept_s: float) -> None:
        self._sample_rate_hz, self._kept_s = float(sample_rate_hz), kept_s + BACKGROUND_S
        self._moments: Deque[_Moment] = deque()
        self._events: Dict[str, _Event] = {}  # those that sound, and those whose sound is still remembered

    def push(self, frames: Iterable[LevelFrame]) -> None:
        """Take levels, in the order of time."""
        for frame in frames:
            middle_s = 0.5 * (frame.first_sample + frame.end_sample) / self._sample_rate_hz
            end_s = frame.end_sample / self._sample_rate_hz
            self._moments.append(
                _Moment(middle_s, end_s, frame.heard_samples, frame.energy_a, frame.laf_dbfs, frame.lafmax_dbfs)
            )
            self._forget(middle_s - self._kept_s)

    def join(self, change: EventChange) -> EventChange:
        """The same change with the event's levels so far, and those of its background."""
        event = self._events.get(change.event_id)
        if event is None:
            background = self._background(change.start_s)
            event = self._events[change.event_id] = _Event(change.start_s, background)
        if change.phase == "end":
            event.end_s = change.end_s
        loudness = event.forgotten.copy()
        for moment in self._between(change.start_s, change.end_s):
            loudness.add(moment)
        return change._replace(
            laeq_dbfs=loudness.laeq_dbfs,
            lafmax_dbfs=loudness.lafmax_dbfs,
            background_la90_dbfs=event.background_la90_dbfs,
        )

    def highest(self, start_s: float, end_s: float) -> Optional[float]:
        """LAFmax between two times, dB re full scale; None where none is valid."""
        levels = [m.lafmax_dbfs for m in self._between(start_s, end_s) if m.lafmax_dbfs is not None]
        return max(levels) if levels else None

    def _between(self, start_s: float, end_s: float) -> List[_Moment]:
        """Moments whose middle lies there, and that were over by then: one under way depends on the blocks' size."""
        found = []
        for moment in reversed(self._moments):
            if moment.middle_s < start_s:
                break
            if moment.end_s <= end_s + _SAME_TIME_S:
                found.append(moment)
        return found

    def _background(self, at_s: float) -> Optional[float]:
        """LA90 of the time before, without what belongs to events that were told."""
        others = [event for event in self._events.values() if event.end_s > at_s - BACKGROUND_S]
        levels = [
            moment.laf_dbfs
            for moment in self._between(at_s - BACKGROUND_S, at_s)
            if moment.laf_dbfs is not None
            and not any(event.start_s <= moment.middle_s < event.end_s for event in others)
        ]
        return float(np.percentile(levels, _BACKGROUND_PERCENTILE)) if len(levels) >= _LEAST_BACKGROUND_FRAMES else None

    def _forget(self, before_s: float) -> None:
        while self._moments[0].middle_s < before_s:
            moment = self._moments.popleft()
            for event in self._events.values():
                if event.start_s <= moment.middle_s < event.end_s:
                    event.forgotten.add(moment)
        for event_id in [event_id for event_id, event in self._events.items() if event.end_s < before_s]:
            del self._events[event_id]
