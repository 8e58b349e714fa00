"""One-third octaves of IEC 61260-1:2014, 25 Hz to 16 kHz: Butterworth filters, each octave at half the next one's rate.

A band's filter runs at the lowest rate that still holds it, so all octaves together cost about twice the highest, and
no filter has poles so close to 1 that its memory would spoil it.
"""

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from edge.levels.filtering import SectionFilter, scipy_signal

NOMINAL_HZ: Tuple[float, ...] = (25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
NOMINAL_HZ += (1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000)
_FIRST = -16  # 25 Hz, counted in thirds of an octave from 1 kHz
_OCTAVE = 10.0**0.3  # G of the standard, base ten
_HALF_BAND = _OCTAVE ** (1.0 / 6.0)  # from a band's middle to its edge
_HIGHEST_EDGE = 0.41  # of the rate at which a band is filtered: 16 kHz at 44.1 kHz, and no more
_SLOPE_ORDER, _STEEP_ORDER = (
    3,
    5,
)  # of Butterworth's low pass; near half the rate the bilinear transform takes from the slope
_STEEP_FROM = 0.2  # of the rate
# Before a rate is halved: nothing up to the highest edge is touched, what would fold down to it is taken out.
_HALVING_RIPPLE_DB, _HALVING_STOP_DB = 0.003, 82.0


class _Octave(NamedTuple):
    """What is filtered at one rate."""

    bands: List[Tuple[int, SectionFilter]]  # index in the answer
    halving: SectionFilter  # to the next one's rate


class ThirdOctaves:
    """Energies of the bands of one stream.

    Bands that the rate does not hold are not measured: `names` says which are.

    Raises:
        LevelsError: SciPy is not there.
    """

    def __init__(self, sample_rate_hz: float) -> None:
        middles_hz = [1000.0 * _OCTAVE ** ((_FIRST + i) / 3.0) for i in range(len(NOMINAL_HZ))]
        middles_hz = [hz for hz in middles_hz if hz * _HALF_BAND <= _HIGHEST_EDGE * sample_rate_hz]
        self.names = tuple(band_name(hz) for hz in NOMINAL_HZ[: len(middles_hz)])
        self._octaves = _octaves(middles_hz, sample_rate_hz)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as if there had been silence."""
        for octave in self._octaves:
            octave.halving.reset()
            for _, section_filter in octave.bands:
                section_filter.reset()
        self._is_odd = [False] * len(self._octaves)
        self._waiting: List[np.ndarray] = []

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples.  They are kept until `take`."""
        self._waiting.append(samples)

    def take(self) -> Tuple[float, ...]:
        """Energies of what came since the last time: sums of squares at the stream's rate, by band."""
        samples = np.concatenate(self._waiting) if self._waiting else np.zeros(0)
        self._waiting = []
        energies = [0.0] * len(self.names)
        for at, octave in enumerate(self._octaves):
            if not len(samples):
                break
            for band, section_filter in octave.bands:
                filtered = section_filter.filter(samples)
                energies[band] = float(np.square(filtered).sum()) * 2.0**at  # np.dot would wake BLAS's threads
            if at + 1 < len(self._octaves):
                samples = self._halved(at, octave.halving.filter(samples))
        return tuple(energies)

    def _halved(self, at: int, samples: np.ndarray) -> np.ndarray:
        """Every other sample of the stream, however it is cut."""
        first = 1 if self._is_odd[at] else 0
        self._is_odd[at] = bool((len(samples) + first) % 2)
        return samples[first::2]


def band_names() -> Tuple[str, ...]:
    """Of all bands that there can be."""
    return tuple(band_name(hz) for hz in NOMINAL_HZ)


def band_name(nominal_hz: float) -> str:
    """As in the names of fields: 31_5hz, 1000hz."""
    return ("%g" % nominal_hz).replace(".", "_") + "hz"


def _octaves(middles_hz: Sequence[float], sample_rate_hz: float) -> List[_Octave]:
    octaves: List[_Octave] = []
    todo = list(enumerate(middles_hz))
    halving = _halving_sections()
    while todo:
        rate_hz = sample_rate_hz / 2.0 ** len(octaves)
        here = [(i, hz) for i, hz in todo if hz * _HALF_BAND > _HIGHEST_EDGE * 0.5 * rate_hz]
        todo = [(i, hz) for i, hz in todo if hz * _HALF_BAND <= _HIGHEST_EDGE * 0.5 * rate_hz]
        bands = [(i, SectionFilter(_band_sections(hz, rate_hz))) for i, hz in here]
        octaves.append(_Octave(bands, SectionFilter(halving)))
    return octaves


def _band_sections(middle_hz: float, rate_hz: float) -> np.ndarray:
    order = _STEEP_ORDER if middle_hz > _STEEP_FROM * rate_hz else _SLOPE_ORDER
    edges = np.array([middle_hz / _HALF_BAND, middle_hz * _HALF_BAND]) / (0.5 * rate_hz)
    sections = scipy_signal().butter(order, edges, btype="bandpass", output="sos")
    return np.asarray(sections)


def _halving_sections() -> np.ndarray:
    edge = _HIGHEST_EDGE  # of half the rate after halving, which is what SciPy's 0 to 1 means before it
    signal = scipy_signal()
    order, corner = signal.ellipord(edge, 1.0 - edge, _HALVING_RIPPLE_DB, _HALVING_STOP_DB)
    return np.asarray(signal.ellip(order, _HALVING_RIPPLE_DB, _HALVING_STOP_DB, corner, output="sos"))
