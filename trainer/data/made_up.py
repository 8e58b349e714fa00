"""Foreign sound that is made up: bells and other struck things, squeals, plain noise.

A small data set holds few kinds of foreign sound, and a network that never heard a bell calls it a horn. What is made
up here belongs to none of a street's known classes; nothing here sweeps like a siren or sustains a chord like a horn.
"""

from __future__ import annotations

import numpy as np

_SILENCE = 1e-5  # RMS below which a sound is not scaled any more

# Partials of a bell against its prime: hum, prime, tierce, quint, nominal and above (Rossing, "Science of Percussion
# Instruments", 2000). Other struck bodies have none in common, so theirs are drawn.
_BELL_RATIOS = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.2, 5.4], np.float32)


def make_up_foreign(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """One made-up sound of unit RMS.  Shape [length], float32."""
    kind = rng.random()
    if kind < 0.55:
        return struck_body(length, rng, sample_rate_hz)
    return squeal(length, rng, sample_rate_hz) if kind < 0.75 else coloured_noise(length, rng)


def rms(samples: np.ndarray) -> float:
    """Root mean square, floored so that it can divide."""
    return max(float(np.sqrt(np.mean(np.square(samples)))), _SILENCE)


def coloured_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit RMS whose power falls with frequency by a random exponent, 0 (white) to 2 (brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    exponent = rng.uniform(0.0, 1.0)  # of the amplitude
    noise = np.fft.irfft(spectrum / np.maximum(1.0, np.arange(len(spectrum))) ** exponent, length)
    return (noise / rms(noise)).astype(np.float32)


def struck_body(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """Something that rings is struck once or again and again: bell, chime, glass, pipe, wood."""
    strike = _strike(length, rng, sample_rate_hz)
    sound = np.zeros(length, np.float32)
    spacing = int(np.exp(rng.uniform(np.log(0.15), np.log(2.5))) * sample_rate_hz)
    start, strikes = int(rng.integers(0, length // 2)) if rng.random() < 0.5 else 0, int(rng.integers(1, 25))
    for _ in range(strikes):
        if start >= length:
            break
        sound[start:] += np.float32(rng.uniform(0.4, 1.0)) * strike[: length - start]
        start += max(1, int(spacing * rng.uniform(0.8, 1.2)))
    if rng.random() < 0.5:
        sound = _in_a_room(sound, rng, sample_rate_hz)
    return (sound / rms(sound)).astype(np.float32)


def squeal(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """Brakes, rails, hinges: a few high, wavering tones over rumble."""
    time_s = np.arange(length, dtype=np.float32) / np.float32(sample_rate_hz)
    sound = np.zeros(length, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        frequency_hz = np.exp(rng.uniform(np.log(1800.0), np.log(0.4 * sample_rate_hz)))
        waver = 0.02 * frequency_hz * _smooth_noise(length, rng, points=int(rng.integers(4, 40)))
        phase = 2 * np.pi * (frequency_hz * time_s + np.cumsum(waver) / sample_rate_hz)
        swell = np.maximum(0.0, _smooth_noise(length, rng, points=int(rng.integers(3, 12))))
        sound += np.float32(rng.uniform(0.3, 1.0)) * np.sin(phase).astype(np.float32) * swell
    rumble = coloured_noise(length, rng) * np.float32(10 ** (rng.uniform(-20.0, 6.0) / 20))
    sound = sound / np.float32(rms(sound)) + rumble
    return (sound / rms(sound)).astype(np.float32)


def _strike(length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    if rng.random() < 0.6:
        ratios = _BELL_RATIOS * rng.uniform(0.98, 1.02, len(_BELL_RATIOS))
        prime_hz = np.exp(rng.uniform(np.log(150.0), np.log(1500.0)))
        decay_s = np.exp(rng.uniform(np.log(0.5), np.log(8.0)))
    else:
        ratios = np.sort(rng.uniform(1.0, 6.0, int(rng.integers(2, 8))))
        prime_hz = np.exp(rng.uniform(np.log(150.0), np.log(2500.0)))
        decay_s = np.exp(rng.uniform(np.log(0.05), np.log(2.0)))
    time_s = np.arange(length, dtype=np.float32) / np.float32(sample_rate_hz)
    sound = np.zeros(length, np.float32)
    for ratio in ratios[ratios * prime_hz < 0.45 * sample_rate_hz]:
        beat_hz = rng.uniform(0.0, 3.0)  # a bell is never quite round: each partial is a close pair
        amplitude, phase = rng.uniform(0.1, 1.0), rng.uniform(0.0, 2 * np.pi)
        ringing = np.sin(np.float32(2 * np.pi * ratio * prime_hz) * time_s + np.float32(phase))
        beating = 1.0 + 0.5 * np.cos(np.float32(2 * np.pi * beat_hz) * time_s)
        sound += np.float32(amplitude) * ringing * beating * np.exp(-time_s * np.float32(max(ratio, 0.7) / decay_s))
    return sound


def _in_a_room(sound: np.ndarray, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """Reverberation: convolved with noise that decays by 60 dB in 0.3 to 3 s."""
    decay_s = rng.uniform(0.3, 3.0)
    time_s = np.arange(len(sound), dtype=np.float32) / np.float32(sample_rate_hz)
    tail = rng.standard_normal(len(sound)).astype(np.float32) * np.exp(np.float32(-6.9 / decay_s) * time_s)
    size = 2 * len(sound)
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]
    return (sound / rms(sound) + rng.uniform(0.2, 1.0) * wet / rms(wet)).astype(np.float32)


def _smooth_noise(length: int, rng: np.random.Generator, *, points: int) -> np.ndarray:
    """A curve in [-1, 1] through random points."""
    return np.interp(np.linspace(0.0, points - 1.0, length), np.arange(points), rng.uniform(-1.0, 1.0, points)).astype(
        np.float32
    )
