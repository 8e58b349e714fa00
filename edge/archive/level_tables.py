"""The tables of levels: seconds, minutes, hours and days of an archive, from its chronicle."""

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from edge.archive.chronicle import Chronicle, place_of, utc_of
from edge.archive.level_rows import DatedMinutes, add_second
from edge.archive.reels import Reel
from edge.levels.local_day import LocalCalendar
from edge.levels.period import Period, SoundingTimes
from edge.records import JsonObject

_MINUTE_S = 60.0
_PRECISION_S = 1e-6  # of times since the epoch


class _Minute(NamedTuple):
    """Which minute: of UTC, or of a stream whose beginning nobody knows."""

    recorder: str
    path: str  # of such a stream's file; "" where UTC is known
    number: int  # since the epoch, or since that file's beginning


class LevelTables:
    """Rows of the tables of levels.

    Args:
        calendar: of the place, for Lden; None: there is none to be told.
    """

    def __init__(self, chronicle: Chronicle, calendar: Optional[LocalCalendar] = None) -> None:
        self._chronicle, self._calendar, self._scale = chronicle, calendar, chronicle.scale

    def second_rows(self) -> Iterator[JsonObject]:
        """Of the table `levels`."""
        for reel in self._chronicle.reels:
            part = self._chronicle.part_of(reel)
            for second in part.seconds():
                take, offset_s = place_of(reel, second.start_s)
                row: JsonObject = {
                    "recorder": take.recorder,
                    "file": take.path,
                    "start": utc_of(reel, second.start_s),
                    "start_s": offset_s,
                }
                row.update(self._scale.second_values(second, part.measured, reel.sample_rate_hz))
                yield row

    def minute_rows(self) -> Iterator[JsonObject]:
        """Of the table `minutes`: whole minutes, of UTC where that is known, however little of them was heard."""
        for minute, period in self._minutes():
            row = period.values(self._chronicle.labels)
            row.update(recorder=minute.recorder, file=minute.path or None)
            if minute.path:
                row.update(start=None, end=None, start_s=minute.number * _MINUTE_S)
            yield row

    def hour_rows(self) -> Iterator[JsonObject]:
        """Of the table `hours`."""
        return (row for name, row in self._longer_rows() if name == "summary_hour")

    def day_rows(self) -> Iterator[JsonObject]:
        """Of the table `days`."""
        return (row for name, row in self._longer_rows() if name == "summary_day")

    def _longer_rows(self) -> Iterator[Tuple[str, JsonObject]]:
        recorder, dated = "", DatedMinutes(self._calendar, self._chronicle.labels)
        for minute, period in self._minutes():
            if minute.path:
                continue
            if minute.recorder != recorder:
                yield from _of(recorder, dated.finish())
                recorder, dated = minute.recorder, DatedMinutes(self._calendar, self._chronicle.labels)
            yield from _of(recorder, dated.add(period))
        yield from _of(recorder, dated.finish())

    def _minutes(self) -> Iterator[Tuple[_Minute, Period]]:
        """Minutes with sound, in the order of recorders and time."""
        sounding = self._sounding()
        under_way: Optional[Tuple[_Minute, Period]] = None
        for reel in self._chronicle.reels:
            part = self._chronicle.part_of(reel)
            condition = self._scale.condition(part.measured)
            for second in part.seconds():
                minute = _minute_at(reel, second.start_s)
                if under_way is not None and minute._replace(number=minute.number + 1) == under_way[0]:
                    minute = under_way[0]  # files' times are told in whole seconds: the next begins a little before
                if under_way is None or under_way[0] != minute:
                    if under_way is not None:
                        yield under_way
                    start_s = minute.number * _MINUTE_S
                    under_way = minute, Period(start_s, start_s + _MINUTE_S)
                    under_way[1].sounding = sounding.pop(minute, SoundingTimes({}, {}))
                add_second(under_way[1].totals_under(condition), second, reel.sample_rate_hz)
        if under_way is not None:
            yield under_way

    def _sounding(self) -> Dict[_Minute, SoundingTimes]:
        """What sounded in each minute.  Events of one class do not overlap."""
        minutes: Dict[_Minute, SoundingTimes] = {}
        for event in self._chronicle.events():
            start_s, end_s = event.values["start_s"], event.values["end_s"]
            for number, (at_s, until_s) in enumerate(_cut_at_minutes(event.reel, start_s, end_s)):
                times = minutes.setdefault(_minute_at(event.reel, at_s), SoundingTimes({}, {}))
                times.seconds[event.label] = times.seconds.get(event.label, 0.0) + until_s - at_s
                if number == 0:
                    times.began[event.label] = times.began.get(event.label, 0) + 1
        return minutes


def _minute_at(reel: Reel, at_s: float) -> _Minute:
    utc_s = utc_of(reel, at_s)
    take = reel.own[0]
    if utc_s is None:
        return _Minute(take.recorder, take.path, _minute_number(at_s))
    return _Minute(take.recorder, "", _minute_number(utc_s))


def _minute_number(at_s: float) -> int:
    return int((at_s + _PRECISION_S) // _MINUTE_S)


def _cut_at_minutes(reel: Reel, start_s: float, end_s: float) -> List[Tuple[float, float]]:
    """The pieces of a span that each lie in one minute."""
    shift_s = utc_of(reel, 0.0) or 0.0
    pieces: List[Tuple[float, float]] = []
    at_s = start_s
    while True:
        until_s = (_minute_number(at_s + shift_s) + 1) * _MINUTE_S - shift_s
        if until_s >= end_s:
            return pieces + [(at_s, end_s)]
        pieces.append((at_s, until_s))
        at_s = until_s


def _of(recorder: str, rows: Iterator[Tuple[str, JsonObject]]) -> Iterator[Tuple[str, JsonObject]]:
    for name, row in rows:
        row["recorder"] = recorder
        yield name, row
