"""Days, evenings and nights of a place, as its clocks show them: with 23 and 25 hours where summer time comes and goes.

Time zones come from the system's list, or where that lacks one from the tzdata package, by python-dateutil: Python 3.6
has no zoneinfo.  It is loaded when a time zone is asked for, and not before.
"""

import datetime as dt
import difflib
import pkgutil
import re
from typing import Any, List, NamedTuple

from edge.errors import ConfigError

PARTS = ("day", "evening", "night")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*\Z")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z")
_NOT_OF_THE_LIST = ("posix/", "right/", "localtime", "posixrules")
_EPOCH = dt.datetime(1970, 1, 1)
_LONGEST = 64  # characters of a name


class LocalDay(NamedTuple):
    """From the beginning of a day to the end of the night that begins on it.  Times are UTC, since the epoch."""

    date: str  # YYYY-MM-DD
    day_s: float
    evening_s: float
    night_s: float
    end_s: float

    def part_at(self, epoch_s: float) -> str:
        """Of PARTS."""
        return PARTS[(epoch_s >= self.evening_s) + (epoch_s >= self.night_s)]

    def length_s(self, part: str) -> float:
        """The hours that there really are."""
        limits = (self.day_s, self.evening_s, self.night_s, self.end_s)
        at = PARTS.index(part)
        return limits[at + 1] - limits[at]


class LocalCalendar:
    """Where in a local day a moment lies.

    Args:
        time_zone: as in the IANA's list.
        day_starts, evening_starts, night_starts: HH:MM by local clocks, in this order.

    Raises:
        ConfigError: one of them is not as expected.
    """

    def __init__(self, time_zone: str, day_starts: str, evening_starts: str, night_starts: str) -> None:
        self.time_zone = time_zone
        self._zone = zone_from_name(time_zone)
        self._starts = minutes_of_starts(day_starts, evening_starts, night_starts)
        self._last = LocalDay("", 0.0, 0.0, 0.0, 0.0)

    def day_at(self, epoch_s: float) -> LocalDay:
        """The local day to which a moment belongs; after midnight, until the day begins, it is still yesterday's."""
        if not self._last.day_s <= epoch_s < self._last.end_s:
            local = (_EPOCH + dt.timedelta(seconds=epoch_s)).replace(tzinfo=_utc()).astimezone(self._zone)
            date = local.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
            # two back: where a place goes over to the other side of the date line there is a date that never was
            days = (self._day_of(date + dt.timedelta(days=each)) for each in (-2, -1, 0, 1))
            self._last = next(day for day in days if day.day_s <= epoch_s < day.end_s)
        return self._last

    def last_ended(self, epoch_s: float) -> LocalDay:
        """The last one whose night is over."""
        return self.day_at(self.day_at(epoch_s).day_s - 1.0)

    def _day_of(self, date: dt.datetime) -> LocalDay:
        day, evening, night = self._starts
        moments = [date + dt.timedelta(minutes=minutes) for minutes in (day, evening, night)]
        moments.append(date + dt.timedelta(days=1, minutes=day))
        return LocalDay(date.strftime("%Y-%m-%d"), *[self._epoch_s(moment) for moment in moments])

    def _epoch_s(self, local: dt.datetime) -> float:
        """Of what local clocks show: the first time where they do so twice; where they never do, as much after."""
        from dateutil import tz

        at = tz.resolve_imaginary(local.replace(tzinfo=self._zone)).astimezone(_utc())
        return (at.replace(tzinfo=None) - _EPOCH).total_seconds()


def zone_from_name(name: str) -> Any:
    """A time zone.  Raises ConfigError: there is none of this name, or python-dateutil is missing."""
    try:
        from dateutil import tz
    except ImportError as error:
        raise ConfigError("a time zone needs python-dateutil; install it, or leave time_zone out") from error
    is_name = len(name) <= _LONGEST and _NAME.match(name) and not name.startswith(_NOT_OF_THE_LIST)
    zone = tz.gettz(name) if is_name else None
    if zone is None or isinstance(zone, (tz.tzstr, tz.tzlocal)):  # dateutil takes UTC+3 for a rule, and as UTC-3 or not
        near = _names_near(name)
        raise ConfigError(
            "time_zone is %r, which does not exist; expected a name of the IANA's list such as Europe/Berlin%s"
            % (name[:_LONGEST], "; did you mean %s?" % " or ".join(near) if near else "")
        )
    return zone


def minutes_of_starts(day_starts: str, evening_starts: str, night_starts: str) -> List[int]:
    """Minutes after midnight.  Raises ConfigError: no time of day, or not in order."""
    starts = []
    for name, text in (
        ("day_starts", day_starts),
        ("evening_starts", evening_starts),
        ("night_starts", night_starts),
    ):
        match = _CLOCK.match(text)
        if match is None:
            raise ConfigError('%s is %r; expected a time of day such as "07:00"' % (name, text[:_LONGEST]))
        starts.append(60 * int(match.group(1)) + int(match.group(2)))
    if not starts[0] < starts[1] < starts[2]:
        raise ConfigError(
            "day_starts %s, evening_starts %s, night_starts %s; expected them in this order within one day"
            % (day_starts, evening_starts, night_starts)
        )
    return starts


def _names_near(name: str) -> List[str]:
    try:
        listed = pkgutil.get_data("tzdata", "zones")
    except (ImportError, OSError):  # a distribution's dateutil, which takes the system's list
        return []
    names = listed.decode("ascii", "replace").split() if listed else []
    by_spelling = {each.lower(): each for each in names}
    for each in names:  # a city alone, or with a region of its own
        by_spelling.setdefault(each.lower().rpartition("/")[2], each)
    wanted = name[:_LONGEST].strip().lower().replace(" ", "_")
    found = difflib.get_close_matches(wanted, list(by_spelling), n=3, cutoff=0.7)
    found += difflib.get_close_matches(wanted.rpartition("/")[2], list(by_spelling), n=2, cutoff=0.8)
    return list(dict.fromkeys(by_spelling[each] for each in found))[:3]


def _utc() -> Any:
    return dt.timezone.utc
