"""Levels of whole seconds of a reel, from `edge.levels`' frames of 125 ms: re full scale, uncalibrated."""

import bisect
import math
from array import array
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from edge.records import LevelFrame

_HALF_FRAME_S = 0.0625  # a frame belongs to what holds its middle (edge.levels.event_levels)
_SAME_TIME_S = 1e-3


class OwnShare(NamedTuple):
    """Of an event, what lies within the reel's own sound: such shares of several reels can be added up."""

    heard_samples: int
    energy_a: float
    lafmax_dbfs: Optional[float]


class Second(NamedTuple):
    """One second of sound, or what there is of it.  Sums of energies are energies again (`LevelFrame`)."""

    start_s: float  # since the reel's own beginning
    samples: int  # that it covers
    heard_samples: int
    overload_samples: int  # of the heard ones, those in eighths of a second that reached full scale
    energy_a: float
    energy_c: float
    energy_z: float
    lafmax_dbfs: Optional[float]
    lafmin_dbfs: Optional[float]
    lasmax_dbfs: Optional[float]
    lcpeak_dbfs: Optional[float]
    laf_dbfs: Tuple[float, ...]  # at the end of each valid frame: what percentiles are made of
    band_energies: Optional[Tuple[float, ...]]  # of the third octaves, where they were asked for


class SecondsOfLevels:
    """Puts frames together into seconds of the reel's own sound; those of lead and tail are left out."""

    def __init__(self, sample_rate_hz: int, first_own_sample: int, end_own_sample: int) -> None:
        self._rate_hz, self._first, self._end = sample_rate_hz, first_own_sample, end_own_sample
        self._frames: List[LevelFrame] = []
        self._under_way = -1

    def push(self, frames: Sequence[LevelFrame]) -> List[Second]:
        """Take frames in the order of time.  Returns the seconds that they completed."""
        seconds = []
        for frame in frames:
            if self._first <= frame.first_sample < self._end:
                number = (frame.first_sample - self._first) // self._rate_hz
                if number != self._under_way:
                    seconds += self.finish()
                    self._under_way = number
                self._frames.append(frame)
        return seconds

    def finish(self) -> List[Second]:
        """The second under way, as far as it was heard."""
        frames, self._frames = self._frames, []
        return [_second(frames, float(self._under_way))] if frames else []


class OwnFrames:
    """What of a reel's frames is needed to say how loud a part of it was: 26 bytes for each eighth of a second."""

    def __init__(self, sample_rate_hz: int, first_own_sample: int, end_own_sample: int) -> None:
        self._rate_hz, self._first, self._end = sample_rate_hz, first_own_sample, end_own_sample
        self._ends, self._heard, self._energy, self._highest = array("q"), array("l"), array("d"), array("f")

    def push(self, frames: Sequence[LevelFrame]) -> None:
        """Take frames in the order of time."""
        for frame in frames:
            if self._first <= frame.first_sample < self._end:
                self._ends.append(frame.end_sample)
                self._heard.append(frame.heard_samples)
                self._energy.append(frame.energy_a)
                self._highest.append(-math.inf if frame.lafmax_dbfs is None else frame.lafmax_dbfs)

    def share(self, start_s: float, end_s: float) -> OwnShare:
        """Of the time between two moments of the stream, what is the reel's own."""
        first = bisect.bisect_right(self._ends, (start_s + _HALF_FRAME_S) * self._rate_hz)
        last = bisect.bisect_right(self._ends, (end_s + _SAME_TIME_S) * self._rate_hz)
        highest = max(self._highest[first:last], default=-math.inf)
        return OwnShare(
            sum(self._heard[first:last]), math.fsum(self._energy[first:last]), None if highest == -math.inf else highest
        )


def _second(frames: Sequence[LevelFrame], start_s: float) -> Second:
    return Second(
        start_s,
        sum(frame.end_sample - frame.first_sample for frame in frames),
        sum(frame.heard_samples for frame in frames),
        sum(frame.heard_samples for frame in frames if frame.overload_samples),
        sum(frame.energy_a for frame in frames),
        sum(frame.energy_c for frame in frames),
        sum(frame.energy_z for frame in frames),
        _highest(frame.lafmax_dbfs for frame in frames),
        min((frame.lafmin_dbfs for frame in frames if frame.lafmin_dbfs is not None), default=None),
        _highest(frame.lasmax_dbfs for frame in frames),
        _highest(frame.lcpeak_dbfs for frame in frames),
        tuple(frame.laf_dbfs for frame in frames if frame.laf_dbfs is not None),
        next((frame.band_energies for frame in frames if frame.band_energies is not None), None),
    )


def _highest(levels: Iterable[Optional[float]]) -> Optional[float]:
    return max((level for level in levels if level is not None), default=None)
