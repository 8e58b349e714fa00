"""Day-evening-night levels of Directive 2002/49/EC, Annex I, from the minutes of one local day and its night.

Lden is the mean energy of day, evening + 5 dB and night + 10 dB, each weighted by the hours that it really had (the
directive's 12, 4 and 8, of a year's mean day; of a day on which clocks are set a night has 7 or 9). It is the level of
what arrives at the microphone; the directive's own indicator is the mean of a year of incident sound.
"""

import math
from typing import Dict, NamedTuple, Optional, Tuple

from edge.levels.local_day import PARTS, LocalCalendar, LocalDay
from edge.levels.period import Period, is_calibrated
from edge.levels.totals import Condition, level_of
from edge.records import JsonObject

LEAST_VALID_SHARE = 0.75
_PENALTY_DB = {"day": 0.0, "evening": 5.0, "night": 10.0}
_KEPT_DAYS = 4


class _Share(NamedTuple):
    heard_s: float
    energy_a: float


class NoiseDays:
    """Adds up minutes by the part of the local day in which they lie.

    Args:
        calendar: None: nobody said where the node stands, and all stays null.
    """

    def __init__(self, calendar: Optional[LocalCalendar]) -> None:
        self._calendar = calendar
        self._shares: Dict[Tuple[str, str], Dict[Condition, _Share]] = {}  # by date and part

    def add(self, minute: Period) -> None:
        """Take one minute; it counts where its middle lies."""
        if self._calendar is None:
            return
        day = self._calendar.day_at(minute.middle_s)
        shares = self._shares.setdefault((day.date, day.part_at(minute.middle_s)), {})
        for condition, totals in minute.parts.items():
            share = shares.get(condition, _Share(0.0, 0.0))
            shares[condition] = _Share(share.heard_s + totals.heard_s, share.energy_a + totals.energy_a)
        dates = sorted({date for date, _ in self._shares})
        for key in [key for key in self._shares if key[0] in dates[:-_KEPT_DAYS]]:
            del self._shares[key]

    def values_at(self, epoch_s: float) -> JsonObject:
        """The fields that tell of the last local day whose night is over by then."""
        if self._calendar is None:
            return {}
        day = self._calendar.last_ended(epoch_s)
        of_parts = {part: self._shares.get((day.date, part), {}) for part in PARTS}
        heard_s = sum(share.heard_s for shares in of_parts.values() for share in shares.values())
        values: JsonObject = {
            "local_date": day.date,
            "time_zone": self._calendar.time_zone,
            "lden_valid_percent": min(100.0, 100.0 * heard_s / (day.end_s - day.day_s)),
        }
        for unit in ("db", "dbfs"):
            levels = {part: _level(of_parts[part], day.length_s(part), is_absolute=unit == "db") for part in of_parts}
            values.update(("l%s_%s" % (part, unit), level) for part, level in levels.items())
            values["lden_" + unit] = lden(levels, day)
        return values


def lden(levels: Dict[str, Optional[float]], day: LocalDay) -> Optional[float]:
    """The day-evening-night level; None where one of the three is missing.

    Args:
        levels: LAeq of each of PARTS, dB.
        day: how long each of them was.
    """
    energy = 0.0
    for part in PARTS:
        level = levels[part]
        if level is None:
            return None
        energy += day.length_s(part) * 10.0 ** ((level + _PENALTY_DB[part]) / 10.0)
    return 10.0 * math.log10(energy / (day.end_s - day.day_s))


def _level(shares: Dict[Condition, _Share], length_s: float, *, is_absolute: bool) -> Optional[float]:
    """LAeq of one part, re 20 uPa or re full scale; None below 75 % of valid sound."""
    heard = {condition: share for condition, share in shares.items() if share.heard_s > 0.0}
    heard_s = sum(share.heard_s for share in heard.values())
    if heard_s < LEAST_VALID_SHARE * length_s or (is_absolute and not is_calibrated(heard)):
        return None
    energy = 0.0
    for condition, share in heard.items():
        calibration = condition.calibration if is_absolute else None
        energy += share.energy_a * 10.0 ** ((calibration.offset_db if calibration is not None else 0.0) / 10.0)
    return level_of(energy, heard_s)
