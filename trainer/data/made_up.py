"""Foreign sound that is made up: struck things and plain noise.

A small data set holds few kinds of foreign sound; what is made up here belongs to none of a street's known classes.
Truer bells (partials, beats, peals, rooms) and squeals of brakes were tried too. On recorded foreign sound that
no training had seen they rejected no better, and on known sound they cost accuracy: they were left out.
"""

from __future__ import annotations

import numpy as np

_SILENCE = 1e-5  # RMS below which a sound is not scaled any more
_NOISE_SHARE = 0.3  # the rest are struck things


def make_up_foreign(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """One made-up sound of unit RMS.  Shape [length], float32."""
    if rng.random() < _NOISE_SHARE:
        return coloured_noise(length, rng)
    return struck_partials(length, rng, sample_rate_hz)


def rms(samples: np.ndarray) -> float:
    """Root mean square, floored so that it can divide."""
    return max(float(np.sqrt(np.mean(np.square(samples)))), _SILENCE)


def coloured_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit RMS whose power falls with frequency by a random exponent, 0 (white) to 2 (brown)."""
    parts = rng.standard_normal((2, length // 2 + 1), dtype=np.float32)
    exponent = np.float32(rng.uniform(0.0, 1.0))  # of the amplitude
    falling = np.maximum(np.float32(1.0), np.arange(parts.shape[1], dtype=np.float32)) ** -exponent
    noise = np.fft.irfft((parts[0] + 1j * parts[1]) * falling, length)
    return (noise / rms(noise)).astype(np.float32)


def struck_partials(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """A few strikes of something that rings: inharmonic partials that decay, as of metal, glass or wood."""
    sound = np.zeros(length, np.float32)
    ratios = np.sort(rng.uniform(1.0, 6.0, int(rng.integers(2, 8))))
    fundamental_hz = np.exp(rng.uniform(np.log(150.0), np.log(2500.0)))
    decay_s = np.exp(rng.uniform(np.log(0.05), np.log(3.0)))
    for start in rng.integers(0, int(0.9 * length), int(rng.integers(1, 7))):
        time_s = np.arange(length - start, dtype=np.float32) / np.float32(sample_rate_hz)
        for ratio in ratios[ratios * fundamental_hz < 0.45 * sample_rate_hz]:
            amplitude, phase = rng.uniform(0.1, 1.0) / ratio, rng.uniform(0.0, 2 * np.pi)
            ringing = np.sin(np.float32(2 * np.pi * ratio * fundamental_hz) * time_s + np.float32(phase))
            sound[start:] += np.float32(amplitude) * ringing * np.exp(-time_s * np.float32(ratio / decay_s))
    return (sound / np.float32(rms(sound))).astype(np.float32)
