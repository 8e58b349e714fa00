"""What a street, a room and a microphone do to a waveform; plain, without learning, each by its definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.signal

from engines.windows import fill_short_clip

_SMALLEST_RMS = 1e-6
_STOP_BAND_DB = 120.0  # below the floor of any front end here: 80 dB under a window's maximum, or 100 dB deep


def tilt(samples: np.ndarray, rate_hz: int, db_per_decade: float) -> np.ndarray:
    """A response that rises (falls) steadily with the logarithm of frequency, 0 dB at 1 kHz, no phase."""
    frequency_hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / rate_hz), 50.0)
    gain = 10 ** (db_per_decade * np.log10(frequency_hz / 1000.0) / 20)
    tilted: np.ndarray = np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))
    return tilted


def add_click(samples: np.ndarray, rate_hz: int, window: int, rng: np.random.Generator, length_s: float) -> np.ndarray:
    """A burst of full-scale noise (random signs) in the middle half of what all windows of the clip share."""
    length = int(length_s * rate_hz)
    first, last = max(0, len(samples) - window), min(len(samples), window)  # of the windows' common part
    if last - first < 4 * length:
        first, last = 0, len(samples)
    quarter = (last - first) // 4
    start = int(rng.integers(first + quarter, last - quarter - length))
    clicked = samples.copy()
    clicked[start : start + length] = rng.choice([-1.0, 1.0], length)
    return clicked


def keep_loudest(samples: np.ndarray, window: int, short_clip: str, share: float) -> np.ndarray:
    """The stretch of that share of a window that has the most energy, filled to a window by the model's rule."""
    length = int(share * window)
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return fill_short_clip(samples[start : start + length], window, short_clip)


def low_pass(samples: np.ndarray, rate_hz: int, limit_hz: float) -> np.ndarray:
    """Butterworth of order 8; a rate that holds nothing above the limit leaves the sound as it is."""
    if limit_hz >= 0.49 * rate_hz:
        return samples
    passed: np.ndarray = scipy.signal.sosfilt(scipy.signal.butter(8, limit_hz, fs=rate_hz, output="sos"), samples)
    return passed


def band_limit(samples: np.ndarray, rate_hz: int, limit_hz: float) -> np.ndarray:
    """Nothing from the limit on: 120 dB down, by a linear-phase FIR without delay; unchanged up to 0.95 of the limit.

    A Butterworth's slope leaves a trace above its limit that a log-mel 80 dB deep still shows.

    Args:
        limit_hz: below half the rate.
    """
    width_hz = 0.05 * limit_hz
    taps, beta = scipy.signal.kaiserord(_STOP_BAND_DB, width_hz / (0.5 * rate_hz))
    response = scipy.signal.firwin(taps | 1, limit_hz - 0.5 * width_hz, window=("kaiser", beta), fs=rate_hz)
    limited: np.ndarray = scipy.signal.oaconvolve(samples, response, mode="same")
    return limited


def reverberate(samples: np.ndarray, rate_hz: int, rt60_s: float, rng: np.random.Generator) -> np.ndarray:
    """Direct sound, and 5 ms later noise that decays by 60 dB in rt60_s and holds the same energy."""
    time_s = np.arange(int(rt60_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3.0 * time_s / rt60_s)
    tail[: int(0.005 * rate_hz)] = 0.0
    tail /= np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    echoed: np.ndarray = scipy.signal.fftconvolve(samples, tail)[: len(samples)]
    return echoed


def cut_off(samples: np.ndarray, depth_db: float) -> np.ndarray:
    """Hard clipping at depth_db below the clip's peak."""
    limit = np.abs(samples).max() * 10 ** (-depth_db / 20)
    return np.clip(samples, -limit, limit)


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Noise at an SNR: the RMS of the clip where it is not digital silence, over that of the noise."""
    return samples + noise * (heard_rms(samples) / heard_rms(noise) * 10 ** (-snr_db / 20))


def draw_street(noises: Sequence[np.ndarray], length: int, rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """A stretch of a street recording, or traffic noise: flat to 100 Hz, -3 dB an octave to 1 kHz, -9 dB above, with
    a slow swell of +-6 dB."""
    if noises:
        noise = noises[int(rng.integers(len(noises)))]
        start = int(rng.integers(0, max(1, len(noise) - length + 1)))
        return np.resize(noise[start:], length)
    frequency_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    octaves_low = np.log2(np.clip(frequency_hz, 100.0, 1000.0) / 100.0)
    octaves_high = np.log2(np.maximum(frequency_hz, 1000.0) / 1000.0)
    spectrum = np.fft.rfft(rng.standard_normal(length)) * 10 ** (-(3.0 * octaves_low + 9.0 * octaves_high) / 20)
    swell_db = 6.0 * np.sin(2 * np.pi * (np.arange(length) / (rate_hz * rng.uniform(4.0, 12.0)) + rng.random()))
    traffic: np.ndarray = np.fft.irfft(spectrum, length) * 10 ** (swell_db / 20)
    return traffic


def heard_rms(samples: np.ndarray) -> float:
    """RMS of what is not digital silence, floored so that it can divide."""
    heard = samples[samples != 0]
    return max(float(np.sqrt(np.mean(np.square(heard, dtype=np.float64)))) if len(heard) else 0.0, _SMALLEST_RMS)
