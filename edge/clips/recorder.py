"""From the stream of one source to pieces of sound, one for each event that is wanted. Nothing here reads a disk.

The latest sound is in memory, no more of it than a clip can need, and it is forgotten with each gap: a clip begins
after the last one and ends at the next, and nothing is glued.
"""

from typing import Callable, Dict, NamedTuple, Optional, Sequence

import numpy as np

from edge.clock import SourceClock, UtcTime
from edge.config import ClipsConfig, EventsConfig
from edge.recent_samples import RecentSamples
from edge.records import AudioBlock, EventChange


class ClipOffer(NamedTuple):
    """Sound that may become a clip, if it is found fit."""

    source: str
    event_id: str
    label: str
    samples: np.ndarray  # float32 [T], mono, in [-1, 1]; empty where nothing of the event is left
    sample_rate_hz: int
    start: UtcTime  # of samples[0]
    end: UtcTime
    event_start: UtcTime


class _Wanted(NamedTuple):
    label: str
    start_s: float


class ClipRecorder:
    """Follows one source.  One thread.

    Args:
        source: its name.
        settle_s: how long after a sound its event may still begin, or end: window, confirmation, merging.
        clock: dates what is offered.
        offer: takes it; must not block.
    """

    def __init__(
        self, source: str, config: ClipsConfig, settle_s: float, clock: SourceClock, offer: Callable[[ClipOffer], None]
    ) -> None:
        self._source, self._config, self._settle_s = source, config, settle_s
        self._clock, self._offer = clock, offer
        self._rate_hz = 0
        self._recent: Optional[RecentSamples] = None
        self._base = 0  # index of the first sample since the last gap
        self._wanted: Dict[str, _Wanted] = {}

    def hear(self, block: Optional[AudioBlock], events: Sequence[EventChange]) -> None:
        """Take a block, and what it brought to light; no block where a source went away, or ended."""
        if block is None:
            self._follow(events)
            return
        if block.gap is not None or self._recent is None or block.sample_rate_hz != self._rate_hz:
            begin_s = block.first_sample / float(block.sample_rate_hz)
            self._follow([change for change in events if change.start_s < begin_s])
            self._break()
            events = [change for change in events if change.start_s >= begin_s]
            self._begin(block)
        if self._recent is not None:
            self._recent.append(block.samples)
        self._follow(events)
        self._cut_long()

    def _follow(self, events: Sequence[EventChange]) -> None:
        for change in events:
            if change.phase == "start" and change.label in self._config.labels:
                self._wanted[change.event_id] = _Wanted(change.label, change.start_s)
            elif change.phase == "end" and change.event_id in self._wanted:
                self._cut(change.event_id, change.end_s)

    def _begin(self, block: AudioBlock) -> None:
        if self._recent is None or block.sample_rate_hz != self._rate_hz:
            self._rate_hz = block.sample_rate_hz
            longest_s = self._config.pre_roll_s + self._config.max_clip_s + 2.0 * self._settle_s
            self._recent = RecentSamples(int(longest_s * self._rate_hz) + len(block.samples) + 1)
        self._recent.reset()
        self._base = block.first_sample

    def _break(self) -> None:
        """Sound was lost: what is wanted still ends here.  Its event has been told to end as well, as a rule."""
        for event_id in list(self._wanted):
            self._cut(event_id, float("inf"))

    def _cut_long(self) -> None:
        """Events that last get their clip once it is certain that they last longer than it."""
        if not self._wanted or self._recent is None:
            return
        now_s = (self._base + self._recent.count) / float(self._rate_hz)
        for event_id, wanted in list(self._wanted.items()):
            if now_s >= wanted.start_s + self._config.max_clip_s + self._settle_s:
                self._cut(event_id, float("inf"))

    def _cut(self, event_id: str, end_s: float) -> None:
        wanted = self._wanted.pop(event_id)
        if self._recent is None:
            return
        rate_hz, recent = float(self._rate_hz), self._recent
        end_s = min(end_s, wanted.start_s + self._config.max_clip_s)
        end = min(recent.count, int(round(end_s * rate_hz)) - self._base)
        begin = max(int(round((wanted.start_s - self._config.pre_roll_s) * rate_hz)) - self._base, recent.oldest)
        samples = recent.since(begin)[: end - begin] if begin < end else np.zeros(0, np.float32)
        begin_s = (self._base + begin) / rate_hz
        start, until, event_start = self._clock.utc_of_all(
            begin_s, begin_s + len(samples) / rate_hz, max(wanted.start_s, begin_s)
        )
        self._offer(ClipOffer(self._source, event_id, wanted.label, samples, self._rate_hz, start, until, event_start))


def longest_delay_s(window_s: float, hop_s: float, events: EventsConfig) -> float:
    """How long after a sound its event may still begin, or end."""
    return window_s + max(events.confirm_s, events.merge_gap_s) + 2.0 * hop_s
