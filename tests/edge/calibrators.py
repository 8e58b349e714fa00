"""What a calibrator gives, a microphone that plays it without waiting, and the hardware that it comes through."""

import numpy as np

from edge.calibration import CalibrationRecord, MeasuredTone
from edge.records import AudioBlock, Gap
from edge.sources.framing import StreamFormat
from edge.sources.hardware import Card, Control, Hardware

RATE_HZ = 48000
CARD = Card("USB Microphone", "0d8c", "0014", "A1", "1-2.1", 0)
VOLUME = Control("Mic Capture Volume", 0, 0, 0, "integer", 0, 16, (), (8, 8))
SWITCH = Control("Mic Capture Switch", 0, 0, 0, "boolean", 0, 0, (), (1,))
AGC = Control("Auto Gain Control", 0, 0, 0, "boolean", 0, 0, (), (0,))
SOURCE = Control("Capture Source", 0, 0, 0, "enumerated", 0, 0, ("Mic", "Line"), (0,))
HARDWARE = Hardware(CARD, "hw", "S16_LE", RATE_HZ, 1, (VOLUME, SWITCH, AGC, SOURCE))
STREAM = StreamFormat("street", "s16le", RATE_HZ, 1)
TONE = MeasuredTone(94.0, -26.0, 1000.0, 0.01, 0.0, 0.1, 0.2, -22.9, 10.0)
RECORD = CalibrationRecord(
    schema=1,
    source="mic",
    method="calibrator",
    offset_db=120.0,
    calibrated_on="2026-10-01",
    written_at="2026-10-01T10:00:00.000Z",
    operator="A. Person",
    instrument="class 1, number 7",
    correction_db=0.0,
    tones=(TONE,),
    sensitivity_dbfs_at_94=None,
    device="street",
    sample_format="s16le",
    sample_rate_hz=RATE_HZ,
    channels=1,
    channel=-1,
    hardware=HARDWARE,
    software="soundclr-edge 0",
)


def tone(level_dbfs=-26.0, seconds=4.0, *, frequency_hz=1000.0, rate_hz=RATE_HZ, noise_db=-70.0):
    """A sine with noise that much below it.  Shape [T]."""
    times_s = np.arange(int(seconds * rate_hz)) / float(rate_hz)
    rms = 10 ** (level_dbfs / 20)
    noise = np.random.RandomState(3).normal(0, rms * 10 ** (noise_db / 20), len(times_s))
    return rms * np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * times_s) + noise


class Tape:
    """A microphone that is read as fast as one likes; gives nothing any more at its end."""

    def __init__(self, samples, *, rate_hz=RATE_HZ, gap_at_s=None, turned_at_s=None, dies_at_s=None):
        self._samples, self._rate_hz, self._at = samples, rate_hz, 0
        self._gap_at_s, self._turned_at_s, self._dies_at_s = gap_at_s, turned_at_s, dies_at_s
        self.hardware, self.stream, self.fault = HARDWARE, STREAM, None

    def read(self, _timeout_s):
        """The next twentieth of a second."""
        at_s, length = self._at / float(self._rate_hz), self._rate_hz // 20
        if self._turned_at_s is not None and at_s >= self._turned_at_s:
            self.hardware = HARDWARE._replace(controls=(VOLUME._replace(values=(3, 3)), SWITCH, AGC, SOURCE))
        if self._dies_at_s is not None and at_s >= self._dies_at_s:
            from edge.sources.faults import DIED, Fault

            self.fault = Fault(DIED, "it died")
            return None
        piece = self._samples[self._at : self._at + length]
        assert len(piece) == length, "the tape is too short for this test"
        is_gap = self._gap_at_s is not None and at_s >= self._gap_at_s
        self._at += length
        return AudioBlock(
            piece.astype(np.float32), self._rate_hz, self._at - length, at_s, Gap("overflow", 5) if is_gap else None
        )
