"""Recursive filters that go on where they stopped. SciPy computes them; nothing else of the node needs it."""

from typing import Any

import numpy as np

from edge.errors import EdgeError

# What is left of a sound in a filter's memory falls for ever and would end in numbers that processors are slow with.
_NEGLIGIBLE = 1e-60


class LevelsError(EdgeError):
    """Sound levels cannot be measured here."""


def scipy_signal() -> Any:
    """SciPy's filters.  Raises LevelsError: they are not there; says how to mend it."""
    try:
        import scipy.signal
    except ImportError as error:
        raise LevelsError(
            "sound levels need SciPy, which cannot be imported (%s); pip install scipy, or set enabled = false under "
            "[levels]" % error
        ) from error
    return scipy.signal


class SectionFilter:
    """Second-order sections over a stream, block by block; the same as over all of it at once.

    Args:
        sections: as `scipy.signal.sosfilt` takes them.  Shape [S, 6].

    Raises:
        LevelsError: SciPy is not there.
    """

    def __init__(self, sections: np.ndarray) -> None:
        self._sections = np.ascontiguousarray(sections, np.float64)
        self._signal = scipy_signal()
        self.reset()

    def reset(self) -> None:
        """Begin anew, as if there had been silence."""
        self._state = np.zeros((len(self._sections), 2))

    def filter(self, samples: np.ndarray) -> np.ndarray:
        """The next samples, filtered.  Shape [T], float64; T at least 1.  Fresh array."""
        if len(self._sections) == 1:  # the same difference equation, and a fifth of the work before it begins
            section = self._sections[0]
            filtered, state = self._signal.lfilter(section[:3], section[3:], samples, zi=self._state[0])
            state = state[None]
        else:
            filtered, state = self._signal.sosfilt(self._sections, samples, zi=self._state)
        state[np.abs(state) < _NEGLIGIBLE] = 0.0
        self._state = state
        return filtered


class ExponentialAverage:
    """The time weighting of IEC 61672-1:2013, 5.8: a mean square that forgets.

    Args:
        time_constant_s: 0.125 for Fast, 1 for Slow.
    """

    def __init__(self, time_constant_s: float, sample_rate_hz: float) -> None:
        decay = float(np.exp(-1.0 / (time_constant_s * sample_rate_hz)))
        self._b, self._a = np.array([1.0 - decay]), np.array([1.0, -decay])
        self._signal = scipy_signal()
        self.reset()

    def reset(self) -> None:
        """Begin anew, as if there had been silence."""
        self._state = np.zeros(1)

    def average(self, squares: np.ndarray) -> np.ndarray:
        """The running mean of the next squared samples, one for each.  Shape [T], float64.  Fresh array."""
        averages, state = self._signal.lfilter(self._b, self._a, squares, zi=self._state)
        state[state < _NEGLIGIBLE] = 0.0
        self._state = state
        return averages
