"""A calibrator's tones, heard through an open microphone: waited for, given time to settle, measured once."""

import time
from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from edge.calibration.archive import CalibrationError
from edge.calibration.record import MeasuredTone
from edge.calibration.tone import Heard, complaint_about, listen
from edge.sources.hardware import Hardware
from edge.sources.microphone import MicrophoneSource

DIFFERENCE_DB = 0.5  # two levels may differ by so much more or less than the calibrator's
_SETTLE_S = 3.0  # calibrators and microphones take about two
_ANOTHER_LEVEL_DB = 3.0  # so far from the last tone a next one is another, also where a gain is automatic
_PATIENCE_S = 25.0  # for sound that was lost on its way, before the microphone counts as failed
_MOST_GAPS = 3  # while one stretch is heard


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


def measure_tones(
    microphone: MicrophoneSource, hardware: Hardware, wanted: Wanted, tell: Tell
) -> Tuple[MeasuredTone, ...]:
    """Wait for each of the calibrator's levels, and measure it.  Raises CalibrationError."""
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
        """Measure the next seconds that come without a gap."""
        pieces: List[np.ndarray] = []
        samples, rate_hz, broken = 0, 0, 0
        deadline_s = time.monotonic() + seconds + _PATIENCE_S
        while not rate_hz or samples < seconds * rate_hz:
            block = self._microphone.read(0.5)
            fault = self._microphone.fault
            if fault is not None or time.monotonic() > deadline_s:
                why = fault.message if fault is not None else "no sound any more"
                raise CalibrationError("the microphone failed: %s; begin again" % why)
            hardware = self._microphone.hardware
            if hardware is None or hardware._replace(restored=()) != self._hardware._replace(restored=()):
                raise CalibrationError("somebody changed the card's controls meanwhile; begin again")
            if block is None:
                continue
            if block.gap is not None and pieces:
                broken += 1
                if broken == _MOST_GAPS:
                    raise CalibrationError("sound is lost (%s); relieve the machine and begin again" % block.gap.reason)
                pieces, samples = [], 0
            pieces.append(block.samples)
            samples, rate_hz = samples + len(block.samples), block.sample_rate_hz
        return listen(np.concatenate(pieces), rate_hz)

    def wait_for_tone(self, last: Optional[MeasuredTone], wait_s: float) -> None:
        """Until there is a tone, and after another one at another level.  Raises CalibrationError: there was none.

        Time is that of the sound.
        """
        waited_s = 0.0
        while True:
            heard = self.hear(1.0)
            waited_s += heard.duration_s
            is_new = last is None or abs(heard.level_dbfs - last.level_dbfs) >= _ANOTHER_LEVEL_DB
            if heard.is_tone and is_new:
                return
            if waited_s >= wait_s:
                if not heard.is_tone:
                    complaint = complaint_about(heard)
                    raise CalibrationError(complaint or "no tone within %.0f s" % wait_s)
                return  # the comparison of both levels says what is wrong
