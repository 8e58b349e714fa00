"""One calibration, as it is kept: what was measured, by whom, of which hardware."""

import datetime as dt
import json
import reprlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edge.records import Calibration
from edge.sources.framing import StreamFormat
from edge.sources.hardware import Hardware, HardwareError, checked, hardware_from_mapping, mapping_from_hardware

SCHEMA = 1
METHODS = ("calibrator", "data_sheet")
_SAME_DB = 0.01  # of sums of rounded figures
_MOST_TONES = 2
OFFSETS_DB = (40.0, 240.0)  # beyond it is no microphone: 94 dB would be above full scale by 54 dB, or 146 dB below
FULL_SCALE_SINE_DBFS = -3.0103  # our dBFS: an RMS of 1 is 0; data sheets call a full-scale sine 0


class MeasuredTone(NamedTuple):
    """A calibrator's tone, as the microphone heard it."""

    calibrator_level_db: float  # re 20 uPa, as the calibrator's certificate says
    level_dbfs: float  # of the tone alone
    frequency_hz: float
    fluctuation_db: float  # from the softest to the loudest half second
    drift_db: float  # of the straight line through them, from first to last
    harmonics_percent: float  # of the tone, amplitude
    noise_percent: float  # whatever else from 22 Hz to 20 kHz
    peak_dbfs: float  # 0: full scale
    duration_s: float


class CalibrationRecord(NamedTuple):
    """What is known of a calibration. Written once, never changed."""

    schema: int
    source: str
    method: str  # "calibrator", "data_sheet"
    offset_db: float  # dB re 20 uPa of a sound whose RMS is full scale
    calibrated_on: str  # YYYY-MM-DD, UTC unless given by hand
    written_at: str  # RFC 3339, by this machine's clock
    operator: str
    instrument: str  # the calibrator or the data sheet, in the operator's words
    correction_db: float  # added: what the microphone lacks in the calibrator's cavity, by its maker's table
    tones: Tuple[MeasuredTone, ...]  # of a calibrator: one or two
    sensitivity_dbfs_at_94: Optional[float]  # of a data sheet: 94 dB re 20 uPa, dB re a full-scale sine
    device: str  # PortAudio's name
    sample_format: str
    sample_rate_hz: int
    channels: int
    channel: int  # heard, from 0; -1: the mean of all
    hardware: Hardware
    software: str

    @property
    def calibration(self) -> Calibration:
        """What levels need of it."""
        return Calibration(self.offset_db, self.calibrated_on, self.method)

    def describe(self) -> str:
        """One line for people."""
        how = "with a calibrator" if self.method == "calibrator" else "from a data sheet, not measured"
        return "%s %s, by %s: 0 dBFS is %.2f dB re 20 uPa" % (self.calibrated_on, how, self.operator, self.offset_db)


def offset_from_tones(tones: Tuple[MeasuredTone, ...], correction_db: float) -> float:
    """The mean of what each tone says."""
    return sum(tone.calibrator_level_db - tone.level_dbfs for tone in tones) / len(tones) + correction_db


def offset_from_sensitivity(sensitivity_dbfs_at_94: float, correction_db: float) -> float:
    """From what a data sheet says of a tone of 94 dB, relative to a full-scale sine."""
    return 94.0 - (sensitivity_dbfs_at_94 + FULL_SCALE_SINE_DBFS) + correction_db


def bytes_from_record(record: CalibrationRecord) -> bytes:
    """As JSON, for people to read too."""
    values: Dict[str, Any] = dict(record._asdict())
    values["tones"] = [dict(tone._asdict()) for tone in record.tones]
    values["hardware"] = mapping_from_hardware(record.hardware)
    return (json.dumps(values, indent=1, sort_keys=False) + "\n").encode("utf-8")


def record_from_bytes(content: bytes) -> CalibrationRecord:
    """Read strictly.  Raises HardwareError: says what is wrong."""
    try:
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise HardwareError("no JSON (%s)" % error) from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or isinstance(values.get("schema"), bool):
        given = values.get("schema") if isinstance(values, dict) else values
        raise HardwareError("schema is %s; this version knows %d" % (reprlib.repr(given), SCHEMA))
    given = checked(CalibrationRecord, values, "record")
    tones = given["tones"]
    if not isinstance(tones, list) or len(tones) > _MOST_TONES:
        raise HardwareError("tones are %s, expected a list" % reprlib.repr(tones))
    given["tones"] = tuple(MeasuredTone(**checked(MeasuredTone, tone, "tone")) for tone in tones)
    given["hardware"] = hardware_from_mapping(given["hardware"])
    record = CalibrationRecord(**given)
    for complaint in _contradictions(record):
        raise HardwareError(complaint)
    return record


def stream_difference(record: CalibrationRecord, stream: StreamFormat, channel: int) -> str:
    """How the stream that is heard differs from the calibrated one; "" where it does not."""
    pairs = (
        ("rate", "%d Hz" % stream.sample_rate_hz, "%d Hz" % record.sample_rate_hz),
        ("sample format", stream.sample_format, record.sample_format),
        ("number of channels", str(stream.channels), str(record.channels)),
        ("channel that is heard", _channel(channel), _channel(record.channel)),
    )
    for what, now, was in pairs:
        if now != was:
            return "its %s is %s and was %s when it was calibrated" % (what, now, was)
    return ""


def _channel(channel: int) -> str:
    return "the mean of all" if channel < 0 else str(channel)


def _contradictions(record: CalibrationRecord) -> List[str]:
    found = []
    if record.method not in METHODS:
        found.append("method is %s, expected %s" % (reprlib.repr(record.method), " or ".join(METHODS)))
    try:
        dt.datetime.strptime(record.calibrated_on, "%Y-%m-%d")
    except ValueError:
        found.append("calibrated_on is %s, expected YYYY-MM-DD" % reprlib.repr(record.calibrated_on))
    sensitivity: Any = record.sensitivity_dbfs_at_94  # as JSON gave it
    if isinstance(sensitivity, bool) or not isinstance(sensitivity, (int, float, type(None))):
        found.append("sensitivity_dbfs_at_94 is %s, expected a number or null" % reprlib.repr(sensitivity))
    elif (record.method == "data_sheet") != (sensitivity is not None) or (sensitivity is None) != bool(record.tones):
        found.append("method %s does not go with its figures" % record.method)
    else:
        expected_db = (
            offset_from_tones(record.tones, record.correction_db)
            if sensitivity is None
            else offset_from_sensitivity(sensitivity, record.correction_db)
        )
        if not abs(expected_db - record.offset_db) <= _SAME_DB:
            found.append("offset_db is %g, and its figures give %.2f" % (record.offset_db, expected_db))
    if not OFFSETS_DB[0] <= record.offset_db <= OFFSETS_DB[1]:
        found.append("offset_db is %g, expected %g to %g" % ((record.offset_db,) + OFFSETS_DB))
    return found
