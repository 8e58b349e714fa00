"""Levels as rows: of seconds, minutes, hours, days and files, by the daemon's own arithmetic (`edge.levels`)."""

from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

from edge.archive.part import Measured
from edge.archive.seconds import Second
from edge.levels.local_day import LocalCalendar
from edge.levels.period import Period, calibration_values
from edge.levels.rollup import Rollup, Told
from edge.levels.told import told_levels
from edge.levels.totals import Condition, LevelTotals, level_of
from edge.records import Calibration, JsonObject, LevelFrame


class LevelScale(NamedTuple):
    """What turns levels re full scale into rows."""

    calibration: Optional[Calibration]

    def condition(self, measured: Measured) -> Condition:
        """Under what levels were taken."""
        return Condition(self.calibration, measured.bandwidth_hz)

    def pair(self, name: str, level_dbfs: Optional[float]) -> JsonObject:
        """A level re full scale and, where there is a calibration, re 20 uPa."""
        return told_levels({name: level_dbfs}, self.calibration)

    def calibration_values(self, measured: Measured) -> JsonObject:
        """The fields that tell what levels rest on."""
        return calibration_values([self.condition(measured)])

    def second_values(self, second: Second, measured: Measured, sample_rate_hz: int) -> JsonObject:
        """Of one second."""
        heard = second.heard_samples
        values: JsonObject = {
            "duration_s": second.samples / float(sample_rate_hz),
            "valid_percent": 100.0 * heard / second.samples,
            "overload_percent": 100.0 * second.overload_samples / heard if heard else 0.0,
        }
        for name, energy in (("laeq", second.energy_a), ("lceq", second.energy_c), ("lzeq", second.energy_z)):
            values.update(self.pair(name, level_of(energy, heard)))
        for name in ("lafmax", "lafmin", "lasmax", "lcpeak"):
            values.update(self.pair(name, getattr(second, name + "_dbfs")))
        for name, energy in zip(measured.band_names, second.band_energies or ()):
            values.update(self.pair("lzeq_" + name, level_of(energy, heard)))
        values.update(self.calibration_values(measured))
        return values

    def span_values(self, totals: LevelTotals, measured: Measured, length_s: float) -> JsonObject:
        """Of any time, without its start and end."""
        period = Period(0.0, length_s)
        period.parts[self.condition(measured)] = totals
        values = period.values(())
        for name in ("start", "end", "replayed"):
            del values[name]
        return values


def add_second(totals: LevelTotals, second: Second, sample_rate_hz: int) -> None:
    """Add one second to what there is."""
    extremes = (second.lafmax_dbfs, second.lafmin_dbfs, second.lasmax_dbfs, second.lcpeak_dbfs)
    energies = (second.energy_a, second.energy_c, second.energy_z)
    totals.add(LevelFrame(0, second.samples, second.heard_samples, 0, *energies, None, *extremes), sample_rate_hz)
    totals.overload_s += second.overload_samples / float(sample_rate_hz)
    for laf_dbfs in second.laf_dbfs:
        totals.laf.add(laf_dbfs)


class DatedMinutes:
    """Hours and days made of one recorder's minutes."""

    def __init__(self, calendar: Optional[LocalCalendar], labels: Sequence[str]) -> None:
        self._rollup, self._labels = Rollup(calendar, ""), labels

    def add(self, minute: Period) -> Iterator[Tuple[str, JsonObject]]:
        """Take the next minute.  Yields what is over: `summary_hour` or `summary_day`, and its row."""
        yield from self._rows(self._rollup.over_by(minute.start_s))
        self._rollup.add(minute)

    def finish(self) -> Iterator[Tuple[str, JsonObject]]:
        """Nothing more comes."""
        yield from self._rows(self._rollup.finish())

    def _rows(self, told: Sequence[Told]) -> Iterator[Tuple[str, JsonObject]]:
        for one in told:
            values = one.period.values(self._labels)
            values.update(one.values)
            yield one.type_name, values
