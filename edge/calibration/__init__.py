"""What turns a source's levels re full scale into sound pressure levels: measured, bound to its hardware, kept.

A record holds for one microphone with one stream and one set of controls. Wherever anything of it differs the source
is uncalibrated, and says why.
"""

from edge.calibration.archive import (
    CalibrationError,
    has_records,
    load_history,
    load_record,
    newest_record,
    save_record,
)
from edge.calibration.record import CalibrationRecord, MeasuredTone
from edge.calibration.state import CalibrationState, SourceCalibration, calibration_from_config

__all__ = [
    "CalibrationError",
    "CalibrationRecord",
    "CalibrationState",
    "MeasuredTone",
    "SourceCalibration",
    "calibration_from_config",
    "has_records",
    "load_history",
    "load_record",
    "newest_record",
    "save_record",
]
