"""Fields that tell of sound levels. Each is told twice: re 20 uPa where the source is calibrated, and re full scale.

Names are IEC 61672-1's: L, the frequency weighting (A, C, Z), the time weighting (F, S) or eq, max, min, peak.
"""

from typing import Tuple

from edge.message_fields import Field

SOUND_LEVELS = (
    Field("level_dbfs", "level", "loudest 125 ms, dB re full scale; null for digital silence", True),
    Field("background_dbfs", "level", "running background, dB re full scale; null while unknown", True),
)


def level_pair(name: str, what: str) -> Tuple[Field, Field]:
    """A level re 20 uPa, where the source is calibrated, and the same re full scale, which every source has."""
    return (
        Field(name + "_db", "level", what + ", dB re 20 uPa; null unless calibrated", True),
        Field(name + "_dbfs", "level", what + ", dB re full scale (0: an RMS of 1); null where none is valid", True),
    )


CALIBRATION = (
    Field("calibrated", "flag", "whether the levels re 20 uPa rest on a calibration; null without levels", True),
    Field("calibrated_on", "text", "date of that calibration, YYYY-MM-DD; null where a period had several", True),
    Field("calibration_method", "text", "what it rests on", True, ("calibrator", "data_sheet")),
    Field(
        "bandwidth_hz",
        "number",
        "null where the weighting holds to 16 kHz; else the levels reach no further up than this, and are not "
        "A- or C-weighted to IEC 61672-1",
        True,
    ),
)
EVENT_LEVELS = (
    level_pair("laeq", "A-weighted mean level of the event")
    + level_pair("lafmax", "highest A-weighted Fast level of the event")
    + level_pair("background_la90", "LA90 of the 60 s before the event, other events left out")
    + CALIBRATION
)
MEASURED_LEVELS = (
    level_pair("laeq", "A-weighted mean level (LAeq)")
    + level_pair("lceq", "C-weighted mean level (LCeq)")
    + level_pair("lzeq", "mean level, 10 Hz to 20 kHz (LZeq)")
    + level_pair("lafmax", "highest A-weighted Fast level (LAFmax)")
    + level_pair("lafmin", "lowest A-weighted Fast level (LAFmin)")
    + level_pair("lasmax", "highest A-weighted Slow level (LASmax)")
    + level_pair("lcpeak", "highest C-weighted peak level (LCpeak)")
)
QUALITY = (
    Field("valid_percent", "percent", "share of the time with sound that counts: no gap, filters settled"),
    Field("overload_percent", "percent", "share of the valid time in eighths of a second that reached full scale"),
    Field("under_range_percent", "percent", "share of the valid time below the source's stated noise floor", True),
)
SUMMARY = (
    (
        Field("start", "time", "UTC of the period's beginning"),
        Field("end", "time", "UTC of its end"),
    )
    + QUALITY
    + MEASURED_LEVELS
    + level_pair("la10", "level exceeded for 10 % of the time: LAF, sampled each 125 ms")
    + level_pair("la50", "level exceeded for 50 % of the time")
    + level_pair("la90", "level exceeded for 90 % of the time")
    + CALIBRATION
    + (
        Field("seconds_<label>", "seconds", "time with an event of this class"),
        Field("events_<label>", "count", "events of this class that began"),
        Field("replayed", "flag", "sent late, from the store: history, not news"),
    )
)
LOCAL_DAY = (
    Field("local_date", "text", "the local day that Lden and its parts tell of, YYYY-MM-DD; null without levels", True),
    Field("time_zone", "text", "by which it is local, as in the IANA's list", True),
    Field("lden_valid_percent", "percent", "share of that day and its night with valid sound", True),
) + (
    level_pair("lden", "day-evening-night level of Directive 2002/49/EC; null below 75 % valid sound")
    + level_pair("lday", "LAeq of its day, 07 to 19 unless configured")
    + level_pair("levening", "LAeq of its evening, 19 to 23")
    + level_pair("lnight", "LAeq of the night that begins on it, 23 to 07")
)
