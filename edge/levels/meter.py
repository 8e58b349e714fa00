"""The sound level meter: samples of one source in, levels of each eighth of a second out.

Everything is as in IEC 61672-1:2013: frequency weightings A, C and Z, time weightings Fast and Slow by sample, mean
levels as energies, the C-weighted peak. What was lost is not glued over: after a start and after a gap the filters
begin anew, and nothing counts until they have settled.
"""

from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple, Union

import numpy as np

from edge.levels.filtering import ExponentialAverage, SectionFilter
from edge.levels.overload import count_overloaded
from edge.levels.peaks import PeakFinder
from edge.levels.third_octaves import ThirdOctaves
from edge.levels.totals import level_of
from edge.levels.weighting import a_from_c_sections, bandwidth_of_rate, weighting_sections
from edge.records import LevelFrame

FRAMES_PER_S = 8
FAST_S, SLOW_S = 0.125, 1.0  # IEC 61672-1:2013, 5.8
_SETTLED_S = 0.25  # a converter's offset is through the filters by then (10 Hz: -90 dB)
_FAST_AFTER_S, _SLOW_AFTER_S = 1.0, 8.0  # the averages have come to 0.02 dB of what they would have been
_BANDS_AFTER_S = 1.0  # those at 25 Hz take so long
_MOST_FRAMES = 8  # at once: more would only take memory

_Resettable = Union[SectionFilter, ExponentialAverage, PeakFinder, ThirdOctaves]


class LevelMeter:
    """Measures one stream.  Chunked equals whole, for any size of the blocks.

    Frames lie on a grid from the stream's sample 0: frame k ends with sample floor((k + 1) * rate / 8), so that eight
    of them are a second whatever the rate.

    Args:
        sample_rate_hz: 8000 to 192000; another rate takes another meter.
        third_octaves: whether to measure these too.

    Raises:
        LevelsError: SciPy is not there.
    """

    def __init__(self, sample_rate_hz: int, third_octaves: bool = False) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.bandwidth_hz = bandwidth_of_rate(sample_rate_hz)
        self._to_c, self._to_z = (SectionFilter(weighting_sections(name, sample_rate_hz)) for name in "CZ")
        self._c_to_a = SectionFilter(a_from_c_sections(sample_rate_hz))
        self._fast, self._slow = (ExponentialAverage(time_s, sample_rate_hz) for time_s in (FAST_S, SLOW_S))
        self._peaks = PeakFinder()
        self._bands = ThirdOctaves(sample_rate_hz) if third_octaves else None
        self._waiting: List[np.ndarray] = []
        self._hidden_overload: Deque[int] = deque()  # indices in the stream, of samples that wait
        self._begin_stretch(0)

    @property
    def band_names(self) -> Tuple[str, ...]:
        """Of the third octaves that are measured, in the order of `band_energies`."""
        return self._bands.names if self._bands is not None else ()

    def push(self, samples: np.ndarray, first_sample: int, overloaded: Optional[np.ndarray] = None) -> List[LevelFrame]:
        """Take samples that follow on the last ones.

        Args:
            samples: mono, full scale 1.  Shape [T], float32 or float64.
            first_sample: their index in the source's stream. Where it is not the one that should come, what lies
                between was lost (see `skip`).
            overloaded: indices of samples that were overloaded and do not show it; rising.

        Returns:
            The frames that are complete now.
        """
        frames = self.skip(first_sample) if first_sample != self._next_sample else []
        self._waiting.append(np.asarray(samples, np.float64))
        if overloaded is not None:
            self._hidden_overload.extend(first_sample + int(index) for index in overloaded)
        self._next_sample += len(samples)
        ends = self._frame_ends()
        if not ends:
            return frames
        waiting = np.concatenate(self._waiting)
        for begin in range(0, len(ends), _MOST_FRAMES):
            group = ends[begin : begin + _MOST_FRAMES]
            count = group[-1] - self._measured
            frames += self._measure(waiting[:count], group)
            waiting = waiting[count:]
        self._waiting = [waiting]
        return frames

    def skip(self, first_sample: int) -> List[LevelFrame]:
        """What comes next has this index: what lies between was lost.  Returns what was heard of the frame before."""
        frames = self.finish()
        self._begin_stretch(first_sample)
        return frames

    def finish(self) -> List[LevelFrame]:
        """Nothing follows directly.  Returns what was heard of the frame under way, if anything was."""
        frames = []
        if self._next_sample > self._measured:
            frames = self._measure(np.concatenate(self._waiting), [self._next_sample])
        self._begin_stretch(self._next_sample)
        return frames

    def _begin_stretch(self, first_sample: int) -> None:
        self._stretch_start = self._measured = self._next_sample = first_sample
        self._waiting = []
        self._hidden_overload.clear()
        parts: List[_Resettable] = [self._to_c, self._c_to_a, self._to_z, self._fast, self._slow, self._peaks]
        if self._bands is not None:
            parts.append(self._bands)
        for part in parts:
            part.reset()

    def _frame_ends(self) -> List[int]:
        """Ends of the frames that are complete and not measured."""
        ends: List[int] = []
        rate_hz = self.sample_rate_hz
        frame = self._measured * FRAMES_PER_S // rate_hz
        while True:
            end = (frame + 1) * rate_hz // FRAMES_PER_S
            if end > self._next_sample:
                return ends
            if end > self._measured:
                ends.append(end)
            frame += 1

    def _measure(self, samples: np.ndarray, ends: Sequence[int]) -> List[LevelFrame]:
        """Frames of consecutive samples, the last of which ends the last frame."""
        firsts = [self._measured] + list(ends[:-1])
        starts = np.array(firsts) - self._measured
        c_weighted = self._to_c.filter(samples)
        squares = {"A": np.square(self._c_to_a.filter(c_weighted)), "C": np.square(c_weighted)}
        squares["Z"] = np.square(self._to_z.filter(samples))
        energies = {name: np.add.reduceat(values, starts) for name, values in squares.items()}
        counts = [self._is_settled(first, _SETTLED_S) for first in firsts]
        squares["A"][: starts[counts.index(True)] if True in counts else None] = 0.0  # what counts not is not averaged
        fast, slow = self._fast.average(squares["A"]), self._slow.average(squares["A"])
        highest, lowest = np.maximum.reduceat(fast, starts), np.minimum.reduceat(fast, starts)
        highest_slow = np.maximum.reduceat(slow, starts)
        frames = []
        for i, (first, end) in enumerate(zip(firsts, ends)):
            part = slice(first - self._measured, end - self._measured)
            peak = self._peaks.find(c_weighted[part])
            bands = self._measure_bands(samples[part], end)
            hidden = self._take_hidden_overload(end)
            if not counts[i]:
                frames.append(_unheard(first, end))
                continue
            is_fast, is_slow = self._is_settled(first, _FAST_AFTER_S), self._is_settled(first, _SLOW_AFTER_S)
            frames.append(
                LevelFrame(
                    first,
                    end,
                    end - first,
                    max(count_overloaded(samples[part]), hidden),
                    float(energies["A"][i]),
                    float(energies["C"][i]),
                    float(energies["Z"][i]),
                    level_of(float(fast[part.stop - 1]), 1.0) if is_fast and self._is_on_grid(end) else None,
                    level_of(float(highest[i]), 1.0) if is_fast else None,
                    level_of(float(lowest[i]), 1.0) if is_fast else None,
                    level_of(float(highest_slow[i]), 1.0) if is_slow else None,
                    level_of(peak * peak, 1.0),
                    bands,
                )
            )
        self._measured = ends[-1]
        return frames

    def _measure_bands(self, samples: np.ndarray, end: int) -> Optional[Tuple[float, ...]]:
        """Of the whole second that ends here; None elsewhere, and for a second that did not count as a whole."""
        if self._bands is None:
            return None
        self._bands.push(samples)
        if end % self.sample_rate_hz:
            return None
        energies = self._bands.take()
        return energies if self._is_settled(end - self.sample_rate_hz, _BANDS_AFTER_S) else None

    def _take_hidden_overload(self, end: int) -> int:
        count = 0
        while self._hidden_overload and self._hidden_overload[0] < end:
            self._hidden_overload.popleft()
            count += 1
        return count

    def _is_settled(self, first: int, after_s: float) -> bool:
        return first - self._stretch_start >= after_s * self.sample_rate_hz

    def _is_on_grid(self, end: int) -> bool:
        """Whether an eighth of a second ends here, and no gap begins within one."""
        nearest = -(-end * FRAMES_PER_S // self.sample_rate_hz)  # rounded up: ends are rounded down
        return nearest * self.sample_rate_hz // FRAMES_PER_S == end


def _unheard(first: int, end: int) -> LevelFrame:
    return LevelFrame(first, end, 0, 0, 0.0, 0.0, 0.0, None, None, None, None, None)
