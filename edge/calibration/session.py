"""The work of `soundclr-edge calibrate`: from an open microphone to a record that is kept.

The microphone is opened as the daemon opens it. Nothing needs a hand on the keyboard: a tone is waited for, given time
to settle, and measured once. A second level is waited for in the same way.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Optional, Sequence, Tuple

from edge import __version__
from edge.calibration.archive import CalibrationError, save_record
from edge.calibration.gain_control import Unwanted, unwanted_of
from edge.calibration.listening import Tell, Wanted, measure_tones
from edge.calibration.record import (
    OFFSETS_DB,
    SCHEMA,
    CalibrationRecord,
    MeasuredTone,
    offset_from_sensitivity,
    offset_from_tones,
)
from edge.calibration.state import indirectness
from edge.config import SourceConfig
from edge.rfc3339 import rfc3339_from_epoch
from edge.sources import faults
from edge.sources.framing import StreamFormat
from edge.sources.hardware import Hardware, mapping_from_hardware
from edge.sources.microphone import MicrophoneSource

STANDARD_RATE_HZ = 44100  # below it the A weighting does not hold to 16 kHz
_OPEN_S = 25.0  # PortAudio's look at every device, on a busy Jetson
_COMMON_OFFSETS_DB = (85.0, 165.0)  # of microphones; beyond them something else is likelier than a microphone


def calibrate(
    source: SourceConfig, state_directory: Path, wanted: Wanted, tell: Tell
) -> Tuple[CalibrationRecord, Path]:
    """Calibrate one source.  Returns the record and the file that keeps it.

    Args:
        tell: takes lines for the person who holds the calibrator.

    Raises:
        CalibrationError: refused; says what was heard or found, what was expected and how to mend it.
        SourceError: the microphone cannot be used.
    """
    if source.type != "microphone":
        raise CalibrationError(
            "source %s is of type %s; only microphones are calibrated here: give a recording's or a stream's "
            "calibration_offset_db in its [[source]] table" % (source.name, source.type)
        )
    settings = _settings_without_automatics(source, state_directory, tell)
    try:
        with _opened(source, str(settings) if settings is not None else "") as microphone:
            hardware, stream = _looked_at(microphone, source.name)
            _refuse_automatics(unwanted_of(hardware.controls), source.name)
            _warn_of(stream, source.channel, tell)
            tones = measure_tones(microphone, hardware, wanted, tell)
    finally:
        if settings is not None:
            settings.unlink()
    record = _record_of(source, wanted, tones, hardware, stream)
    _refuse_offset(record, tell)
    return record, save_record(state_directory, record)


def _opened(source: SourceConfig, settings_file: str) -> MicrophoneSource:
    return MicrophoneSource(
        source.name,
        device=source.device,
        sample_rate_hz=source.sample_rate_hz,
        channels=source.channels,
        channel=source.channel,
        settings_file=settings_file,
    )


def _looked_at(microphone: MicrophoneSource, name: str) -> Tuple[Hardware, StreamFormat]:
    """What the microphone's sound comes through, once there is sound."""
    deadline_s = time.monotonic() + _OPEN_S
    while microphone.read(0.2) is None:
        fault = microphone.fault
        if fault is not None and fault.code == faults.BUSY:
            raise CalibrationError(
                "source %s: %s (the daemon: systemctl stop soundclr-edge, and start it afterwards)"
                % (name, fault.message)
            )
        if fault is not None:
            raise CalibrationError("source %s: %s; is the daemon still running?" % (name, fault.message))
        if time.monotonic() > deadline_s:
            raise CalibrationError("source %s: no sound came within %.0f s; plug it in anew" % (name, _OPEN_S))
    stream = microphone.stream
    if microphone.hardware is None or stream is None:
        raise CalibrationError("source %s: its card does not tell how its controls stand; plug it in anew" % name)
    obstacle = indirectness(microphone.hardware, stream)
    if obstacle:
        raise CalibrationError("source %s cannot be calibrated: %s" % (name, obstacle))
    return microphone.hardware, stream


def _settings_without_automatics(source: SourceConfig, state_directory: Path, tell: Tell) -> Optional[Path]:
    """A file of the controls as they are, but with what regulates gain switched off; None where nothing does."""
    with _opened(source, "") as microphone:
        hardware, _ = _looked_at(microphone, source.name)
    found = unwanted_of(hardware.controls)
    if not found:
        return None
    off = {one.control.key: one.off for one in found if one.off}
    controls = tuple(control._replace(values=off.get(control.key, control.values)) for control in hardware.controls)
    tell("switching off: %s" % ", ".join("%s, which is %s" % (o.control.label, o.control.shown()) for o in found))
    settings = {"hardware": mapping_from_hardware(hardware._replace(controls=controls))}
    try:
        return _written(json.dumps(settings), state_directory)
    except OSError as error:
        raise CalibrationError(
            "nothing can be written in %s: %s; give a state directory with --state-dir"
            % (state_directory, error.strerror)
        ) from error


def _written(text: str, state_directory: Path) -> Path:
    """A file of our own; nothing is left of one that has no room."""
    state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(".json", ".calibrating-", str(state_directory))
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        path.unlink()
        raise
    return path


def _refuse_automatics(found: Sequence[Unwanted], name: str) -> None:
    if found:
        words = ", ".join("%s is %s" % (one.control.label, one.control.shown()) for one in found)
        raise CalibrationError(
            "source %s cannot be calibrated: %s and cannot be switched off from here; what regulates the gain by "
            "itself voids any calibration: switch it off by hand (alsamixer), or take another microphone"
            % (name, words)
        )


def _warn_of(stream: StreamFormat, channel: int, tell: Tell) -> None:
    if stream.sample_rate_hz < STANDARD_RATE_HZ:
        tell(
            "warning: heard at %d Hz; below 44100 Hz levels reach up to %.0f Hz only and are not A-weighted to "
            "the standard" % (stream.sample_rate_hz, 0.45 * stream.sample_rate_hz)
        )
    if channel < 0 and stream.channels > 1:
        tell(
            "warning: the mean of %d channels is heard, and a calibrator covers one capsule; set channel in [[source]] "
            "unless all of them carry the same" % stream.channels
        )


def _record_of(
    source: SourceConfig, wanted: Wanted, tones: Tuple[MeasuredTone, ...], hardware: Hardware, stream: StreamFormat
) -> CalibrationRecord:
    sensitivity = wanted.sensitivity_dbfs_at_94
    if tones:
        offset_db = offset_from_tones(tones, wanted.correction_db)
    else:
        assert sensitivity is not None
        offset_db = offset_from_sensitivity(sensitivity, wanted.correction_db)
    return CalibrationRecord(
        schema=SCHEMA,
        source=source.name,
        method="calibrator" if tones else "data_sheet",
        offset_db=round(offset_db, 3),
        calibrated_on=wanted.calibrated_on,
        written_at=rfc3339_from_epoch(time.time()),
        operator=wanted.operator,
        instrument=wanted.instrument,
        correction_db=wanted.correction_db,
        tones=tones,
        sensitivity_dbfs_at_94=None if tones else sensitivity,
        device=stream.device,
        sample_format=stream.sample_format,
        sample_rate_hz=stream.sample_rate_hz,
        channels=stream.channels,
        channel=source.channel,
        hardware=hardware._replace(restored=()),
        software="soundclr-edge %s" % __version__,
    )


def _refuse_offset(record: CalibrationRecord, tell: Tell) -> None:
    offset_db = record.offset_db
    if not OFFSETS_DB[0] <= offset_db <= OFFSETS_DB[1]:
        raise CalibrationError(
            "94 dB would be %.1f dBFS; no microphone is like that: see the level that was given, and whether it is the "
            "microphone that hears the calibrator" % (94.0 - offset_db)
        )
    if not _COMMON_OFFSETS_DB[0] <= offset_db <= _COMMON_OFFSETS_DB[1]:
        tell("warning: 94 dB is %.1f dBFS, which is unusual for a microphone" % (94.0 - offset_db))
