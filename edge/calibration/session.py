"""The work of `soundclr-edge calibrate`: from an open microphone to a record that is kept.

The microphone is opened as the daemon opens it. Nothing needs a hand on the keyboard: a tone is waited for, given time
to settle, and measured once. A second level is waited for in the same way.
"""

import os
import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edge import __version__
from edge.calibration.archive import CalibrationError, save_record
from edge.calibration.gain_control import Unwanted, unwanted_of
from edge.calibration.record import (
    OFFSETS_DB,
    SCHEMA,
    CalibrationRecord,
    MeasuredTone,
    bytes_from_record,
    offset_from_sensitivity,
    offset_from_tones,
)
from edge.calibration.state import indirectness
from edge.calibration.tone import Heard, complaint_about, listen
from edge.clock import rfc3339_utc
from edge.config import SourceConfig
from edge.sources import faults
from edge.sources.framing import StreamFormat
from edge.sources.hardware import Hardware
from edge.sources.microphone import MicrophoneSource

STANDARD_RATE_HZ = 44100  # below it the A weighting does not hold to 16 kHz
DIFFERENCE_DB = 0.5  # two levels may differ by so much more or less than the calibrator's
_OPEN_S = 25.0  # PortAudio's look at every device, on a busy Jetson
_HARDWARE_S = 5.0
_SETTLE_S = 3.0  # calibrators and microphones take about two
_ANOTHER_LEVEL_DB = 3.0  # so far from the last tone a next one is another, also where a gain is automatic
_COMMON_OFFSETS_DB = (85.0, 165.0)  # of microphones; beyond them something else is likelier than a microphone


class Wanted(NamedTuple):
    """What a person asks for."""

    levels_db: Tuple[float, ...]  # of the calibrator, in turn; empty with a data sheet
    sensitivity_dbfs_at_94: Optional[float]
    correction_db: float
    calibrated_on: str
    operator: str
    instrument: str
    duration_s: float
    wait_s: float


Tell = Callable[[str], None]


def calibrate(source: SourceConfig, state_directory: Path, wanted: Wanted, tell: Tell) -> Tuple[CalibrationRecord, Path]:
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
            tones = _measured(microphone, hardware, wanted, tell)
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
                "source %s: %s (the daemon: systemctl stop soundclr-edge, and start it afterwards)" % (name, fault.message)
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
        hardware, stream = _looked_at(microphone, source.name)
    found = unwanted_of(hardware.controls)
    if not found:
        return None
    off = {one.control.key: one.off for one in found if one.off}
    controls = tuple(
        control._replace(values=off.get(control.key, control.values)) for control in hardware.controls
    )
    tell("switching off: %s" % ", ".join("%s, which is %s" % (o.control.label, o.control.shown()) for o in found))
    path = state_directory / (".calibrating-%d.json" % os.getpid())
    nothing = Wanted((), 0.0, 0.0, "", "", "", 0.0, 0.0)
    record = _record_of(source, nothing, (), hardware._replace(controls=controls), stream)
    try:
        state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(bytes_from_record(record))
    except OSError as error:
        raise CalibrationError(
            "nothing can be written in %s: %s; give a state directory with --state-dir" % (state_directory, error.strerror)
        ) from error
    return path


def _refuse_automatics(found: Sequence[Unwanted], name: str) -> None:
    if found:
        words = ", ".join("%s is %s" % (one.control.label, one.control.shown()) for one in found)
        raise CalibrationError(
            "source %s cannot be calibrated: %s and cannot be switched off from here; what regulates the gain by itself "
            "voids any calibration: switch it off by hand (alsamixer), or take another microphone" % (name, words)
        )


def _warn_of(stream: StreamFormat, channel: int, tell: Tell) -> None:
    if stream.sample_rate_hz < STANDARD_RATE_HZ:
        tell(
            "warning: heard at %d Hz; below 44100 Hz levels reach up to %.0f Hz only and are not A-weighted to the standard"
            % (stream.sample_rate_hz, 0.45 * stream.sample_rate_hz)
        )
    if channel < 0 and stream.channels > 1:
        tell(
            "warning: the mean of %d channels is heard, and a calibrator covers one capsule; set channel in [[source]] "
            "unless all of them carry the same" % stream.channels
        )


def _measured(microphone: MicrophoneSource, hardware: Hardware, wanted: Wanted, tell: Tell) -> Tuple[MeasuredTone, ...]:
    ear = _Ear(microphone, hardware)
    tones: List[MeasuredTone] = []
    for level_db in wanted.levels_db:
        last = tones[-1] if tones else None
        if last is None:
            tell("waiting up to %.0f s for the calibrator: %g dB, 1000 Hz" % (wanted.wait_s, level_db))
        else:
            tell("now switch the calibrator to %g dB; waiting up to %.0f s" % (level_db, wanted.wait_s))
        ear.wait_for_tone(last, wanted.wait_s)
        tell("a tone; letting it settle, then measuring for %.0f s: keep still" % wanted.duration_s)
        ear.hear(_SETTLE_S)
        tones.append(_tone_from(ear.hear(wanted.duration_s), level_db))
        tell("heard %.1f Hz at %.2f dBFS" % (tones[-1].frequency_hz, tones[-1].level_dbfs))
    if len(tones) == 2:
        _compare(tones[0], tones[1])
    return tuple(tones)


def _tone_from(heard: Heard, level_db: float) -> MeasuredTone:
    complaint = complaint_about(heard)
    if complaint is not None:
        raise CalibrationError(complaint)
    return MeasuredTone(
        level_db,
        round(heard.level_dbfs, 3),
        round(heard.frequency_hz, 2),
        round(heard.fluctuation_db, 3),
        round(heard.drift_db, 3),
        round(heard.harmonics_percent, 3),
        round(heard.noise_percent, 3),
        round(heard.peak_dbfs, 2),
        heard.duration_s,
    )


def _compare(first: MeasuredTone, second: MeasuredTone) -> None:
    expected_db = second.calibrator_level_db - first.calibrator_level_db
    found_db = second.level_dbfs - first.level_dbfs
    if abs(found_db - expected_db) > DIFFERENCE_DB:
        raise CalibrationError(
            "heard two levels that differ by %.2f dB; expected %g within %g dB: %s"
            % (
                found_db,
                expected_db,
                DIFFERENCE_DB,
                "the calibrator was not switched to its second level"
                if abs(found_db) < DIFFERENCE_DB
                else "an automatic gain or a limiter is at work, and its levels cannot be calibrated; take another "
                "microphone, or switch it off there",
            )
        )


class _Ear:
    """Sound of an open microphone, in pieces without a gap."""

    def __init__(self, microphone: MicrophoneSource, hardware: Hardware) -> None:
        self._microphone, self._hardware = microphone, hardware

    def hear(self, seconds: float) -> Heard:
        """Measure the next seconds."""
        pieces: List[np.ndarray] = []
        samples, rate_hz = 0, 0
        deadline_s = time.monotonic() + seconds + _OPEN_S
        while not rate_hz or samples < seconds * rate_hz:
            block = self._microphone.read(0.5)
            fault = self._microphone.fault
            if fault is not None or time.monotonic() > deadline_s:
                why = fault.message if fault is not None else "no sound any more"
                raise CalibrationError("the microphone failed: %s; begin again" % why)
            if self._microphone.hardware != self._hardware._replace(restored=()):
                if self._microphone.hardware != self._hardware:
                    raise CalibrationError("somebody changed the card's controls meanwhile; begin again")
            if block is None:
                continue
            if block.gap is not None:
                raise CalibrationError("sound was lost (%s); relieve the machine and begin again" % block.gap.reason)
            pieces.append(block.samples)
            samples, rate_hz = samples + len(block.samples), block.sample_rate_hz
        return listen(np.concatenate(pieces), rate_hz)

    def wait_for_tone(self, last: Optional[MeasuredTone], wait_s: float) -> None:
        """Until there is a tone, and after another one at another level.  Raises CalibrationError: there was none."""
        deadline_s = time.monotonic() + wait_s
        while True:
            heard = self.hear(1.0)
            is_new = last is None or abs(heard.level_dbfs - last.level_dbfs) >= _ANOTHER_LEVEL_DB
            if heard.is_tone and is_new:
                return
            if time.monotonic() >= deadline_s:
                if not heard.is_tone:
                    complaint = complaint_about(heard)
                    raise CalibrationError(complaint or "no tone within %.0f s" % wait_s)
                return  # the comparison of both levels says what is wrong


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
        written_at=rfc3339_utc(time.time()),
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
