"""One reel through the daemon's own pipeline: what a process, or a cluster's machine, makes of its piece of work."""

from typing import Callable, Optional

from edge.archive.part import Clip, FileRow, Measured, PartWriter
from edge.archive.reel_sound import FileHeard, ReelSound
from edge.archive.reels import Reel
from edge.archive.seconds import OwnFrames, SecondsOfLevels
from edge.archive.spectrum import SpectrumStrip
from edge.config import Config
from edge.pipeline import Heard, Pipeline
from edge.records import Calibration
from edge.scorer import Scorer
from engines.bundle import Bundle

OnProgress = Callable[[float], None]  # told how many seconds of the reel's own sound have been heard
_PROGRESS_EVERY = 60  # blocks


def hear_reel(
    reel: Reel,
    bundle: Bundle,
    scorer: Scorer,
    config: Config,
    calibration: Optional[Calibration] = None,
    on_progress: OnProgress = lambda heard_s: None,
) -> bytes:
    """Everything the node would say of a reel, as one part.

    What lies in the lead and tail alone belongs to other reels; an event that reaches over the reel's beginning or end
    is told as far as it is heard here, and joined later (`edge.archive.chronicle`).

    Args:
        calibration: for a gate in dB re 20 uPa; levels are told re full scale all the same.
    """
    return _Hearing(reel, bundle, scorer, config, calibration).hear(on_progress)


class _Hearing:
    def __init__(
        self, reel: Reel, bundle: Bundle, scorer: Scorer, config: Config, calibration: Optional[Calibration]
    ) -> None:
        self._reel, self._scorer = reel, scorer
        self._sound = ReelSound(reel)
        rate_hz = float(reel.sample_rate_hz)
        self._begin_s, self._end_s = self._sound.first_own_sample / rate_hz, self._sound.end_own_sample / rate_hz
        self._strip = SpectrumStrip(reel.sample_rate_hz, self._sound.first_own_sample, reel.duration_s)
        self._pipeline = Pipeline(
            bundle,
            scorer,
            reel.sample_rate_hz,
            config.gate,
            config.events,
            config.model.hop_s,
            "archive",
            levels=config.levels,
        )
        self._pipeline.calibration = calibration
        condition, bands = self._pipeline.condition, tuple(self._pipeline.band_names)
        self._part = PartWriter(
            reel, bundle.labels, Measured(condition.bandwidth_hz if condition is not None else None, bands)
        )
        self._seconds = SecondsOfLevels(reel.sample_rate_hz, self._sound.first_own_sample, self._sound.end_own_sample)
        self._frames = OwnFrames(reel.sample_rate_hz, self._sound.first_own_sample, self._sound.end_own_sample)

    def hear(self, on_progress: OnProgress) -> bytes:
        """The part."""
        try:
            for number, block in enumerate(self._sound.blocks(), start=1):
                self._tell(self._pipeline.push(block))
                if block.first_sample >= self._sound.first_own_sample:
                    self._strip.push(block.samples, block.first_sample)
                self._write_strip()
                if number % _PROGRESS_EVERY == 0:
                    on_progress(max(0.0, block.first_sample / float(block.sample_rate_hz) - self._begin_s))
            for block in self._sound.tail_blocks():
                self._tell(self._pipeline.push(block))
        finally:  # the scorer serves the next reel: nothing of this one may stay in it
            last = self._pipeline.finish("stop")
        self._tell(last)
        for second in self._seconds.finish():
            self._part.write_second(second)
        for column in self._strip.finish():
            self._part.write_spectrum(column)
        for file in self._sound.files:
            self._part.write_file(self._file_row(file))
        return self._part.finish()

    def _tell(self, heard: Heard) -> None:
        self._frames.push(heard.levels)
        for second in self._seconds.push(heard.levels):
            self._part.write_second(second)
        for classification in heard.classifications:
            if self._begin_s <= classification.start_s < self._end_s:
                self._part.write_classification(classification, self._begin_s)
        for event in heard.events:
            if event.phase == "end" and event.start_s < self._end_s and event.end_s > self._begin_s:
                self._part.write_event(event, self._begin_s, self._frames.share(event.start_s, event.end_s))

    def _write_strip(self) -> None:
        for column in self._strip.take():
            self._part.write_spectrum(column)

    def _file_row(self, file: FileHeard) -> FileRow:
        rate_hz = float(self._reel.sample_rate_hz)
        clip = self._clip() if self._reel.is_one_file and not file.error else None
        error = file.error
        if self._reel.is_one_file and clip is None and not error:
            error = "%s holds less than 50 ms of sound; expected at least that much" % file.take.path
        status = "damaged" if error else "cut_short" if file.shortfall else "heard"
        start_s = round(file.first_sample / rate_hz - self._begin_s, 3)
        return FileRow(file.take.path, start_s, round(file.frames / rate_hz, 3), status, error or file.shortfall, clip)

    def _clip(self) -> Optional[Clip]:
        answer = self._pipeline.clip_answer()
        if answer is None:
            return None
        verdict = answer.verdict
        score, foreign = round(float(verdict.score), 4), round(float(verdict.foreign), 4)
        return Clip(verdict.label, score, foreign, bool(verdict.accepted), verdict.reason)
