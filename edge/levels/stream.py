"""Everything about one stream's levels: measured as its sound comes, and joined with its events."""

from typing import List, Optional, Tuple

from edge.config import LevelsConfig
from edge.levels.event_levels import EventLevels
from edge.levels.meter import LevelMeter
from edge.levels.told import condition_of
from edge.levels.totals import Condition
from edge.records import AudioBlock, Calibration, EventChange, LevelFrame


class StreamLevels:
    """Levels of one stream of one rate; of none where they are not wanted.

    Args:
        reach_s: how far back an event's start or end may lie when it is told, seconds.

    Raises:
        LevelsError: levels are wanted, and SciPy is not there.
    """

    def __init__(self, config: LevelsConfig, sample_rate_hz: int, reach_s: float) -> None:
        self._config = config
        self._meter = LevelMeter(sample_rate_hz, config.third_octaves) if config.enabled else None
        self._events = EventLevels(sample_rate_hz, reach_s)

    def condition(self, calibration: Optional[Calibration]) -> Optional[Condition]:
        """Under what the levels are taken; None where none are wanted."""
        return condition_of(self._config, self._meter.bandwidth_hz, calibration) if self._meter is not None else None

    @property
    def band_names(self) -> Tuple[str, ...]:
        """Of the third octaves that are measured, in the order of `band_energies`."""
        return self._meter.band_names if self._meter is not None else ()

    def push(self, block: AudioBlock) -> List[LevelFrame]:
        """Take sound.  Returns the frames that it completes."""
        if self._meter is None:
            return []
        return self._kept(self._meter.push(block.samples, block.first_sample, block.overloaded))

    def stop(self) -> List[LevelFrame]:
        """Nothing follows directly.  Returns what was heard of the frame under way."""
        return self._kept(self._meter.finish()) if self._meter is not None else []

    def join(self, changes: List[EventChange]) -> List[EventChange]:
        """The same changes, with levels."""
        return [self._events.join(change) for change in changes] if self._meter is not None else changes

    def highest_db(self, start_s: float, end_s: float, calibration: Optional[Calibration]) -> Optional[float]:
        """LAFmax between two times, dB re 20 uPa; None where none is valid, and without a calibration."""
        if calibration is None:
            return None
        highest_dbfs = self._events.highest(start_s, end_s)
        return highest_dbfs + calibration.offset_db if highest_dbfs is not None else None

    def _kept(self, frames: List[LevelFrame]) -> List[LevelFrame]:
        self._events.push(frames)
        return frames
