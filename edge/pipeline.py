"""The way of one source's sound: blocks in, classifications and events out. The daemon and `classify` both run it."""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from edge.config import EventsConfig, GateConfig, LevelsConfig
from edge.decision import Verdict, decide
from edge.envelope import KEPT_S, Envelope
from edge.events import EventDetector
from edge.levels.stream import StreamLevels
from edge.levels.totals import Condition
from edge.records import AudioBlock, Calibration, Classification, EventChange, LevelFrame, WindowScores
from edge.resample import StreamResampler
from edge.scorer import Scorer
from edge.timing import OnStage, ignore_stage
from engines.bundle import Bundle

_LEVELS = LevelsConfig()
_SILENCE_DBFS = -159.0  # the envelope's floor is -160: nothing but zeros


class Heard(NamedTuple):
    """What a block, or the end of a stream, brought to light; each in the order of time."""

    classifications: List[Classification]
    events: List[EventChange]
    levels: List[LevelFrame]  # of all sound, eighths of a second; none where levels are not wanted


class ClipAnswer(NamedTuple):
    """The answer for everything since the stream's beginning as one clip."""

    verdict: Verdict
    windows: int


class Pipeline:
    """Sound levels, resampling, scoring, decision and events of one source.

    `calibration` may be set at any time: the gate's floor in dB re 20 uPa needs one.

    Args:
        scorer: owned by the caller, used by this pipeline alone.
        id_prefix: makes event ids unique among sources and starts of the node.
        background_dbfs: the running background, where it is known from before.
        on_stage: told where the time goes (`edge.bench`).
        levels: what of the sound levels is wanted.

    Raises:
        LevelsError: sound levels are wanted, and SciPy is not there.
    """

    def __init__(
        self,
        bundle: Bundle,
        scorer: Scorer,
        sample_rate_hz: int,
        gate: GateConfig,
        events: EventsConfig,
        hop_s: float,
        id_prefix: str,
        background_dbfs: Optional[float] = None,
        on_stage: OnStage = ignore_stage,
        levels: LevelsConfig = _LEVELS,
    ) -> None:
        self._bundle, self._scorer, self._gate, self._off_ratio = bundle, scorer, gate, events.off_ratio
        self._on_stage = on_stage
        self.sample_rate_hz = sample_rate_hz
        self._resampler = StreamResampler(sample_rate_hz, bundle.frontend.sample_rate_hz)
        self._envelope = Envelope(sample_rate_hz, background_dbfs)
        self._detector = EventDetector(bundle.labels, events, self._envelope, hop_s, id_prefix)
        reach_s = KEPT_S + bundle.frontend.window_s + events.confirm_s + events.merge_gap_s + 2.0 * hop_s
        self._levels = StreamLevels(levels, sample_rate_hz, reach_s)
        self.calibration: Optional[Calibration] = None
        self._base_s = 0.0  # of the stretch since the last gap
        self._heard_s = 0.0
        self._logit_sum = np.zeros(bundle.n_outputs)
        self._windows = self._open_windows = 0
        self._loudest_dbfs: Optional[float] = None

    @property
    def active_labels(self) -> Tuple[str, ...]:
        """Labels whose event is running."""
        return self._detector.active_labels

    @property
    def condition(self) -> Optional[Condition]:
        """Under what the sound levels are taken; None where none are wanted."""
        return self._levels.condition(self.calibration)

    @property
    def band_names(self) -> Tuple[str, ...]:
        """Of the third octaves, in the order in which the levels tell them."""
        return self._levels.band_names

    def push(self, block: AudioBlock) -> Heard:
        """Take one block.  A block of another rate than the pipeline's is the caller's mistake: ValueError."""
        if block.sample_rate_hz != self.sample_rate_hz:
            raise ValueError("a block of %d Hz in a pipeline of %d Hz" % (block.sample_rate_hz, self.sample_rate_hz))
        heard = Heard([], [], [])
        if block.gap is not None:
            heard = self._break("gap")
            self._envelope.skip(block.first_sample)
            self._base_s = block.first_sample / float(self.sample_rate_hz)
        heard.levels.extend(self._levels.push(block))
        self._on_stage("sound levels")
        self._envelope.push(block.samples)
        self._heard_s = (block.first_sample + len(block.samples)) / float(self.sample_rate_hz)
        self._on_stage("level")
        resampled = self._resampler.push(block.samples)
        self._on_stage("resample")
        answers = self._scorer.push(resampled)
        self._on_stage(self._scorer.stage)
        heard = self._judge(answers, heard)
        self._on_stage("decision")
        return heard

    def finish(self, end_reason: str) -> Heard:
        """The stream has ended: what the filters still hold, short clips, and an end for every running event."""
        return self._break(end_reason)

    def clip_answer(self) -> Optional[ClipAnswer]:
        """One answer for all windows so far, by the bundle's clip rule (mean of logits); None without a window.

        The gate counts as open where it was so for any window.
        """
        if self._windows == 0:
            return None
        loud = self._loudest_dbfs
        if loud is not None:  # where it was open, it was so by the level of then, re 20 uPa perhaps
            loud = max(loud, self._gate.floor_dbfs) if self._open_windows else -200.0
        gate = self._gate._replace(floor_db=None)
        verdict = decide(self._logit_sum / self._windows, loud, None, self._bundle, gate, self._off_ratio)
        return ClipAnswer(verdict, self._windows)

    def _break(self, end_reason: str) -> Heard:
        self._envelope.stop()
        heard = Heard([], [], self._levels.stop())
        heard = self._judge(self._scorer.push(self._resampler.flush()), heard)
        heard = self._judge(self._scorer.finish(), heard)
        heard.events.extend(self._levels.join(self._detector.finish(end_reason)))
        self._resampler.reset()
        return heard

    def _judge(self, answers: List[WindowScores], heard: Heard) -> Heard:
        rate_hz = float(self._bundle.frontend.sample_rate_hz)
        for answer in answers:
            start_s = self._base_s + answer.first_sample / rate_hz
            # the filter's tail may reach a fraction of a millisecond past the last sample heard
            end_s = max(start_s, min(self._base_s + answer.end_sample / rate_hz, self._heard_s))
            level_dbfs, background_dbfs = self._loudest(start_s, end_s), self._envelope.background_dbfs(end_s)
            level_db = self._levels.highest_db(start_s, end_s, self.calibration)
            verdict = decide(
                answer.logits, level_dbfs, background_dbfs, self._bundle, self._gate, self._off_ratio, level_db
            )
            self._remember(answer, verdict, level_dbfs)
            heard.classifications.append(
                Classification(
                    start_s,
                    end_s,
                    verdict.scores,
                    verdict.label,
                    verdict.score,
                    verdict.foreign,
                    verdict.accepted,
                    level_dbfs,
                    background_dbfs,
                    verdict.reason,
                )
            )
            heard.events.extend(self._levels.join(self._detector.push(start_s, end_s, verdict)))
        return heard

    def _loudest(self, start_s: float, end_s: float) -> Optional[float]:
        levels = self._envelope.levels(start_s, end_s)
        heard = levels[np.isfinite(levels)]
        return float(heard.max()) if len(heard) and heard.max() > _SILENCE_DBFS else None

    def _remember(self, answer: WindowScores, verdict: Verdict, level_dbfs: Optional[float]) -> None:
        self._logit_sum += answer.logits
        self._windows += 1
        self._open_windows += verdict.reason not in ("silence", "below_gate")
        if level_dbfs is not None:
            self._loudest_dbfs = level_dbfs if self._loudest_dbfs is None else max(level_dbfs, self._loudest_dbfs)
