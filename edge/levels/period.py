"""A stretch of UTC time: how loud it was, and what was heard in it."""

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from edge.levels.totals import Condition, LevelTotals
from edge.records import JsonObject

_PERCENTILES = (10, 50, 90)


class SoundingTimes(NamedTuple):
    """What sounded in a stretch of time, by the labels that did."""

    seconds: Dict[str, float]
    began: Dict[str, int]  # events that count as begun in it


class Period:
    """Levels by the conditions under which they were taken, and events.

    Args:
        start_s, end_s: UTC, seconds since the epoch.
    """

    def __init__(self, start_s: float, end_s: float) -> None:
        self.start_s, self.end_s = start_s, end_s
        self.parts: Dict[Condition, LevelTotals] = {}
        self.sounding = SoundingTimes({}, {})
        self.unmeasured_s = 0.0  # sound of which no levels are wanted

    @property
    def middle_s(self) -> float:
        """By which a minute belongs to an hour, a day and a night: one that was dated late may lie across a border."""
        return 0.5 * (self.start_s + self.end_s)

    @property
    def heard_s(self) -> float:
        """Valid sound."""
        return sum(totals.heard_s for totals in self.parts.values())

    def totals_under(self, condition: Condition) -> LevelTotals:
        """Where sound taken under these conditions is to be added."""
        if condition not in self.parts:
            self.parts[condition] = LevelTotals()
        return self.parts[condition]

    def merge(self, other: "Period") -> None:
        """Take what another one holds; the own limits stay."""
        for condition, totals in other.parts.items():
            self.totals_under(condition).merge(totals)
        self.unmeasured_s += other.unmeasured_s
        for label, seconds in other.sounding.seconds.items():
            self.sounding.seconds[label] = self.sounding.seconds.get(label, 0.0) + seconds
        for label, count in other.sounding.began.items():
            self.sounding.began[label] = self.sounding.began.get(label, 0) + count

    def values(self, labels: Iterable[str]) -> JsonObject:
        """The fields of a summary, without those that every message has."""
        heard = {condition: totals for condition, totals in self.parts.items() if totals.heard_s > 0.0}
        values: JsonObject = {"start": self.start_s, "end": self.end_s, "replayed": False}
        values["valid_percent"] = _percent(self.heard_s + self.unmeasured_s, self.end_s - self.start_s)
        values.update(quality_values(heard))
        values.update(_levels(heard))
        values.update(calibration_values(list(heard)))
        length_s = self.end_s - self.start_s
        for label in labels:
            values["seconds_" + label] = min(self.sounding.seconds.get(label, 0.0), length_s)
            values["events_" + label] = self.sounding.began.get(label, 0)
        return values


def is_calibrated(conditions: Iterable[Condition]) -> bool:
    """Whether all of it was taken calibrated, and there is something."""
    calibrations = [condition.calibration for condition in conditions]
    return bool(calibrations) and None not in calibrations


def calibration_values(conditions: List[Condition]) -> JsonObject:
    """The fields that tell what levels taken under these conditions rest on.

    Without any all are null; so are date and method where there was more than one calibration.
    """
    calibrations = {condition.calibration for condition in conditions}
    only = next(iter(calibrations)) if len(calibrations) == 1 else None
    bandwidths_hz = [each.bandwidth_hz for each in conditions if each.bandwidth_hz is not None]
    return {
        "calibrated": is_calibrated(conditions) if conditions else None,
        "calibrated_on": only.calibrated_on if only is not None else None,
        "calibration_method": only.method if only is not None else None,
        "bandwidth_hz": min(bandwidths_hz) if bandwidths_hz else None,
    }


def quality_values(parts: Dict[Condition, LevelTotals]) -> JsonObject:
    """The fields that tell how much of the valid sound was too loud, or too quiet to be told from the noise."""
    heard = {condition: totals for condition, totals in parts.items() if totals.heard_s > 0.0}
    heard_s = sum(totals.heard_s for totals in heard.values())
    knows_floor = bool(heard) and all(condition.noise_floor_dbfs is not None for condition in heard)
    under_range_s = sum(totals.under_range_s for totals in heard.values())
    return {
        "overload_percent": _percent(sum(totals.overload_s for totals in heard.values()), heard_s),
        "under_range_percent": _percent(under_range_s, heard_s) if knows_floor else None,
    }


def joined(parts: Dict[Condition, LevelTotals]) -> LevelTotals:
    """All of it, re full scale."""
    total = LevelTotals()
    for totals in parts.values():
        total.merge(totals)
    return total


def joined_calibrated(parts: Dict[Condition, LevelTotals]) -> Optional[Tuple[LevelTotals, float]]:
    """All of it under one calibration, and that one's offset; None where some of it was taken without any.

    Where there were several calibrations, percentiles are right to another 0.05 dB.
    """
    if not is_calibrated(parts):
        return None
    offsets_db = [each.calibration.offset_db for each in parts if each.calibration is not None]
    total = LevelTotals()
    for totals, offset_db in zip(parts.values(), offsets_db):
        total.merge(totals, offset_db - offsets_db[0])
    return total, offsets_db[0]


def _levels(heard: Dict[Condition, LevelTotals]) -> JsonObject:
    values = {name + "_dbfs": level for name, level in _levels_of(joined(heard)).items()}
    calibrated = joined_calibrated(heard)
    if calibrated is not None:
        totals, offset_db = calibrated
        for name, level in _levels_of(totals).items():
            values[name + "_db"] = None if level is None else level + offset_db
    return values


def _levels_of(totals: LevelTotals) -> Dict[str, Any]:
    levels: Dict[str, Any] = totals.levels()
    levels.update(("la%d" % percent, totals.laf.exceeded(percent)) for percent in _PERCENTILES)
    return levels


def _percent(part_s: float, whole_s: float) -> float:
    return min(100.0, 100.0 * part_s / whole_s) if whole_s > 0.0 else 0.0
