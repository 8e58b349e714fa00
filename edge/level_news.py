"""What one source has to tell of its sound levels: a message each second, and what its state says of them."""

from typing import Callable, Dict, Iterable, Optional, Tuple

from edge.clock import SourceClock
from edge.levels.period import calibration_values, quality_values
from edge.levels.told import told_levels
from edge.levels.totals import Condition, LevelTotals, level_of
from edge.messages import MessageFactory
from edge.records import JsonObject, LevelFrame, Message


class LevelNews:
    """Adds up frames; publishes `level` whenever one of the stream's seconds is over.

    Args:
        name: the source's.
        clock: dates its stream.
        publish: takes messages; must not block.
    """

    def __init__(
        self, name: str, clock: SourceClock, factory: MessageFactory, publish: Callable[[Message], None]
    ) -> None:
        self._name, self._clock, self._factory, self._publish = name, clock, factory, publish
        self._second: Optional[_Second] = None
        self._condition: Optional[Condition] = None
        self._since_state = LevelTotals()
        self.state_values: JsonObject = calibration_values([])  # replaced as a whole: other threads build states too

    def take(
        self,
        frames: Iterable[LevelFrame],
        sample_rate_hz: int,
        condition: Optional[Condition],
        band_names: Tuple[str, ...] = (),
    ) -> None:
        """What was measured; in the order of time.  `condition` is None where levels are not wanted."""
        if condition is None:
            return
        if condition != self._condition:
            self.finish()
            self._condition = condition
            self.begin_state()
        has_heard = False
        for frame in frames:
            number = (frame.end_sample - 1) // sample_rate_hz
            if self._second is None or self._second.number != number:
                self.finish()
                self._second = _Second(number, condition, band_names)
            self._second.add(frame, sample_rate_hz)
            self._since_state.add(frame, sample_rate_hz)
            has_heard = True
            if frame.end_sample % sample_rate_hz == 0:
                self.finish()
        if has_heard:
            self._note_state()

    def finish(self) -> None:
        """Nothing follows directly: tell what there is of the second under way."""
        second, self._second = self._second, None
        if second is not None:
            start, end = self._clock.utc_of_all(float(second.number), second.number + 1.0)
            values = second.values()
            values.update(start=start, end=end)
            self._publish(self._factory.build("level", end, values, self._name))

    def begin_state(self) -> None:
        """From here on count the levels that the next state tells."""
        self._since_state = LevelTotals()
        self._note_state()

    def _note_state(self) -> None:
        levels = self._since_state.levels()
        condition = self._condition
        values = calibration_values([condition] if condition is not None else [])
        calibration = condition.calibration if condition is not None else None
        values.update(told_levels({name: levels[name] for name in ("laeq", "lafmax")}, calibration))
        self.state_values = values


class _Second:
    """One of the stream's seconds."""

    def __init__(self, number: int, condition: Condition, band_names: Tuple[str, ...]) -> None:
        self.number = number
        self._condition, self._band_names = condition, band_names
        self._totals = LevelTotals()
        self._bands: Dict[str, Optional[float]] = {"lzeq_" + name: None for name in band_names}

    def add(self, frame: LevelFrame, sample_rate_hz: int) -> None:
        self._totals.add(frame, sample_rate_hz, self._condition.noise_floor_dbfs)
        if frame.band_energies is not None:
            for name, energy in zip(self._band_names, frame.band_energies):
                self._bands["lzeq_" + name] = level_of(energy, sample_rate_hz)

    def values(self) -> JsonObject:
        """The fields of the message, without its times."""
        condition, totals = self._condition, self._totals
        values = calibration_values([condition])
        values["valid_percent"] = min(100.0, 100.0 * totals.heard_s)
        values.update(quality_values({condition: totals}))
        values.update(told_levels(totals.levels(), condition.calibration))
        values.update(told_levels(self._bands, condition.calibration))
        return values
