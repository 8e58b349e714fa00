"""The frequency weightings A, C and Z of IEC 61672-1:2013 as digital filters, for any sample rate.

The standard gives A and C as poles and zeros of an analogue network (5.5 and annex E there). The bilinear transform
would bend the top of the curves down to nothing at half the sample rate: at 44.1 kHz by 1.5 dB at 10 kHz, 3.5 dB at
12.5 kHz and 8.2 dB at 16 kHz, which leaves little of class 1's limits to the microphone. Here all poles are matched
(z = exp(s / rate)), the zeros at 0 Hz stay there, and the two zeros left are fitted to what the curve should be: a
linear least-squares problem in the squared magnitude. Up to 16 kHz the deviation is then below 0.125 dB at every rate
from 44.1 kHz on, and no oversampling is needed.
"""

import math
from typing import Dict, Optional

import numpy as np

FULL_BAND_RATE_HZ = 44100  # from here on the weightings hold to 16 kHz, the last nominal frequency with a lower limit

# The corner frequencies of annex E to more digits than it prints (20.60, 107.7, 737.9 and 12194 Hz); they follow from
# the four frequencies and levels that it names: 1 kHz, 10^1.5 Hz, 10^3.9 Hz, 10^2.45 Hz.
_F1_HZ, _F2_HZ, _F3_HZ, _F4_HZ = 20.598997057568145, 107.65264864304628, 737.8622307362899, 12194.21714799801
_REFERENCE_HZ = 1000.0
_Z_LOW_HZ = 10.0  # half power; takes out what the converter adds at 0 Hz
_Z_HIGH_HZ = (
    22387.2  # half power: upper edge of the third octave at 20 kHz; above it a microphone hears its own resonance
)
_FITTED_SHARE = 0.45  # of the sample rate: beyond it converters let nothing through
_FIT_POINTS = 2000


def weighting_sections(weighting: str, sample_rate_hz: float) -> np.ndarray:
    """Second-order sections of one weighting: 0 dB at 1 kHz.

    Args:
        weighting: "A", "C" or "Z".

    Returns:
        b0, b1, b2, 1, a1, a2 of each section, as `scipy.signal.sosfilt` takes them.  Shape [S, 6], float64.

    Raises:
        ValueError: there is no such weighting.
    """
    if weighting == "Z":
        return _flat_sections(sample_rate_hz)
    if weighting not in ("A", "C"):
        raise ValueError("weighting %r; expected A, C or Z" % weighting)
    below = _high_pass(_F1_HZ, _F1_HZ, sample_rate_hz)
    sections = _unity_at_reference(np.array([below, _fitted_top(below, sample_rate_hz)]), sample_rate_hz)
    return np.concatenate([sections, a_from_c_sections(sample_rate_hz)]) if weighting == "A" else sections


def a_from_c_sections(sample_rate_hz: float) -> np.ndarray:
    """What makes A of what is C-weighted: two poles and two zeros more, far below the band's end.  Shape [1, 6]."""
    return _unity_at_reference(np.array([_high_pass(_F2_HZ, _F3_HZ, sample_rate_hz)]), sample_rate_hz)


def magnitude_of_weighting(weighting: str, frequencies_hz: np.ndarray) -> np.ndarray:
    """What the standard wants of A or C: a factor of the amplitude, 1 at 1 kHz.  Shape as given.

    Source: IEC 61672-1:2013, 5.5 and annex E.
    """
    return _analogue(weighting, frequencies_hz) / _analogue(weighting, np.array([_REFERENCE_HZ]))[0]


def magnitude_of_sections(sections: np.ndarray, frequencies_hz: np.ndarray, sample_rate_hz: float) -> np.ndarray:
    """What sections do to a steady tone: a factor of its amplitude.  Shape as the frequencies'."""
    delay = np.exp(-2j * math.pi * np.asarray(frequencies_hz, np.float64) / sample_rate_hz)
    response = np.ones(delay.shape, complex)
    for b0, b1, b2, a0, a1, a2 in sections:
        response = response * (b0 + delay * (b1 + delay * b2)) / (a0 + delay * (a1 + delay * a2))
    return np.abs(response)


def bandwidth_of_rate(sample_rate_hz: float) -> Optional[float]:
    """What `bandwidth_hz` tells: None where the weightings hold to 16 kHz, else the highest frequency there can be."""
    return None if sample_rate_hz >= FULL_BAND_RATE_HZ else 0.5 * sample_rate_hz


def _analogue(weighting: str, frequencies_hz: np.ndarray) -> np.ndarray:
    squares: Dict[float, np.ndarray] = {}
    f2 = np.square(np.asarray(frequencies_hz, np.float64))
    for corner_hz in (_F1_HZ, _F2_HZ, _F3_HZ, _F4_HZ):
        squares[corner_hz] = f2 + corner_hz**2
    magnitude = f2 / squares[_F1_HZ] * _F4_HZ**2 / squares[_F4_HZ]
    return magnitude * f2 / np.sqrt(squares[_F2_HZ] * squares[_F3_HZ]) if weighting == "A" else magnitude


def _pole(corner_hz: float, sample_rate_hz: float) -> float:
    return math.exp(-2.0 * math.pi * corner_hz / sample_rate_hz)


def _high_pass(one_hz: float, other_hz: float, sample_rate_hz: float) -> np.ndarray:
    """Two zeros at 0 Hz, two real poles."""
    one, other = _pole(one_hz, sample_rate_hz), _pole(other_hz, sample_rate_hz)
    return np.array([1.0, -2.0, 1.0, 1.0, -(one + other), one * other])


def _fitted_top(below: np.ndarray, sample_rate_hz: float) -> np.ndarray:
    """The section with the double pole at 12.2 kHz, whose zeros bring C to the wanted curve.

    The squared magnitude of a numerator is r0 + 2 r1 cos w + 2 r2 cos 2w: linear in r, so relative errors of it are
    least where a linear system says, and of the four roots that belong to r two lie inside the unit circle.
    """
    pole = _pole(_F4_HZ, sample_rate_hz)
    denominator = np.array([1.0, -2.0 * pole, pole * pole])
    frequencies_hz = np.geomspace(_F1_HZ, _FITTED_SHARE * sample_rate_hz, _FIT_POINTS)
    without_zeros = np.array([below, np.concatenate([[1.0, 0.0, 0.0], denominator])])
    wanted = np.square(
        _analogue("C", frequencies_hz) / magnitude_of_sections(without_zeros, frequencies_hz, sample_rate_hz)
    )
    w = 2.0 * math.pi * frequencies_hz / sample_rate_hz
    terms = np.stack([np.ones_like(w), 2.0 * np.cos(w), 2.0 * np.cos(2.0 * w)], axis=1)
    r0, r1, r2 = np.linalg.lstsq(terms / wanted[:, None], np.ones_like(w), rcond=None)[0]
    roots = np.roots([r2, r1, r0, r1, r2])
    numerator = np.real(np.poly(roots[np.argsort(np.abs(roots))][:2]))
    return np.concatenate([numerator, denominator])


def _unity_at_reference(sections: np.ndarray, sample_rate_hz: float) -> np.ndarray:
    scaled = sections.copy()
    scaled[-1, :3] /= magnitude_of_sections(sections, np.array([_REFERENCE_HZ]), sample_rate_hz)[0]
    return scaled


def _flat_sections(sample_rate_hz: float) -> np.ndarray:
    """Z: Butterworth's second order below, and his fourth above where the rate leaves room for ultrasound."""
    sections = [_butterworth(_Z_LOW_HZ, math.sqrt(0.5), sample_rate_hz, is_high_pass=True)]
    if 0.4 * sample_rate_hz > _Z_HIGH_HZ:
        for quality in (0.5 / math.cos(math.pi / 8.0), 0.5 / math.cos(3.0 * math.pi / 8.0)):
            sections.append(_butterworth(_Z_HIGH_HZ, quality, sample_rate_hz, is_high_pass=False))
    return _unity_at_reference(np.array(sections), sample_rate_hz)


def _butterworth(corner_hz: float, quality: float, sample_rate_hz: float, *, is_high_pass: bool) -> np.ndarray:
    """One section by the bilinear transform, its corner where it is wanted."""
    tangent = math.tan(math.pi * corner_hz / sample_rate_hz)
    scale = 1.0 / (1.0 + tangent / quality + tangent * tangent)
    gain, middle = (scale, -2.0) if is_high_pass else (scale * tangent * tangent, 2.0)
    return np.array(
        [
            gain,
            middle * gain,
            gain,
            1.0,
            2.0 * (tangent * tangent - 1.0) * scale,
            (1.0 - tangent / quality + tangent * tangent) * scale,
        ]
    )
