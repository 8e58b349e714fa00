"""What the level frames of a stretch of time come to, as far as it can be joined with that of another stretch."""

import math
from typing import Dict, NamedTuple, Optional, Tuple

from edge.levels.histogram import LevelHistogram
from edge.records import Calibration, LevelFrame

SILENCE = 1e-16  # mean square, -160 dB: below it is nothing but zeros, and what filters still remember of sound


class Condition(NamedTuple):
    """Under what the levels of a stretch were taken; what was taken otherwise is added up by itself."""

    calibration: Optional[Calibration] = None  # None: uncalibrated
    bandwidth_hz: Optional[float] = None  # None: the weighting holds to 16 kHz
    noise_floor_dbfs: Optional[float] = None  # None: the source does not state one


class LevelTotals:
    """Energies, extremes and percentiles of valid sound.  Levels are dB re full scale; None where none is known.

    Energies are mean squares times seconds, so that stretches of different rates can be joined.
    """

    def __init__(self) -> None:
        self.heard_s = 0.0  # the time that counts
        self.overload_s = 0.0  # of it, in eighths of a second that reached full scale
        self.under_range_s = 0.0  # of it, in eighths of a second with a mean level below the noise floor
        self.energy_a = self.energy_c = self.energy_z = 0.0
        self.lafmax_dbfs: Optional[float] = None
        self.lafmin_dbfs: Optional[float] = None
        self.lasmax_dbfs: Optional[float] = None
        self.lcpeak_dbfs: Optional[float] = None
        self.laf = LevelHistogram()  # sampled each 125 ms

    def add(self, frame: LevelFrame, sample_rate_hz: float, noise_floor_dbfs: Optional[float] = None) -> None:
        """Take one frame."""
        if frame.heard_samples <= 0:
            return
        heard_s = frame.heard_samples / float(sample_rate_hz)
        self.heard_s += heard_s
        self.overload_s += heard_s if frame.overload_samples > 0 else 0.0
        mean_dbfs = level_of(frame.energy_a, frame.heard_samples)
        if noise_floor_dbfs is not None and (mean_dbfs is None or mean_dbfs < noise_floor_dbfs):
            self.under_range_s += heard_s
        self.energy_a += frame.energy_a / sample_rate_hz
        self.energy_c += frame.energy_c / sample_rate_hz
        self.energy_z += frame.energy_z / sample_rate_hz
        self._widen(frame.lafmax_dbfs, frame.lafmin_dbfs, frame.lasmax_dbfs, frame.lcpeak_dbfs)
        if frame.laf_dbfs is not None:
            self.laf.add(frame.laf_dbfs)

    def merge(self, other: "LevelTotals", shift_db: float = 0.0) -> None:
        """Take all of another's, so much louder."""
        factor = 10.0 ** (shift_db / 10.0)
        self.heard_s += other.heard_s
        self.overload_s += other.overload_s
        self.under_range_s += other.under_range_s
        self.energy_a += other.energy_a * factor
        self.energy_c += other.energy_c * factor
        self.energy_z += other.energy_z * factor
        extremes = (other.lafmax_dbfs, other.lafmin_dbfs, other.lasmax_dbfs, other.lcpeak_dbfs)
        self._widen(*[None if level is None else level + shift_db for level in extremes])
        self.laf.merge(other.laf, shift_db)

    def levels(self) -> Dict[str, Optional[float]]:
        """Means and extremes by their names in messages, without the histogram's percentiles."""
        return {
            "laeq": self.mean_level(self.energy_a),
            "lceq": self.mean_level(self.energy_c),
            "lzeq": self.mean_level(self.energy_z),
            "lafmax": self.lafmax_dbfs,
            "lafmin": self.lafmin_dbfs,
            "lasmax": self.lasmax_dbfs,
            "lcpeak": self.lcpeak_dbfs,
        }

    def mean_level(self, energy: float) -> Optional[float]:
        """The level of an energy of its own, spread over the time heard; None for none."""
        return level_of(energy, self.heard_s)

    def _widen(
        self,
        lafmax_dbfs: Optional[float],
        lafmin_dbfs: Optional[float],
        lasmax_dbfs: Optional[float],
        lcpeak_dbfs: Optional[float],
    ) -> None:
        self.lafmax_dbfs = _higher(self.lafmax_dbfs, lafmax_dbfs)
        self.lafmin_dbfs = _lower(self.lafmin_dbfs, lafmin_dbfs)
        self.lasmax_dbfs = _higher(self.lasmax_dbfs, lasmax_dbfs)
        self.lcpeak_dbfs = _higher(self.lcpeak_dbfs, lcpeak_dbfs)


def level_of(energy: float, time_s: float) -> Optional[float]:
    """The mean level of an energy over a time; None where there is nothing, never minus infinity."""
    return 10.0 * math.log10(energy / time_s) if time_s > 0.0 and energy > SILENCE * time_s else None


def split_frame(frame: LevelFrame, at_sample: int) -> Tuple[LevelFrame, LevelFrame]:
    """One frame as two, where a minute ends within it.

    Its energy is shared out by time, as if it had been even: nothing is lost or told twice. Levels that are sampled at
    its end, and the extremes of all of it, stay with the part that holds the end; so do third octaves, which tell
    of a whole second.

    Args:
        at_sample: where the second part begins, within the frame.
    """
    if not frame.first_sample < at_sample < frame.end_sample:
        raise ValueError("sample %d is not within %d to %d" % (at_sample, frame.first_sample, frame.end_sample))
    whole = frame.end_sample - frame.first_sample
    heard = int(round(frame.heard_samples * (at_sample - frame.first_sample) / float(whole)))
    share = heard / float(frame.heard_samples) if frame.heard_samples else 0.0
    energies = (frame.energy_a, frame.energy_c, frame.energy_z)
    left = LevelFrame(
        frame.first_sample,
        at_sample,
        heard,
        min(heard, frame.overload_samples),  # only whether there was any is known of each part
        energies[0] * share,
        energies[1] * share,
        energies[2] * share,
        None,
        None,
        None,
        None,
        None,
        None,
    )
    right = frame._replace(
        first_sample=at_sample,
        heard_samples=frame.heard_samples - heard,
        overload_samples=min(frame.heard_samples - heard, frame.overload_samples),
        energy_a=energies[0] - left.energy_a,
        energy_c=energies[1] - left.energy_c,
        energy_z=energies[2] - left.energy_z,
    )
    return left, right


def _higher(one: Optional[float], other: Optional[float]) -> Optional[float]:
    known = [level for level in (one, other) if level is not None]
    return max(known) if known else None


def _lower(one: Optional[float], other: Optional[float]) -> Optional[float]:
    known = [level for level in (one, other) if level is not None]
    return min(known) if known else None
