"""What one source's sound comes to: a summary each UTC minute, hour and day.

A minute is told some seconds after it has ended, when it is known what was heard in it; the part of a minute at a
start, a stop, a break of the sound or a step of the clock is told by itself and says what it covers. Where no sound
came at all there is nothing to tell: its hour says how much of it was valid.
"""

from collections import deque
from typing import Callable, Deque, Iterable, List, Optional, Tuple

from edge.clock import SourceClock, UtcTime, read_machine_boot_id
from edge.levels.event_times import EventTimes
from edge.levels.keepsakes import KeptMark, keepsake_of_mark, keepsake_of_minute
from edge.levels.local_day import LocalCalendar
from edge.levels.period import Period
from edge.levels.rollup import Rollup, Told
from edge.levels.totals import Condition, split_frame
from edge.messages import MessageFactory
from edge.minutes import MinuteGrid, MinuteSpan
from edge.records import Dating, EventChange, Keepsake, LevelFrame, Message
from edge.store import NEWS_S

LONGEST_SETTLE_S = 10.0  # with the store's patience, a summary is still news when it is sent
_LEAST_SETTLE_S = 1.0  # the eighth of a second that straddles the border comes after it
_TOUCHES_S = 1e-3


class SourceSummaries:
    """Takes what was heard, builds and publishes the summaries.  For one thread at a time.

    Args:
        name: the source's.
        clock: dates its stream.
        publish: takes messages; must not block.
        labels: the classes that summaries tell of.
        calendar: of the place, for Lden; None: there is none to be told.
        settle_s: so long after a minute's end it is known what was heard in it.
    """

    def __init__(
        self,
        name: str,
        clock: SourceClock,
        factory: MessageFactory,
        publish: Callable[[Message], None],
        labels: Iterable[str],
        calendar: Optional[LocalCalendar] = None,
        settle_s: float = LONGEST_SETTLE_S,
    ) -> None:
        self._name, self._clock, self._factory, self._publish = name, clock, factory, publish
        self._labels = tuple(labels)
        self._settle_s = min(max(settle_s, _LEAST_SETTLE_S), LONGEST_SETTLE_S)
        self._is_lasting, self._is_measured = False, True
        self._machine_boot_id = read_machine_boot_id()
        self._grid = MinuteGrid(clock)
        self._events = EventTimes()
        self._rollup = Rollup(calendar, self._machine_boot_id)
        self._frames: Deque[Tuple[LevelFrame, float, Condition]] = deque()  # with their rate; not yet in a minute
        self._sounded: Deque[List[float]] = deque()  # from when to when, stream seconds
        self._ended: Deque[MinuteSpan] = deque()  # minutes that are yet to settle

    def restore(self, kept: Optional[Iterable[bytes]]) -> None:
        """Take up where an earlier start left off; before anything is heard.

        Args:
            kept: what the store gives back; None: it keeps nothing. A recording begins anew, and keeps nothing either.
        """
        if kept is not None and not self._clock.is_of_recording:
            self._is_lasting = True
            self._rollup.restore(kept)

    def note(
        self,
        frames: Iterable[LevelFrame],
        sample_rate_hz: float,
        condition: Optional[Condition],
        events: Iterable[EventChange],
    ) -> None:
        """What was measured and named.

        Args:
            frames: in the order of time.
            condition: under which they were taken; None: no levels are wanted, and all sound counts as valid.
        """
        self._is_measured = condition is not None
        self._frames.extend((frame, sample_rate_hz, condition or Condition()) for frame in frames)
        self._events.take(events)

    def advance(self, start_s: float, end_s: float) -> None:
        """A block of sound from one moment of the stream to another has been heard, and noted as far as known."""
        if self._sounded and start_s - self._sounded[-1][1] < _TOUCHES_S:
            self._sounded[-1][1] = end_s
        else:
            self._sounded.append([start_s, end_s])
        self._ended.extend(self._grid.advance(start_s) + self._grid.advance(end_s))
        while self._ended and self._ended[0].end_s + self._settle_s <= end_s:
            self._tell_minute(self._ended.popleft())

    def break_off(self) -> None:
        """Nobody knows when sound comes again: what there is of the minute under way is told now."""
        self._ended.extend(self._grid.finish())
        while self._ended:
            self._tell_minute(self._ended.popleft())
        self._frames.clear()
        self._sounded.clear()

    def idle(self) -> None:
        """No sound comes: hours and days that are over are told all the same."""
        now = self._clock.utc_now()
        if now.synced and not self._clock.is_of_recording:
            self._date_held(now)
            self._tell_all(self._rollup.over_by(now.epoch_s - self._settle_s), now)

    def finish(self) -> None:
        """The source has ended.  Where nothing is kept to go on from, the hour and the day under way end with it."""
        self.break_off()
        if not self._is_lasting:
            self._tell_all(self._rollup.finish(), self._clock.utc_of(0.0))

    def _tell_minute(self, span: MinuteSpan) -> None:
        # a clock that is set back a little may end the first moments of a minute before they began
        minute = Period(span.start.epoch_s, max(span.start.epoch_s, span.end.epoch_s))
        self._fill(minute, span.end_s)
        sounded_s = self._sounded_in(span)
        if sounded_s > 0.0:
            minute.unmeasured_s = 0.0 if self._is_measured else sounded_s
            minute.sounding = self._events.close(span.start_s, span.end_s)
            keepsake = keepsake_of_minute(minute, self._dating_of(span.end))
            self._send("summary", minute.values(self._labels), span.end, keepsake)
            if span.end.synced:
                self._rollup.add(minute)
            else:
                self._rollup.hold(keepsake)
        if span.end.synced:
            self._date_held(span.end)
            self._tell_all(self._rollup.over_by(span.end.epoch_s), span.end)

    def _date_held(self, now: UtcTime) -> None:
        if now.monotonic_s is not None:
            self._rollup.date_held(now.epoch_s - now.monotonic_s)

    def _tell_all(self, told: Iterable[Told], now: UtcTime) -> None:
        for one in told:
            values = one.period.values(self._labels)
            values.update(one.values)
            mark = KeptMark(one.type_name, one.period.start_s)
            self._send(one.type_name, values, now._replace(epoch_s=one.period.end_s), keepsake_of_mark(mark))

    def _send(self, type_name: str, values: dict, time: UtcTime, keepsake: bytes) -> None:
        is_news = self._clock.is_of_recording or self._clock.utc_now().epoch_s - time.epoch_s <= NEWS_S
        message = self._factory.build(type_name, time, dict(values, replayed=not is_news), self._name)
        if self._is_lasting:
            message = message._replace(keepsake=Keepsake(self._name, keepsake))
        self._publish(message)

    def _dating_of(self, end: UtcTime) -> Optional[Dating]:
        if end.synced or end.monotonic_s is None:
            return None
        return Dating(self._machine_boot_id, end.monotonic_s)

    def _fill(self, minute: Period, end_s: float) -> None:
        """Take the frames up to a moment of the stream into a minute, of one that straddles it a part."""
        while self._frames:
            frame, rate_hz, condition = self._frames[0]
            end_sample = int(round(end_s * rate_hz))
            if frame.first_sample >= end_sample:
                return
            self._frames.popleft()
            if frame.end_sample > end_sample:
                frame, rest = split_frame(frame, end_sample)
                self._frames.appendleft((rest, rate_hz, condition))
            minute.totals_under(condition).add(frame, rate_hz, condition.noise_floor_dbfs)

    def _sounded_in(self, span: MinuteSpan) -> float:
        """Seconds of sound that came, valid or not."""
        parts = ((max(start_s, span.start_s), min(end_s, span.end_s)) for start_s, end_s in self._sounded)
        sounded_s = sum(max(0.0, end_s - start_s) for start_s, end_s in parts)
        while self._sounded and self._sounded[0][1] <= span.end_s:
            self._sounded.popleft()
        return sounded_s
