"""What sound levels cost, against what a user would have taken instead; and how true both are.

Noise at 48 kHz in a microphone's blocks of 50 ms. In each round every contestant measures as much of it, in an order
that rotates; a ratio is that of two contestants in the same round, in processor time, since others may be at work on
the machine. What each contestant leaves out is in its name: ours weights by A, C and Z, averages Fast and Slow, finds
peaks between the samples, and looks for overload.

PyOctaveBand is the alternative that is kept (pip install --no-deps pyoctaveband); without it ours is measured alone.
"""

import importlib.util
import os
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: PyOctaveBand's matrix products would wake all cores

import time

import numpy as np
from report import Report, build_parser, positive
from scipy import signal

from edge.levels.meter import LevelMeter
from edge.levels.third_octaves import ThirdOctaves
from edge.levels.weighting import magnitude_of_sections, magnitude_of_weighting, weighting_sections

RATE_HZ = 48000
_BLOCK = RATE_HZ // 20
_EIGHTH = RATE_HZ // 8
_ROUND_S = 4
OURS, OURS_BANDS = "ours, all levels", "ours, all levels and third octaves"
NAIVE = "SciPy on each whole second anew: A, Fast"
THEIRS = "PyOctaveBand, streamed: A, C, Fast, Slow"
THEIRS_WHOLE = "PyOctaveBand, oversampled, not streamed: A, C, Fast, Slow"
THEIRS_BANDS = "PyOctaveBand, streamed: third octaves alone"

Contestant = Callable[[np.ndarray], None]


def main() -> None:
    """Measure and print."""
    parser = build_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, default=_ROUND_S, help="of sound in a round (default: %(default)s)")
    arguments = parser.parse_args()
    has_theirs = importlib.util.find_spec("pyoctaveband") is not None
    report = Report("Sound levels", ["numpy", "scipy"] + (["pyoctaveband"] if has_theirs else []))
    contestants: dict[str, Contestant] = {OURS: _Ours(False), OURS_BANDS: _Ours(True), NAIVE: _measure_naively}
    if has_theirs:
        contestants.update({THEIRS: _Theirs(), THEIRS_WHOLE: _measure_oversampled, THEIRS_BANDS: _TheirBands()})
    else:
        report.add_remark("PyOctaveBand is not installed: ours is measured without it")
    sound = 0.05 * np.random.RandomState(1).randn(int(arguments.seconds) * RATE_HZ).astype(np.float32)
    spent = _run(contestants, sound, arguments.rounds)
    seconds = len(sound) / RATE_HZ
    for name, values in spent.items():
        report.add_row(name, values, "% core", 100.0 / seconds)
    report.add_figure("broadband, share of a core", _median(spent[OURS]) / seconds * 100.0, "%", below=0.5)
    report.add_figure("with third octaves", _median(spent[OURS_BANDS]) / seconds * 100.0, "%", below=2.5)
    for name in spent:
        if name not in (OURS, OURS_BANDS):
            ours = OURS_BANDS if name == THEIRS_BANDS else OURS
            ratios = [theirs / own for theirs, own in zip(spent[name], spent[ours], strict=True)]
            report.add_row(f"{name} / {ours}", ratios, "times")
    _add_truth(report, has_theirs)
    report.write(as_json=arguments.json)


class _Ours:
    def __init__(self, third_octaves: bool) -> None:
        self._meter, self._at = LevelMeter(RATE_HZ, third_octaves), 0

    def __call__(self, sound: np.ndarray) -> None:
        for first in range(0, len(sound), _BLOCK):
            block = sound[first : first + _BLOCK]
            self._meter.push(block, self._at)
            self._at += len(block)


class _Theirs:
    def __init__(self) -> None:
        from pyoctaveband import TimeWeighting, WeightingFilter

        self._weightings = [WeightingFilter(RATE_HZ, curve, stateful=True) for curve in "AC"]
        self._times = [TimeWeighting(RATE_HZ, mode) for mode in ("fast", "slow")]

    def __call__(self, sound: np.ndarray) -> None:
        for first in range(0, len(sound), _EIGHTH):
            a_weighted, c_weighted = (each.filter(sound[first : first + _EIGHTH]) for each in self._weightings)
            for weighted in (a_weighted, c_weighted):
                np.square(weighted).sum()
            for each in self._times:
                each.process(a_weighted).max()


class _TheirBands:
    def __init__(self) -> None:
        from pyoctaveband import OctaveFilterBank

        self._bank = OctaveFilterBank(RATE_HZ, fraction=3, limits=[25, 16000], stateful=True, resample=False)

    def __call__(self, sound: np.ndarray) -> None:
        for first in range(0, len(sound), RATE_HZ):
            self._bank.filter(sound[first : first + RATE_HZ], detrend=False)


def _measure_oversampled(sound: np.ndarray) -> None:
    from pyoctaveband import time_weighting, weighting_filter

    a_weighted, c_weighted = (weighting_filter(sound, RATE_HZ, curve) for curve in "AC")
    np.square(c_weighted).sum()
    for mode in ("fast", "slow"):
        time_weighting(a_weighted, RATE_HZ, mode).max()


def _measure_naively(sound: np.ndarray) -> None:
    """As in many a script: the bilinear transform, and every second begins with silence."""
    for first in range(0, len(sound), RATE_HZ):
        weighted = signal.sosfilt(_bilinear_a(), sound[first : first + RATE_HZ])
        decay = np.exp(-1.0 / (0.125 * RATE_HZ))
        signal.lfilter([1.0 - decay], [1.0, -decay], np.square(weighted)).max()


def _bilinear_a() -> np.ndarray:
    poles = -2.0 * np.pi * np.array([20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217])
    zeros, poles, gain = signal.bilinear_zpk(np.zeros(4), poles, 1.0, RATE_HZ)
    sections = signal.zpk2sos(zeros, poles, gain)
    sections[0, :3] /= magnitude_of_sections(sections, np.array([1000.0]), RATE_HZ)[0]
    return sections


def _run(contestants: dict[str, Contestant], sound: np.ndarray, rounds: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for contestant in contestants.values():
        contestant(sound)  # warm
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began_s = time.process_time()
            contestants[name](sound)
            spent[name].append(time.process_time() - began_s)
    return spent


def _add_truth(report: Report, has_theirs: bool) -> None:
    """Deviation of A from the standard's curve where the bilinear transform fails."""
    at_hz = np.array([10000.0, 12589.3, 15848.9])
    wanted = magnitude_of_weighting("A", at_hz)
    found = {"ours": weighting_sections("A", RATE_HZ), "the bilinear transform": _bilinear_a()}
    if has_theirs:
        from pyoctaveband import WeightingFilter

        found["PyOctaveBand, streamed"] = WeightingFilter(RATE_HZ, "A", stateful=True).sos
    for name, sections in found.items():
        for hz, error_db in zip(
            at_hz, 20.0 * np.log10(magnitude_of_sections(sections, at_hz, RATE_HZ) / wanted), strict=True
        ):
            report.add_figure(f"A at {hz / 1000.0:.1f} kHz, error of {name}", error_db, "dB")
    report.add_figure("bands of the third octaves", len(ThirdOctaves(RATE_HZ).names), "")
    report.add_remark(
        "class 1 allows a whole instrument +2/-3 dB at 10 kHz, +2/-5 dB at 12.5 kHz and +2.5/-16 dB at 16 kHz"
    )


def _median(values: list[float]) -> float:
    return float(np.median(values))


if __name__ == "__main__":
    main()
