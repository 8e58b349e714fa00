"""Where a source's own time lies in the world: from samples to monotonic time and UTC.

A board without a battery wakes up anywhere in time and learns the true one when a time server answers, hours later
perhaps. Until then UTC is a guess and called `unsynced`; the monotonic clock counts all along, so what was dated by
the guess can be dated again (`edge.redating`).

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
_OFFSET_TRIES = 5
_QUICK_S = 0.0005  # between two looks at one clock nobody came between
_ASK_AGAIN_S = 1.0
_MACHINE_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_TIMESYNC_MARK = "/run/systemd/timesync/synchronized"
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_EPOCH_2024_S = 1704067200.0


class UtcTime(NamedTuple):
    """A moment, and whether it can be believed."""

    epoch_s: float  # since 1970-01-01T00:00:00Z
    synced: bool
    monotonic_s: Optional[float] = None  # the same moment; None where the system's clock has no part in it


class ClockReading(NamedTuple):
    """How UTC follows from the monotonic clock at the moment of asking."""

    offset_s: float  # UTC minus monotonic
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


def read_machine_boot_id() -> str:
    """The kernel's id of this start of the machine, for which alone its monotonic clock means anything; "" if none."""
    try:
        with open(_MACHINE_BOOT_ID) as file:
            return file.read().strip()
    except OSError:
        return ""


class SystemClock:
    """The machine's monotonic and wall clock side by side.  May be used from several threads.

    Once the wall clock has been seen synchronised it counts as set: a time server that is away for a week does not
    make what the clock said meanwhile a guess.

    Args:
        is_synchronised: asked once a second at most, until it says so.
        monotonic_s, wall_s: the clocks.
    """

    def __init__(
        self,
        is_synchronised: Callable[[], bool] = is_system_clock_synchronised,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._is_synchronised, self._monotonic_s, self._wall_s = is_synchronised, monotonic_s, wall_s
        self._synced, self._asked_s = False, -float("inf")
        self._offset_s: Optional[float] = None

    def read(self) -> ClockReading:
        """The offset, and whether it can be believed."""
        now_s = self._monotonic_s()
        if not self._synced and now_s - self._asked_s >= _ASK_AGAIN_S:
            self._synced, self._asked_s = self._is_synchronised(), now_s
        # asked first: a clock that is set between the two gives a right offset called a guess, and never the reverse
        offset_s = self._measure_offset_s()
        known_s = self._offset_s
        if known_s is None or abs(offset_s - known_s) > _UTC_STEP_S:
            self._offset_s = known_s = offset_s
        return ClockReading(known_s, self._synced)

    def now(self) -> UtcTime:
        """UTC of the present."""
        reading, now_s = self.read(), self._monotonic_s()
        return UtcTime(now_s + reading.offset_s, reading.synced, now_s)

    def _measure_offset_s(self) -> float:
        """Both clocks as if read at once: a busy machine may come between two looks, so the quickest pair counts."""
        best_s, offset_s = float("inf"), 0.0
        for _ in range(_OFFSET_TRIES):
            before_s, wall_s, after_s = self._monotonic_s(), self._wall_s(), self._monotonic_s()
            if after_s - before_s < best_s:
                best_s, offset_s = after_s - before_s, wall_s - 0.5 * (before_s + after_s)
            if best_s <= _QUICK_S:
                break
        return offset_s


class SourceClock:
    """Maps one source's stream time (seconds since its first sample) to monotonic time and UTC.

    Args:
        start_time_utc_s: when the source's first sample sounded, since the epoch; for recordings, which then replay
            exactly and count as synchronised. None dates by the system's clock.
        system: the machine's clocks.
    """

    def __init__(self, start_time_utc_s: Optional[float] = None, system: Optional[SystemClock] = None) -> None:
        self._start_time_utc_s = start_time_utc_s
        self._system = system or SystemClock()
        self._knots: Deque[Tuple[float, float]] = deque(maxlen=_KNOTS)  # stream_s, monotonic; both rise
        self._head = (0.0, 0.0)  # the newest observation, and the rate from there on
        self._rate = 1.0

    @property
    def is_of_recording(self) -> bool:
        """Whether time is what a recording says, and not the machine's clock."""
        return self._start_time_utc_s is not None

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
        return self.utc_of_all(stream_s)[0]

    def utc_of_all(self, *moments_s: float) -> Tuple[UtcTime, ...]:
        """UTC of several moments by one reading of the clock: a step of it does not come between them."""
        if self._start_time_utc_s is not None:
            return tuple(UtcTime(self._start_time_utc_s + stream_s, True) for stream_s in moments_s)
        offset_s, synced = self._system.read()
        monotonic_s = [self.monotonic_of(stream_s) for stream_s in moments_s]
        return tuple(UtcTime(at_s + offset_s, synced, at_s) for at_s in monotonic_s)

    def utc_now(self) -> UtcTime:
        """UTC of the present, for messages that tell of no sound; in a recording, of its newest block."""
        return self._system.now() if self._start_time_utc_s is None else self.utc_of(self._head[0])

    def _ahead_of_head(self, stream_s: float) -> float:
        return self._head[1] + (stream_s - self._head[0]) * self._rate


def _kernel_says_synchronised() -> bool:
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # modes 0: only asks
    except (OSError, AttributeError):
        return False
    return 0 <= int(answer) < _TIME_ERROR
