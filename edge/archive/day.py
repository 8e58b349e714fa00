"""What the picture of one day shows, gathered from the parts: fixed grids, however long the recordings are."""

import datetime as dt
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edge.archive.chronicle import Chronicle, Event, utc_of
from edge.archive.level_rows import LevelScale, add_second
from edge.archive.reels import Reel
from edge.archive.spectrum import BANDS, COLUMN_S, SHORT_COLUMN_S
from edge.levels.local_day import zone_from_name
from edge.levels.totals import LevelTotals

_EPOCH = dt.datetime(1970, 1, 1)
_SHORT_S = 6 * 3600.0  # what is shorter than that is shown larger


class Span(NamedTuple):
    """An event on a day's axis."""

    label: str
    start_s: float  # since the epoch
    end_s: float


class Day(NamedTuple):
    """One recorder's sound from one midnight to the next, or the part of it that there is.  Times are UTC."""

    recorder: str
    date: str  # YYYY-MM-DD, by the place's clocks
    start_s: float  # of what is shown
    end_s: float
    laeq_dbfs: np.ndarray  # of each second of it, NaN where nothing valid was heard.  Shape [S]
    overloaded: np.ndarray  # whether it was too loud to be told in that second.  Shape [S], bool
    spectrum_dbfs: np.ndarray  # of each column, NaN where nothing was heard.  Shape [bands, C]
    column_s: float
    steps: List[Tuple[float, float, LevelTotals]]  # hours, or quarters of one: start, end, levels in it
    total: LevelTotals
    events: List[Span]
    bandwidth_hz: Optional[float]
    heard_s: float  # with or without valid levels

    @property
    def step_s(self) -> float:
        """Length of what percentiles are told of."""
        return self.steps[0][1] - self.steps[0][0]


def days_of(chronicle: Chronicle, time_zone: str = "") -> Iterator[Day]:
    """Every day of every recorder with sound whose time is known.

    Args:
        time_zone: by whose clocks a day is one; UTC where empty.
    """
    zone = zone_from_name(time_zone) if time_zone else dt.timezone.utc
    by_day: Dict[Tuple[str, str], List[Reel]] = {}
    for reel in chronicle.reels:
        start_s = reel.own[0].start_epoch_s
        if start_s is not None:
            for date in _dates(start_s, start_s + reel.duration_s, zone):
                by_day.setdefault((reel.own[0].recorder, date), []).append(reel)
    spans = _spans(chronicle)
    for recorder, date in sorted(by_day):
        day = _gather(chronicle, recorder, date, by_day[recorder, date], zone, spans.get(recorder, []))
        if day is not None:
            yield day


def local_clock(epoch_s: float, time_zone: str) -> dt.datetime:
    """What the place's clocks show."""
    zone = zone_from_name(time_zone) if time_zone else dt.timezone.utc
    return _local(epoch_s, zone)


def levels_in(values_dbfs: np.ndarray, scale: LevelScale) -> np.ndarray:
    """The same re 20 uPa, where there is a calibration."""
    return values_dbfs + (scale.calibration.offset_db if scale.calibration is not None else 0.0)


def _gather(
    chronicle: Chronicle, recorder: str, date: str, reels: Sequence[Reel], zone: Any, spans: Sequence[Span]
) -> Optional[Day]:
    midnight_s, next_s = _limits(date, zone)
    starts = [utc_of(reel, 0.0) or 0.0 for reel in reels]
    first_s = max(midnight_s, min(starts))
    last_s = min(next_s, max(start_s + reel.duration_s for start_s, reel in zip(starts, reels)))
    if last_s - first_s < 1.0:
        return None
    start_s, end_s, step_s = _shown(first_s, last_s, midnight_s, next_s)
    grid = _Grid(start_s, end_s, step_s)
    for reel in reels:
        part = chronicle.part_of(reel)
        grid.take(reel, part)
    return Day(
        recorder,
        date,
        start_s,
        end_s,
        grid.laeq_dbfs,
        grid.overloaded,
        grid.spectrum_dbfs(),
        grid.column_s,
        grid.steps,
        grid.total(),
        [span for span in spans if span.end_s > start_s and span.start_s < end_s],
        grid.bandwidth_hz,
        grid.heard_s,
    )


def _shown(first_s: float, last_s: float, midnight_s: float, next_s: float) -> Tuple[float, float, float]:
    """From when to when a day is shown, and the steps of its percentiles: whole days, unless there is but little."""
    if last_s - first_s > _SHORT_S:
        return midnight_s, next_s, 3600.0
    step_s = 900.0 if last_s - first_s > 3600.0 else 300.0 if last_s - first_s > 600.0 else 60.0
    start_s, end_s = first_s // step_s * step_s, -(-last_s // step_s) * step_s
    return max(midnight_s, start_s), min(next_s, end_s), step_s


class _Grid:
    def __init__(self, start_s: float, end_s: float, step_s: float) -> None:
        self._start_s, self._end_s, self._step_s = start_s, end_s, step_s
        seconds = int(round(end_s - start_s))
        self.column_s = COLUMN_S if seconds > 3600 else SHORT_COLUMN_S
        columns = int(np.ceil(seconds / self.column_s))
        self.laeq_dbfs = np.full(seconds, np.nan, np.float32)
        self.overloaded = np.zeros(seconds, bool)
        self._power = np.zeros((BANDS, columns))
        self._count = np.zeros(columns, int)
        self._bands = 0
        count = int(np.ceil((end_s - start_s) / step_s))
        edges = [min(end_s, start_s + i * step_s) for i in range(count + 1)]
        self.steps = [(low_s, high_s, LevelTotals()) for low_s, high_s in zip(edges, edges[1:])]
        self.bandwidth_hz: Optional[float] = None
        self.heard_s = 0.0

    def take(self, reel: Reel, part: Any) -> None:
        """A reel's seconds and columns, as far as they lie here."""
        if part.measured.bandwidth_hz is not None:
            self.bandwidth_hz = min(part.measured.bandwidth_hz, self.bandwidth_hz or part.measured.bandwidth_hz)
        begin_s = utc_of(reel, 0.0) or 0.0
        for second in part.seconds():
            at = int(round(begin_s + second.start_s - self._start_s))
            if 0 <= at < len(self.laeq_dbfs):
                self.heard_s += second.samples / float(reel.sample_rate_hz)
                self.overloaded[at] |= second.overload_samples > 0
                if second.heard_samples and second.energy_a > 0.0:
                    self.laeq_dbfs[at] = 10.0 * np.log10(second.energy_a / second.heard_samples)
                step = self.steps[min(len(self.steps) - 1, int(at // self._step_s))][2]
                add_second(step, second, reel.sample_rate_hz)
        for start_s, length_s, bands in part.spectrum():
            first = int((begin_s + start_s + 0.5 * min(length_s, self.column_s) - self._start_s) // self.column_s)
            last = first + max(1, int(round(length_s / self.column_s)))
            columns = slice(max(0, first), min(len(self._count), last))
            if columns.start < columns.stop:
                power = 10.0 ** (np.array(bands) / 20.0)  # they are in half decibels
                self._power[: len(bands), columns] += power[:, None]
                self._count[columns] += 1
                self._bands = max(self._bands, len(bands))

    def total(self) -> LevelTotals:
        """Levels of all that is shown."""
        total = LevelTotals()
        for _, _, totals in self.steps:
            total.merge(totals)
        return total

    def spectrum_dbfs(self) -> np.ndarray:
        """Shape [bands, columns]; NaN where nothing was heard."""
        heard = np.where(self._count > 0, self._count, np.nan)
        with np.errstate(divide="ignore"):
            return np.maximum(-160.0, 10.0 * np.log10(self._power[: self._bands] / heard))


def _spans(chronicle: Chronicle) -> Dict[str, List[Span]]:
    spans: Dict[str, List[Span]] = {}
    for event in chronicle.events():
        span = _span(event)
        if span is not None:
            spans.setdefault(event.reel.own[0].recorder, []).append(span)
    return spans


def _span(event: Event) -> Optional[Span]:
    start_s, end_s = utc_of(event.reel, event.values["start_s"]), utc_of(event.reel, event.values["end_s"])
    return None if start_s is None or end_s is None else Span(event.label, start_s, end_s)


def _dates(start_s: float, end_s: float, zone: Any) -> List[str]:
    dates = []
    date = _local(start_s, zone).date()
    while date <= _local(end_s - 1e-3, zone).date():
        dates.append(date.isoformat())
        date += dt.timedelta(days=1)
    return dates


def _limits(date: str, zone: Any) -> Tuple[float, float]:
    """A day's two midnights."""
    midnight = dt.datetime.strptime(date, "%Y-%m-%d")
    following = midnight + dt.timedelta(days=1)
    return _epoch_s(midnight, zone), _epoch_s(following, zone)


def _epoch_s(local: dt.datetime, zone: Any) -> float:
    utc = local.replace(tzinfo=zone).astimezone(dt.timezone.utc)
    return (utc.replace(tzinfo=None) - _EPOCH).total_seconds()


def _local(epoch_s: float, zone: Any) -> dt.datetime:
    return (_EPOCH + dt.timedelta(seconds=epoch_s)).replace(tzinfo=dt.timezone.utc).astimezone(zone)
