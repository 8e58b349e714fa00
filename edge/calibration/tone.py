"""Is this a calibrator's tone, and how loud is it? Works on samples alone.

A sine is fitted to each half second with its frequency left free (IEEE Std 1057, the four-parameter fit), its
harmonics to what is left; the rest, from 22 Hz to 20 kHz, is noise. Frequency, noise and fluctuation may be as IEC
60942:2003 lets a class 2 calibrator be, harmonics half of that: what compresses by half a decibel makes 2 % of them.
This tells a calibrator from no calibrator, and a sound seal from a bad one. It is no test of the calibrator.
"""

import math
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from edge.levels.overload import FULL_SCALE

FREQUENCY_HZ = 1000.0
FREQUENCY_TOLERANCE = 0.02
FLUCTUATION_DB = 0.2  # from the softest to the loudest half second
DRIFT_DB = 0.1  # of the line through them
HARMONICS_PERCENT = 2.0
NOISE_PERCENT = 4.0
_BLOCK_S = 0.5
_LEAST_BLOCKS = 2
_BAND_HZ = (22.0, 20000.0)
_TONE_SHARE = 0.5  # of the power: below it what is heard is no tone
_FIT_STEPS = 8
_MOST_HARMONICS = 10


class Heard(NamedTuple):
    """What a stretch of sound holds."""

    level_dbfs: float  # of the tone; 0 dB: an RMS of 1
    frequency_hz: float  # of the strongest tone
    frequency_error: float  # of the half second that is farthest from a calibrator's, relative
    tone_share: float  # of the power in the band
    total_dbfs: float  # all of it
    fluctuation_db: float
    drift_db: float
    harmonics_percent: float
    noise_percent: float
    peak: float  # 1: full scale
    duration_s: float

    @property
    def peak_dbfs(self) -> float:
        """Of the highest sample."""
        return 20.0 * math.log10(max(self.peak, 1e-9))

    def describe(self) -> str:
        """What was heard, for people."""
        if self.peak == 0.0:
            return "nothing but zeros"
        if self.tone_share < _TONE_SHARE:
            return "noise of %.1f dBFS without a steady tone, strongest near %.0f Hz" % (
                self.total_dbfs,
                self.frequency_hz,
            )
        return "%.1f Hz at %.2f dBFS, harmonics %.2g %%, noise %.2g %%, fluctuation %.2f dB" % (
            self.frequency_hz,
            self.level_dbfs,
            self.harmonics_percent,
            self.noise_percent,
            self.fluctuation_db,
        )

    @property
    def is_tone(self) -> bool:
        """Whether one tone is most of it, somewhere near a calibrator's frequency."""
        return self.tone_share >= _TONE_SHARE and abs(self.frequency_hz / FREQUENCY_HZ - 1.0) < 0.1


def listen(samples: np.ndarray, sample_rate_hz: int) -> Heard:
    """Measure a stretch of sound.

    Args:
        samples: [T], full scale is 1, at least a second.
        sample_rate_hz: of them; 8000 or more.
    """
    block_samples = int(_BLOCK_S * sample_rate_hz)
    blocks = len(samples) // block_samples
    if blocks < _LEAST_BLOCKS:
        raise ValueError("%d samples at %d Hz; expected a second at least" % (len(samples), sample_rate_hz))
    samples = np.asarray(samples[: blocks * block_samples], np.float64)
    peak = float(np.max(np.abs(samples)))
    if peak == 0.0:
        return Heard(-math.inf, 0.0, 1.0, 0.0, -math.inf, 0.0, 0.0, 0.0, 0.0, 0.0, blocks * _BLOCK_S)
    parts = [_listen_to_block(block, sample_rate_hz) for block in samples.reshape(blocks, block_samples)]
    powers, harmonics, noises = [np.array(column) for column in list(zip(*parts))[1:]]
    frequencies = np.array([part.frequency_hz for part in parts])
    levels = _db(powers)
    line = np.polyfit(np.arange(blocks), levels, 1)
    total = float(np.mean(powers + harmonics + noises))
    tone = float(np.mean(powers))
    return Heard(
        float(_db(tone)),
        float(np.median(frequencies)),
        float(np.max(np.abs(frequencies / FREQUENCY_HZ - 1.0))),
        tone / max(total, 1e-30),
        float(_db(total)),
        float(np.ptp(levels)),
        float(line[0] * (blocks - 1)),
        100.0 * math.sqrt(float(np.mean(harmonics)) / max(tone, 1e-30)),
        100.0 * math.sqrt(float(np.mean(noises)) / max(tone, 1e-30)),
        peak,
        blocks * _BLOCK_S,
    )


def complaint_about(heard: Heard) -> Optional[str]:
    """Why this is no calibrator's tone to calibrate with: heard, expected, how to mend it; None where it is one."""
    if heard.peak == 0.0:
        return "heard nothing but zeros; expected a tone: the microphone is muted, or is no microphone"
    if heard.peak >= FULL_SCALE:
        return "heard samples at full scale; expected none: turn the capture volume down (alsamixer) and begin again"
    if heard.tone_share < _TONE_SHARE:
        return (
            "heard %s; expected a steady tone of %.0f Hz: push the calibrator home over the microphone and switch it on"
            % (heard.describe(), FREQUENCY_HZ)
        )
    if heard.frequency_error > FREQUENCY_TOLERANCE:
        return (
            "heard a tone of %.1f Hz (up to %.1f %% off); expected %.0f Hz within %g %%: use a calibrator of that "
            "frequency" % (heard.frequency_hz, 100 * heard.frequency_error, FREQUENCY_HZ, 100 * FREQUENCY_TOLERANCE)
        )
    if heard.harmonics_percent > HARMONICS_PERCENT:
        return (
            "heard the tone with %.1f %% of harmonics; expected at most %g %%: it is distorted, by clipping before the "
            "converter, an automatic gain, a limiter or a flat battery" % (heard.harmonics_percent, HARMONICS_PERCENT)
        )
    if heard.noise_percent > NOISE_PERCENT:
        return (
            "heard the tone with %.1f %% of noise; expected at most %g %%: seal the calibrator around the microphone, "
            "take it out of the wind, or turn the capture volume up" % (heard.noise_percent, NOISE_PERCENT)
        )
    if abs(heard.drift_db) > DRIFT_DB or heard.fluctuation_db > FLUCTUATION_DB:
        return (
            "heard the level drift by %+.2f dB and fluctuate by %.2f dB in %.0f s; expected at most %g and %g: hold "
            "the calibrator still, let it settle, and see that nothing regulates the gain"
            % (heard.drift_db, heard.fluctuation_db, heard.duration_s, DRIFT_DB, FLUCTUATION_DB)
        )
    return None


class _Block(NamedTuple):
    frequency_hz: float
    tone: float  # powers
    harmonics: float
    noise: float


def _listen_to_block(samples: np.ndarray, sample_rate_hz: int) -> _Block:
    times_s = np.arange(len(samples)) / float(sample_rate_hz)
    samples = samples - np.mean(samples)
    frequency_hz, tone = _fit_tone(samples, times_s, _strongest_hz(samples, sample_rate_hz))
    rest = samples - tone
    harmonics = _fit_harmonics(rest, times_s, frequency_hz, sample_rate_hz)
    return _Block(
        frequency_hz,
        float(np.mean(tone * tone)),
        float(np.mean(harmonics * harmonics)),
        _power_in_band(rest - harmonics, sample_rate_hz),
    )


def _strongest_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    step_hz = sample_rate_hz / float(len(samples))
    low, high = [int(edge_hz / step_hz) for edge_hz in (_BAND_HZ[0], min(_BAND_HZ[1], 0.45 * sample_rate_hz))]
    at = low + int(np.argmax(spectrum[low:high]))
    before, peak, after = [math.log(max(float(value), 1e-30)) for value in spectrum[at - 1 : at + 2]]
    curvature = before - 2 * peak + after
    return (at + (0.5 * (before - after) / curvature if curvature < 0 else 0.0)) * step_hz


def _fit_tone(samples: np.ndarray, times_s: np.ndarray, frequency_hz: float) -> Tuple[float, np.ndarray]:
    """The sine that leaves the least.  Returns its frequency and itself [T]."""
    start_hz = frequency_hz
    for _ in range(_FIT_STEPS):
        phase = 2 * math.pi * frequency_hz * times_s
        cosine, sine = np.cos(phase), np.sin(phase)
        a, b = _solved([cosine, sine], samples)
        slope = 2 * math.pi * times_s * (b * cosine - a * sine)
        step_hz = float(_solved([cosine, sine, slope], samples)[2])
        if not abs(frequency_hz + step_hz - start_hz) < 4.0:  # noise leads nowhere
            break
        frequency_hz += step_hz
        if abs(step_hz) < 1e-7:
            break
    phase = 2 * math.pi * frequency_hz * times_s
    columns = [np.cos(phase), np.sin(phase)]
    a, b = _solved(columns, samples)
    return frequency_hz, a * columns[0] + b * columns[1]


def _fit_harmonics(samples: np.ndarray, times_s: np.ndarray, frequency_hz: float, sample_rate_hz: int) -> np.ndarray:
    columns: List[np.ndarray] = []
    fundamental = np.exp(2j * math.pi * frequency_hz * times_s)
    harmonic = fundamental
    for multiple in range(2, _MOST_HARMONICS + 1):
        harmonic = harmonic * fundamental
        if multiple * frequency_hz < 0.45 * sample_rate_hz:
            columns += [harmonic.real, harmonic.imag]
    if not columns:
        return np.zeros_like(samples)
    return np.asarray(np.einsum("i,it->t", _solved(columns, samples), np.array(columns)))


def _solved(columns: List[np.ndarray], samples: np.ndarray) -> np.ndarray:
    """The factors of columns whose sum comes nearest to the samples.

    By einsum: BLAS would start threads for it, which cost more than they give, the more so on a busy machine.
    """
    matrix = np.array(columns)
    squares = np.einsum("it,jt->ij", matrix, matrix)
    return np.asarray(np.linalg.lstsq(squares, np.einsum("it,t->i", matrix, samples), rcond=None)[0])


def _power_in_band(samples: np.ndarray, sample_rate_hz: int) -> float:
    window = np.hanning(len(samples))
    spectrum = np.fft.rfft(samples * window)
    frequencies = np.fft.rfftfreq(len(samples), 1.0 / sample_rate_hz)
    is_in_band = (frequencies >= _BAND_HZ[0]) & (frequencies <= _BAND_HZ[1])
    energy = 2.0 * float(np.sum(np.abs(spectrum[is_in_band]) ** 2))
    return energy / len(samples) / float(np.sum(window * window))


def _db(power: Any) -> np.ndarray:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-30)))
