"""From windows to events: when does a sound start, how long does it last, when did it end?

A window of 4 s smears a sound over all the windows that touch it. Which windows hold it says roughly where it is;
the 125 ms envelope says where its edges are. Nothing here reads a clock or counts windows: all rules are in seconds
of the stream, so that another hop gives the same events.
"""

import math
from collections import deque
from typing import Deque, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from edge.config import EventsConfig
from edge.decision import Verdict
from edge.envelope import Envelope
from edge.records import EventChange

# A sound is recognised once about this much of it lies in the window, and lost when less is left.
_RECOGNISED_AFTER_S = 1.0
_LEAST_RISE_DB = 2.0  # a smaller step of the envelope is no edge
_EARLIEST_RISE_SHARE = 0.6  # of the steepest rise: of several barks the first is the start
_EDGE_UNCERTAINTY_S = 0.25
_FRAMES_BEFORE = 4  # a rise is measured against the half second before it


class _Window(NamedTuple):
    start_s: float
    end_s: float
    accepted: bool
    score: float


class _Open(NamedTuple):
    """An event that has started."""

    event_id: str
    start_s: float
    uncertainty_s: float
    last_window: _Window  # the last that held the sound
    scores: Tuple[float, float, int]  # maximum, sum, count
    next_update_s: float
    lost_at_s: Optional[float]  # start of the first window after last_window that did not hold it


class EventDetector:
    """Follows one source. Exactly one end for each start.

    Args:
        labels: the bundle's.
        hop_s: time from one window to the next.
        id_prefix: makes event ids unique among sources and starts of the node.
    """

    def __init__(
        self, labels: Tuple[str, ...], config: EventsConfig, envelope: Envelope, hop_s: float, id_prefix: str
    ) -> None:
        self._config, self._envelope, self._prefix, self._hop_s = config, envelope, id_prefix, hop_s
        self._of = max(1, int(round(config.confirm_s / hop_s)) + 1)
        self._recent: Dict[str, Deque[_Window]] = {label: deque(maxlen=self._of) for label in labels}
        self._open: Dict[str, _Open] = {}
        self._count = 0
        self._stretch_start_s = math.inf  # start of the first window since the last gap

    @property
    def active_labels(self) -> Tuple[str, ...]:
        """Labels whose event is running."""
        return tuple(sorted(self._open))

    def push(self, start_s: float, end_s: float, verdict: Verdict) -> List[EventChange]:
        """Take one window's verdict.  Returns what started, went on for long, or ended."""
        changes = []
        self._stretch_start_s = min(self._stretch_start_s, start_s)
        for label, recent in self._recent.items():
            window = _Window(start_s, end_s, label in verdict.accepted, verdict.scores[label])
            recent.append(window)
            if label in self._open:
                changes += self._go_on(label, window, label in verdict.sustained)
            elif window.accepted and len(recent) == self._of and self._confirmed(recent, self._of):
                changes.append(self._start(label, recent))
        return changes

    def finish(self, end_reason: str) -> List[EventChange]:
        """The stream ends or breaks: end what runs.  A stretch too short for `confirm_s` is judged by what there is."""
        changes = []
        for label, recent in self._recent.items():
            if label not in self._open and 0 < len(recent) < self._of and self._confirmed(recent, len(recent)):
                changes.append(self._start(label, recent))
            if label in self._open:
                changes.append(self._end(label, end_reason))
            recent.clear()
        self._stretch_start_s = math.inf
        return changes

    def _confirmed(self, recent: "Deque[_Window]", of: int) -> bool:
        needed = max(1, int(math.ceil(self._config.confirm_share * of - 1e-9)))
        return sum(window.accepted for window in recent) >= needed

    def _start(self, label: str, recent: "Deque[_Window]") -> EventChange:
        held = [window for window in recent if window.accepted]
        start_s, uncertainty_s = self._find_start(held[0])
        self._count += 1
        scores = [window.score for window in held]
        self._open[label] = _Open(
            "%s-%d" % (self._prefix, self._count),
            start_s,
            uncertainty_s,
            held[-1],
            (max(scores), sum(scores), len(scores)),
            start_s + self._config.max_event_s,
            None,
        )
        return self._change(label, "start", held[-1].end_s, None)

    def _go_on(self, label: str, window: _Window, sustained: bool) -> List[EventChange]:
        event = self._open[label]
        if sustained:
            top, total, count = event.scores
            self._open[label] = event = event._replace(
                last_window=window, lost_at_s=None, scores=(max(top, window.score), total + window.score, count + 1)
            )
        else:
            if event.lost_at_s is None:
                self._open[label] = event = event._replace(lost_at_s=window.start_s)
            if window.end_s - event.last_window.end_s >= self._config.merge_gap_s:
                return [self._end(label, "quiet")]
        if window.end_s >= event.next_update_s:
            self._open[label] = event._replace(next_update_s=event.next_update_s + self._config.max_event_s)
            return [self._change(label, "update", window.end_s, None)]
        return []

    def _end(self, label: str, end_reason: str) -> EventChange:
        event = self._open[label]
        end_s = self._find_end(event)
        change = self._change(label, "end", max(end_s, event.start_s + self._config.min_duration_s), end_reason)
        del self._open[label]
        self._recent[label].clear()
        return change

    def _change(self, label: str, phase: str, end_s: float, end_reason: Optional[str]) -> EventChange:
        event = self._open[label]
        top, total, count = event.scores
        return EventChange(
            event.event_id, phase, label, event.start_s, end_s, end_reason, top, total / count, event.uncertainty_s
        )

    def _find_start(self, first: _Window) -> Tuple[float, float]:
        """Where the sound that the first window holds began, and how uncertain that is.

        The window before did not hold it, so less than about a second of it lay there. Where there was no window
        before, the sound may be as old as the stretch.
        """
        is_first_of_stretch = first.start_s <= self._stretch_start_s
        earliest_s = (
            first.start_s
            if is_first_of_stretch
            else max(first.start_s, first.end_s - self._hop_s - _RECOGNISED_AFTER_S)
        )
        at_s = self._find_rise(earliest_s, first.end_s, is_first_of_stretch)
        if at_s is not None:
            return at_s, _EDGE_UNCERTAINTY_S
        half_s = 0.5 * (first.end_s - earliest_s)
        return (earliest_s if is_first_of_stretch else earliest_s + half_s), half_s

    def _find_rise(self, earliest_s: float, latest_s: float, is_first_of_stretch: bool) -> Optional[float]:
        """Time of the first steep rise of the envelope between two times; None where there is none."""
        begin = self._envelope.first_frame(earliest_s, latest_s)
        levels = np.nan_to_num(self._envelope.levels(earliest_s, latest_s), nan=-160.0)
        if len(levels) < 2:
            return None
        before = np.full(_FRAMES_BEFORE, levels.min())  # nothing is known of what was before the stretch
        if not is_first_of_stretch:
            known = np.nan_to_num(
                self._envelope.levels(earliest_s - _FRAMES_BEFORE * self._envelope.frame_s, earliest_s), nan=-160.0
            )
            before[_FRAMES_BEFORE - len(known) :] = known[:_FRAMES_BEFORE]
        levels = np.concatenate([before, levels])
        rises = [
            np.mean(levels[i : i + 2]) - np.mean(levels[i - _FRAMES_BEFORE : i])
            for i in range(_FRAMES_BEFORE, len(levels) - 1)
        ]
        if max(rises) < _LEAST_RISE_DB:
            return None
        at = next(i for i, rise in enumerate(rises) if rise >= _EARLIEST_RISE_SHARE * max(rises))
        while at + 1 < len(rises) and rises[at + 1] > rises[at]:  # up to the top of this edge
            at += 1
        return (begin + at) * self._envelope.frame_s

    def _find_end(self, event: _Open) -> float:
        """Where the sound ended.

        The first window without it held less than about a second of it; a sound after that is another one.
        """
        last = event.last_window
        bound_s = last.end_s if event.lost_at_s is None else min(last.end_s, event.lost_at_s + _RECOGNISED_AFTER_S)
        bound_s = max(bound_s, event.start_s)
        around = self._envelope.levels(event.start_s - (last.end_s - last.start_s), last.end_s)
        inside = self._envelope.levels(event.start_s, bound_s)
        if len(inside) == 0 or not np.isfinite(inside).any():
            return bound_s
        loud, quiet = np.nanpercentile(inside, 90), np.nanmin(around)
        if loud - quiet < 2 * _LEAST_RISE_DB:
            return bound_s
        active = np.flatnonzero(np.nan_to_num(inside, nan=-160.0) >= quiet + 0.4 * (loud - quiet))
        end = self._envelope.first_frame(event.start_s, bound_s) + int(active[-1]) + 1
        return min(end * self._envelope.frame_s, bound_s)
