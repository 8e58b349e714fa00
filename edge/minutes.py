"""Which samples belong to which UTC minute. Reads no clock but the source's.

A minute's boundary lies between two samples; where exactly is known when the sound has passed it. So spans are told
after the fact, follow each other without a hole, and cover every moment of the stream once. Where the system's clock
is set or stepped the minute under way ends there and then, and the next span begins in the minute that it is by the
new time: neither is whole, both say what they cover, and nothing is dated by two clocks.
"""

import math
from typing import List, NamedTuple, Optional

from edge.clock import SourceClock, UtcTime

MINUTE_S = 60.0
_STEP_S = 0.5  # a difference between two looks that no drift makes
_PRECISION_S = 1e-6


class MinuteSpan(NamedTuple):
    """A stretch of one source's stream that lies in one UTC minute."""

    minute: UtcTime  # its beginning: a whole minute since the epoch
    start_s: float  # of the stream; where the span before it ended
    end_s: float
    start: UtcTime  # the same in UTC; within a millisecond of `minute` where the minute is whole
    end: UtcTime

    @property
    def is_whole(self) -> bool:
        """Whether it covers the minute from end to end."""
        return self.end.epoch_s - self.start.epoch_s > MINUTE_S - 0.05


def minute_of(clock: SourceClock, sample: int, sample_rate_hz: int) -> UtcTime:
    """The UTC minute in which a sample sounded, by its beginning."""
    at = clock.utc_of(sample / float(sample_rate_hz))
    return UtcTime(_minute_s(at.epoch_s), at.synced)


class MinuteGrid:
    """Cuts one source's stream at the full minutes of UTC."""

    def __init__(self, clock: SourceClock) -> None:
        self._clock = clock
        self._start_s: Optional[float] = None
        self._start = UtcTime(0.0, False)
        self._seen_s, self._seen = 0.0, UtcTime(0.0, False)

    def advance(self, stream_s: float) -> List[MinuteSpan]:
        """The stream has come to this moment, rising from call to call.  Returns what ended since, oldest first."""
        now = self._clock.utc_of(stream_s)
        if self._start_s is None:
            self._begin(stream_s, now)
            return []
        spans = []
        stepped_s = (now.epoch_s - self._seen.epoch_s) - (stream_s - self._seen_s)
        if abs(stepped_s) > _STEP_S or now.synced != self._start.synced:
            spans += self._end_at(self._seen_s, self._seen)
            self._begin(self._seen_s, self._clock.utc_of(self._seen_s))
        while now.epoch_s >= self._boundary_s():
            at_s = self._stream_at(self._boundary_s(), stream_s, now)
            at = _moved(now, self._boundary_s())
            spans += self._end_at(at_s, at)
            self._begin(at_s, at)
        self._seen_s, self._seen = stream_s, now
        return spans

    def finish(self) -> List[MinuteSpan]:
        """The stream has ended: what is left of the minute under way."""
        spans = self._end_at(self._seen_s, self._seen) if self._start_s is not None else []
        self._start_s = None
        return spans

    def _begin(self, stream_s: float, at: UtcTime) -> None:
        self._start_s, self._start = stream_s, at
        self._seen_s, self._seen = stream_s, at

    def _boundary_s(self) -> float:
        return _minute_s(self._start.epoch_s) + MINUTE_S

    def _stream_at(self, epoch_s: float, until_s: float, until: UtcTime) -> float:
        """The moment of the stream, between the last look and this one, at which it was this time."""
        back_s = until.epoch_s - epoch_s
        if until.monotonic_s is None:  # a recording: its own time is straight
            return max(self._seen_s, until_s - back_s)
        low_s, high_s = self._seen_s, until_s
        while high_s - low_s > _PRECISION_S:  # the mapping rises
            middle_s = 0.5 * (low_s + high_s)
            if self._clock.monotonic_of(middle_s) < until.monotonic_s - back_s:
                low_s = middle_s
            else:
                high_s = middle_s
        return high_s

    def _end_at(self, stream_s: float, at: UtcTime) -> List[MinuteSpan]:
        assert self._start_s is not None
        if stream_s <= self._start_s:
            return []
        minute = UtcTime(_minute_s(self._start.epoch_s), self._start.synced)
        return [MinuteSpan(minute, self._start_s, stream_s, self._start, at)]


def _moved(time: UtcTime, epoch_s: float) -> UtcTime:
    """Another moment by the same reading of the clock."""
    monotonic_s = None if time.monotonic_s is None else time.monotonic_s + epoch_s - time.epoch_s
    return UtcTime(epoch_s, time.synced, monotonic_s)


def _minute_s(epoch_s: float) -> float:
    return math.floor((epoch_s + _PRECISION_S) / MINUTE_S) * MINUTE_S
