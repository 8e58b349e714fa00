"""Where a source's own time lies in the world: from samples to monotonic time and UTC.

Sound cards count their own seconds, 20 to 100 ppm off, and are delivered late by some milliseconds, each time
differently. So the mapping is slewed towards what is observed, never set back: it stays continuous and rises
always, but for a jump forward where sound was lost that nobody counted.
"""

import bisect
import ctypes
import os
import time
import uuid
from collections import deque
from typing import Callable, Deque, NamedTuple, Optional, Tuple

_TRACKING_S = 60.0  # time constant of the slewing: at 100 ppm the mapping lags by 6 ms
_SLEW_LIMIT = 0.005
_STEP_S = 0.5  # an error above this is no jitter
_CATCH_UP_RATE = 0.5  # of a mapping that is ahead by more than _STEP_S
_KNOT_SPACING_S = 1.0
_BEND = 0.001  # a change of rate that is worth a knot of its own
_KNOTS = 900  # 15 minutes of stable past: an event's start is dated alike at its start and at its end
_UTC_STEP_S = 0.005  # smaller wanderings between the two system clocks are not followed
_TIMESYNC_MARK = "/run/systemd/timesync/synchronized"
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_EPOCH_2024_S = 1704067200.0


class UtcTime(NamedTuple):
    """A moment, and whether it can be believed."""

    epoch_s: float  # since 1970-01-01T00:00:00Z
    synced: bool


def new_boot_id() -> str:
    """A fresh id for this start of the daemon: what `boot_id` in messages means.  Not the machine's own boot id.

    It changes whenever the counters (`seq`) begin anew, and those live and die with the process.
    """
    return uuid.uuid4().hex


def is_system_clock_synchronised() -> bool:
    """Whether the system's clock is disciplined by a time server, as far as the system knows."""
    if time.time() < _EPOCH_2024_S:
        return False
    return os.path.exists(_TIMESYNC_MARK) or _kernel_says_synchronised()


class SourceClock:
    """Maps one source's stream time (seconds since its first sample) to monotonic time and UTC.

    Args:
        start_time_utc_s: when the source's first sample sounded, since the epoch; for recordings, which then replay
            exactly and count as synchronised. None dates by the system's clock.
        is_synchronised: asked whenever UTC is wanted.
        monotonic_s, wall_s: the system's clocks.
    """

    def __init__(
        self,
        start_time_utc_s: Optional[float] = None,
        is_synchronised: Callable[[], bool] = is_system_clock_synchronised,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._start_time_utc_s = start_time_utc_s
        self._is_synchronised, self._monotonic_s, self._wall_s = is_synchronised, monotonic_s, wall_s
        self._knots: Deque[Tuple[float, float]] = deque(maxlen=_KNOTS)  # stream_s, monotonic; both rise
        self._head = (0.0, 0.0)  # the newest observation, and the rate from there on
        self._rate = 1.0
        self._utc_offset_s: Optional[float] = None

    def observe(self, first_sample: int, sample_rate_hz: float, captured_at_s: float) -> None:
        """Take note that the sample of this index was captured at this monotonic time."""
        stream_s = first_sample / float(sample_rate_hz)
        if not self._knots:
            self._head = (stream_s, captured_at_s)
            self._knots.append(self._head)
            return
        if stream_s <= self._head[0]:
            return
        mapped_s = self._ahead_of_head(stream_s)
        error_s = captured_at_s - mapped_s
        if error_s > _STEP_S:  # two knots at one moment: up to it the old line holds
            self._knots.extend([(stream_s, mapped_s), (stream_s, captured_at_s)])
            self._head, self._rate = (stream_s, captured_at_s), 1.0
            return
        rate = _CATCH_UP_RATE
        if error_s >= -_STEP_S:
            rate = 1.0 + max(-_SLEW_LIMIT, min(_SLEW_LIMIT, error_s / _TRACKING_S))
        is_bend = abs(rate - self._rate) > _BEND
        self._head, self._rate = (stream_s, mapped_s), rate
        if is_bend or stream_s - self._knots[-1][0] >= _KNOT_SPACING_S:
            self._knots.append(self._head)

    def monotonic_of(self, stream_s: float) -> float:
        """Monotonic time of a moment of the stream.  Rises with it; before the first block, the moment itself from 0.

        A moment of the last 15 minutes keeps its answer, but for what lies beyond the newest block.
        """
        if not self._knots:
            return stream_s
        if stream_s >= self._head[0]:
            return self._ahead_of_head(stream_s)
        if stream_s <= self._knots[0][0]:
            return self._knots[0][1] - (self._knots[0][0] - stream_s)
        points = list(self._knots)
        if self._head[0] > points[-1][0]:
            points.append(self._head)
        right = bisect.bisect_right(points, (stream_s, float("inf")))
        (left_stream_s, left_s), (right_stream_s, right_s) = points[right - 1], points[right]
        share = (stream_s - left_stream_s) / (right_stream_s - left_stream_s)
        return left_s + share * (right_s - left_s)

    def utc_of(self, stream_s: float) -> UtcTime:
        """UTC of a moment of the stream, and whether the system's clock was synchronised when asked."""
        if self._start_time_utc_s is not None:
            return UtcTime(self._start_time_utc_s + stream_s, True)
        return self._utc_of_monotonic(self.monotonic_of(stream_s))

    def utc_now(self) -> UtcTime:
        """UTC of the present, for messages that tell of no sound."""
        return UtcTime(self._wall_s(), self._is_synchronised())

    def _ahead_of_head(self, stream_s: float) -> float:
        return self._head[1] + (stream_s - self._head[0]) * self._rate

    def _utc_of_monotonic(self, at_s: float) -> UtcTime:
        offset_s = self._wall_s() - self._monotonic_s()
        if self._utc_offset_s is None or abs(offset_s - self._utc_offset_s) > _UTC_STEP_S:
            self._utc_offset_s = offset_s
        return UtcTime(at_s + self._utc_offset_s, self._is_synchronised())


def _kernel_says_synchronised() -> bool:
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only asks
    except (OSError, AttributeError):
        return False
    return 0 <= int(answer) < _TIME_ERROR
