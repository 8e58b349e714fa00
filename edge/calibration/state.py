"""Whether a source's calibration holds now: the record against what its sound comes through."""

import logging
from pathlib import Path
from typing import Dict, NamedTuple, Optional

from edge.calibration.archive import CalibrationError, load_record, newest_record
from edge.calibration.record import CalibrationRecord, stream_difference
from edge.config import SourceConfig
from edge.records import Calibration
from edge.sources.base import Source
from edge.sources.framing import StreamFormat
from edge.sources.hardware import Card, Hardware, is_same_card
from edge.sources.microphone import MicrophoneSource

_LOGGER = logging.getLogger(__name__)


class CalibrationState(NamedTuple):
    """What levels may rest on now."""

    calibration: Optional[Calibration]
    reason: str  # why there is none, for people; "" where there is one

    def describe(self) -> str:
        """For people: `health` and `check`."""
        if self.calibration is None:
            return "uncalibrated: %s" % self.reason
        how = {"calibrator": "with a calibrator", "data_sheet": "from a data sheet, not measured"}
        return "calibrated %s %s" % (self.calibration.calibrated_on, how[self.calibration.method])


class SourceCalibration:
    """One source's calibration, for as long as it holds. Used by one thread, but for `state`.

    Args:
        state_directory: where records are kept; None: there are none.
    """

    def __init__(self, source: SourceConfig, state_directory: Optional[Path]) -> None:
        self._name, self._channel, self._type = source.name, source.channel, source.type
        self._record: Optional[CalibrationRecord] = None
        self._fault, self.settings_file = "", ""  # why there is no record; the record's file, for the capture child
        self._seen: Optional[Hardware] = None
        self.state = CalibrationState(calibration_from_config(source), "")
        if source.type == "microphone":
            self._load(state_directory)
            self.state = CalibrationState(None, self._fault or "not heard yet")
        elif self.state.calibration is None:
            self.state = CalibrationState(None, "its [[source]] gives no calibration_offset_db")

    def look(self, source: Source) -> Optional[Calibration]:
        """What holds of a block that the source has just given; cheap where nothing has changed. A change is logged."""
        if isinstance(source, MicrophoneSource) and self._record is not None:
            hardware, stream = source.hardware, source.stream
            if hardware is None or stream is None:
                self._seen = None
                self._set(CalibrationState(None, "the card does not tell how its controls stand"))
            elif hardware is not self._seen:
                self._seen = hardware
                self._set(self._state_with(self._record, hardware, stream))
        elif isinstance(source, MicrophoneSource):
            self._set(CalibrationState(None, self._fault))
        return self.state.calibration

    def _load(self, state_directory: Optional[Path]) -> None:
        try:
            path = newest_record(state_directory, self._name) if state_directory is not None else None
            if path is None:
                self._fault = "never calibrated (soundclr-edge calibrate --source %s)" % self._name
            else:
                self._record, self.settings_file = load_record(path), str(path)
        except CalibrationError as error:
            self._fault = str(error)
            _LOGGER.warning("source %s: uncalibrated: %s", self._name, error)

    def _state_with(self, record: CalibrationRecord, hardware: Hardware, stream: StreamFormat) -> CalibrationState:
        reason = difference(record, hardware, stream, self._channel)
        return CalibrationState(None if reason else record.calibration, reason)

    def _set(self, state: CalibrationState) -> None:
        if state != self.state:
            self.state = state
            level = logging.INFO if state.calibration is not None else logging.WARNING
            _LOGGER.log(level, "source %s: %s", self._name, state.describe())


def calibration_from_config(source: SourceConfig) -> Optional[Calibration]:
    """What a recording's or a stream's [[source]] table says of its levels."""
    if source.calibration_offset_db is None:
        return None
    return Calibration(source.calibration_offset_db, source.calibrated_on, source.calibration_method)


def difference(record: CalibrationRecord, hardware: Hardware, stream: StreamFormat, channel: int) -> str:
    """Why a record does not hold for what is heard now, in words; "" where it does."""
    was = record.hardware
    return (
        indirectness(hardware, stream)
        or _card_difference(was.card, hardware.card)
        or stream_difference(record, stream, channel)
        or _format_difference(was, hardware)
        or _control_difference(was, hardware)
    )


def indirectness(hardware: Hardware, stream: StreamFormat) -> str:
    """What stands between the card and us that may change levels, in words; "" where nothing does."""
    mend = "; take a device whose name ends in (hw:N,M), or give the name type hw in ~/.asoundrc"
    if hardware.pcm_type != "hw":
        kind = "of ALSA's type %r" % hardware.pcm_type if hardware.pcm_type else "unknown to ALSA's configuration"
        return "%r is %s and not the card itself: sound servers and plugins resample, mix and apply volumes%s" % (
            stream.device,
            kind,
            mend,
        )
    if hardware.card is None:
        return "the kernel does not say that %r is a card of this machine%s" % (stream.device, mend)
    if hardware.sample_rate_hz != stream.sample_rate_hz:
        return "the card runs at %d Hz and is heard at %d Hz: something resamples between them%s" % (
            hardware.sample_rate_hz,
            stream.sample_rate_hz,
            mend,
        )
    return hardware.problem


def _card_difference(was: Optional[Card], now: Optional[Card]) -> str:
    if was is not None and now is not None and is_same_card(was, now):
        return ""
    words = (now.describe() if now is not None else "no card", was.describe() if was is not None else "no card")
    return "it is %s; calibrated was %s" % words


def _format_difference(was: Hardware, now: Hardware) -> str:
    before, after = [(one.sample_format, one.channels) for one in (was, now)]
    return "" if before == after else "the card gives %s in %d channel(s) and gave %s in %d" % (after + before)


def _control_difference(was: Hardware, now: Hardware) -> str:
    before: Dict[object, object] = {control.key: control for control in was.controls}
    for control in now.controls:
        if control.key not in before:
            return "the card has a control %s (%s) that it had not" % (control.label, control.shown())
    after = {control.key: control for control in now.controls}
    for wanted in was.controls:
        control_now = after.get(wanted.key)
        if control_now is None:
            return "the card lacks the control %s" % wanted.label
        if control_now.values != wanted.values:
            return "control %s is %s and was %s when it was calibrated" % (
                wanted.label,
                control_now.shown(),
                wanted.shown(),
            )
        if control_now._replace(values=(), is_writable=True) != wanted._replace(values=(), is_writable=True):
            return "control %s has another range or other choices than it had" % wanted.label
    return ""
