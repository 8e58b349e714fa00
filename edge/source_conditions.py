"""What a [[source]] table of a configuration must fulfil beyond the types of its values."""

import datetime as dt
from typing import List, Tuple

from edge.config import SourceConfig
from edge.rfc3339 import epoch_s_from_rfc3339
from edge.sources.start_time import FROM_FILE
from engines.errors import shown

Conditions = List[Tuple[bool, str]]  # what must be so, and what to say where it is not


def source_conditions(source: SourceConfig) -> Conditions:
    """What must be so, and what to say where it is not."""
    where = "[[source]] %s: " % shown(source.name)
    return _calibration_conditions(source, where) + [
        (
            source.type in ("microphone", "file", "stdin"),
            where + 'type is %s; expected "microphone", "file" or "stdin"' % shown(source.type),
        ),
        (source.type != "file" or source.path != "", where + "a file needs path"),
        (source.type == "file" or source.start_time == "", where + 'start_time belongs to type "file" alone'),
        (
            source.start_time in ("", FROM_FILE) or _is_time(source.start_time),
            where + 'start_time is %s; expected a time as "2026-10-01T12:34:56Z", or "file"' % shown(source.start_time),
        ),
        (source.type == "file" or source.path == "", where + 'path belongs to type "file" alone'),
        (
            source.type != "stdin" or 8000 <= source.sample_rate_hz <= 192000,
            where
            + "sample_rate_hz is %d; standard input needs the stream's rate, 8000 to 192000" % source.sample_rate_hz,
        ),
        (
            source.sample_rate_hz == 0 or 8000 <= source.sample_rate_hz <= 192000,
            where + "sample_rate_hz is %d; expected 8000 to 192000, or 0 for the device's own" % source.sample_rate_hz,
        ),
        (
            0 <= source.channels <= 64 and (source.channels > 0 or source.type == "microphone"),
            where + "channels is %d; expected 1 to 64" % source.channels,
        ),
        (
            source.channel >= -1
            and (source.channels == 0 or source.channel < max(1, source.channels) or source.type == "file"),
            where
            + "channel is %d of %d; expected -1 (the mean of all) or an index from 0"
            % (source.channel, source.channels),
        ),
        (
            source.sample_format in ("s16le", "s24le", "s32le", "f32le"),
            where + "sample_format is %s; expected s16le, s24le, s32le or f32le" % shown(source.sample_format),
        ),
    ]


def _calibration_conditions(source: SourceConfig, where: str) -> Conditions:
    offset_db, date, method = source.calibration_offset_db, source.calibrated_on, source.calibration_method
    return [
        (
            source.type != "microphone" or (offset_db, date, method) == (None, "", ""),
            where + "a microphone's calibration is made by soundclr-edge calibrate, which binds it to the microphone; "
            'calibration_offset_db, calibrated_on and calibration_method belong to type "file" and "stdin"',
        ),
        (
            len({offset_db is None, date == "", method == ""}) == 1,
            where + "calibration_offset_db, calibrated_on and calibration_method go together; give all or none",
        ),
        (
            offset_db is None or 40 <= offset_db <= 240,
            where + "calibration_offset_db is %s; expected 40 to 240, 120 for instance" % offset_db,
        ),
        (date == "" or _is_date(date), where + "calibrated_on is %s; expected YYYY-MM-DD" % shown(date)),
        (
            method in ("", "calibrator", "data_sheet"),
            where + 'calibration_method is %s; expected "calibrator" or "data_sheet"' % shown(method),
        ),
    ]


def _is_time(text: str) -> bool:
    try:
        epoch_s_from_rfc3339(text)
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        dt.datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return True
