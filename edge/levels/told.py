"""Levels as messages tell them: re 20 uPa where there is a calibration, and always re full scale."""

from typing import Mapping, Optional

from edge.config import LevelsConfig
from edge.levels.totals import Condition
from edge.records import Calibration, JsonObject


def told_levels(levels_dbfs: Mapping[str, Optional[float]], calibration: Optional[Calibration]) -> JsonObject:
    """Both fields of each level, by the name that they share (`edge.level_fields.level_pair`)."""
    values: JsonObject = {}
    for name, level_dbfs in levels_dbfs.items():
        is_known = level_dbfs is not None and calibration is not None
        values[name + "_dbfs"] = level_dbfs
        values[name + "_db"] = level_dbfs + calibration.offset_db if is_known else None  # type: ignore
    return values


def condition_of(
    config: LevelsConfig, bandwidth_hz: Optional[float], calibration: Optional[Calibration]
) -> Optional[Condition]:
    """Under what levels are taken; None where none are."""
    if not config.enabled:
        return None
    floor_dbfs = config.noise_floor_dbfs
    if calibration is not None and config.noise_floor_db is not None:
        floor_dbfs = config.noise_floor_db - calibration.offset_db
    return Condition(calibration, bandwidth_hz, floor_dbfs)
