"""One source's thread: opens the scorer and the source, runs the pipeline, hands messages to the publisher."""

import logging
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from edge.calibration import SourceCalibration
from edge.clips.recorder import ClipOffer, ClipRecorder, longest_delay_s
from edge.clock import SourceClock
from edge.config import Config, SourceConfig, calendar_of
from edge.errors import EdgeError
from edge.levels.summaries import SourceSummaries
from edge.messages import MessageFactory
from edge.pipeline import Heard, Pipeline
from edge.records import AudioBlock, Message
from edge.scorer import Scorer
from edge.scorer_choice import open_listening_scorer
from edge.source_news import Publish, SourceNews
from edge.sources import source_from_config
from edge.sources.base import EndOfSource, Source
from edge.sources.start_time import start_time_of
from edge.supervision import Stage
from edge.switching_scorer import ClosedError
from edge.timing import Durations
from engines.bundle import Bundle
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)
_COUNTERS = ("restarts", "stalls", "overflows", "skips", "drifts")  # of a source, told in health
_READ_TIMEOUT_S = 0.5  # how soon a stop is noticed while no sound comes
_LOADING_S = 300.0  # a Nano's first start of a model, with its self-test, takes tens of seconds
_OPENING_S = 90.0  # Python, PortAudio and its look at every device
_SILENCE_S = 30.0  # a source that is offline is asked again long before


class ListenerCounts(NamedTuple):
    """What a source has gone through since the start."""

    windows: int = 0
    gaps: int = 0
    lost_s: float = 0.0


class Listener:
    """Hears one source until it ends or is stopped.

    Args:
        publish: takes messages; must not block.
        stop: set from outside to end; set from inside when something failed.
        stage: where progress is reported; by a supervision of the caller's.
        state_directory: where engines and calibrations are kept; None: this node has none.
        read_keepsakes: what earlier summaries of this source left in the store (`Store.keepsakes`).
        offer_clip: takes the sound of events; must not block. None: no clips are kept.
    """

    def __init__(
        self,
        config: Config,
        source: SourceConfig,
        bundle: Bundle,
        factory: MessageFactory,
        boot_id: str,
        publish: Publish,
        stop: threading.Event,
        stage: Optional[Stage] = None,
        state_directory: Optional[Path] = None,
        read_keepsakes: Callable[[], Optional[List[bytes]]] = lambda: None,
        offer_clip: Optional[Callable[[ClipOffer], None]] = None,
    ) -> None:
        self._config, self._source_config, self._bundle = config, source, bundle
        self._stop, self._state_directory = stop, state_directory
        self.stage = stage if stage is not None else Stage("source " + source.name)
        self._id_prefix = "%s-%s" % (boot_id[:12], source.name)
        self._thread = threading.Thread(target=self._run, name="hear-" + source.name, daemon=True)
        self._clock = SourceClock(start_time_of(source.start_time, source.path))
        self._news = SourceNews(
            source.name, self._clock, factory, publish, config.publish, bundle.frontend.frames_per_s
        )
        self._summaries = SourceSummaries(
            source.name,
            self._clock,
            factory,
            publish,
            bundle.labels,
            calendar_of(config.summary),
            bundle.frontend.window_s + config.events.confirm_s + 2.0 * config.model.hop_s,
        )
        self._read_keepsakes = read_keepsakes
        self._calibration = SourceCalibration(source, state_directory)
        self._recorder: Optional[ClipRecorder] = None
        if offer_clip is not None:
            delay_s = longest_delay_s(bundle.frontend.window_s, config.model.hop_s, config.events)
            self._recorder = ClipRecorder(source.name, config.clips, delay_s, self._clock, offer_clip)
        self._source: Optional[Source] = None
        self._generation = 0  # of pipelines: event ids stay unique when a device returns with another rate
        self.name = source.name
        self.counts = ListenerCounts()
        self._before: Dict[str, Any] = {}  # counted by the listener that this one came after
        self.durations, self.latencies = Durations(), Durations()  # of a hop's work; from its last sound to its message
        self.runtime = ""  # what computes, once the scorer is open
        self.failure: Optional[Exception] = None
        self.ready = threading.Event()  # scorer proven and source open, or failed

    def start(self) -> None:
        """Begin to hear."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; `join` waits for it."""
        self._stop.set()

    def inherit(self, other: "Listener") -> None:
        """Go on counting where another listener to the same source has ended; before `start`."""
        self.counts, self._generation = other.counts, other._generation
        self.durations, self.latencies = other.durations, other.latencies
        before = other.health()
        self._before = {name: before["%s_%s" % (name, self.name)] for name in _COUNTERS + ("withheld_s",)}

    @property
    def status(self) -> str:
        """Of the source, "online" or "offline"."""
        return self._news.status

    @property
    def trouble(self) -> str:
        """What keeps it from hearing, or what it waits for; empty where it hears."""
        fault = self._news.fault
        return fault.code if fault is not None else self.stage.waits_for

    def join(self, timeout_s: float) -> bool:
        """Wait for the end.  Returns whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing more to hear."""
        return self.ready.is_set() and not self._thread.is_alive()

    def messages_on_connect(self) -> List[Message]:
        """The source's own status and state, for each new connection."""
        return [self._news.status_message(), self._news.state_message()]

    def health(self) -> Dict[str, Any]:
        """The fields of `health` that tell of this source."""
        source, counts, fault = self._source, self.counts, self._news.fault
        rate_hz, counters = (source.sample_rate_hz, source.counters) if source is not None else (0, {})
        values: Dict[str, Any] = {
            "fault": fault.code if fault is not None else None,
            "sample_rate_hz": rate_hz,
            "gaps": counts.gaps,
            "lost_s": counts.lost_s,
            "calibration": self._calibration.state.describe(),
            "withheld_s": counters.get("withheld_samples", 0) / float(rate_hz or 1),
        }
        values.update((name, counters.get(name, 0)) for name in _COUNTERS)
        for name, before in self._before.items():
            values[name] += before
        return {"%s_%s" % (name, self.name): value for name, value in values.items()}

    def _run(self) -> None:
        try:
            self._hear()
        except Exception as error:  # the thread's boundary: the daemon ends with this and systemd starts it anew
            self.failure = error
            if not isinstance(error, (EdgeError, EngineError)):
                _LOGGER.exception("source %s: a fault inside", self.name)
            self._stop.set()
        finally:
            self._news.set_status("offline")
            self.ready.set()

    def _hear(self) -> None:
        self.stage.wait("the model", _LOADING_S)
        try:
            scorer = open_listening_scorer(
                self._bundle, self._config.model, self._state_directory, self._wait_for_engine
            )
        except ClosedError:  # stopped while an engine was being built
            return
        self._summaries.restore(self._read_keepsakes())
        with scorer:
            result = scorer.run_selftest()
            self.runtime = scorer.describe()
            _LOGGER.info(
                "source %s: %s; self-test within %.1g dB and %.1g",
                self.name,
                self.runtime,
                result.logmel_error_db,
                result.logit_error,
            )
            self.stage.wait("the source to open", _OPENING_S)
            self._source = source_from_config(self._source_config, settings_file=self._calibration.settings_file)
            with self._source as source:
                _LOGGER.info("source %s: %s", self.name, source.describe())
                self.ready.set()
                self._follow(source, scorer)

    def _follow(self, source: Source, scorer: Scorer) -> None:
        pipeline: Optional[Pipeline] = None
        is_broken_off = False
        try:
            while not self._stop.is_set():
                block = source.read(_READ_TIMEOUT_S)
                self._news.set_status(source.status)
                self._news.set_fault(source.fault)
                if self.status == "offline" and pipeline is not None and not is_broken_off:
                    self._tell(pipeline.finish("gap"), pipeline)  # nobody knows when sound comes again
                    self._news.break_off()
                    self._summaries.break_off()
                    is_broken_off = True
                if block is None:
                    self._wait_for_sound()
                else:
                    is_broken_off = False
                    self._calibration.look(source)
                    self._clock.observe(block.first_sample, block.sample_rate_hz, block.captured_at_s)
                    if pipeline is None or pipeline.sample_rate_hz != block.sample_rate_hz:
                        pipeline = self._new_pipeline(scorer, block.sample_rate_hz, pipeline)
                    self._take(block, pipeline)
                    self.runtime = scorer.describe()  # the GPU may have taken over
                self._tell_state(pipeline)
        except EndOfSource:
            _LOGGER.info("source %s has ended", self.name)
        finally:
            if pipeline is not None:
                self._tell(pipeline.finish("stop"), pipeline)
                self._news.break_off()
                self._tell_state(pipeline)
            self._summaries.finish()

    def _take(self, block: AudioBlock, pipeline: Pipeline) -> None:
        if block.gap is not None:
            self._count_gap(block.gap.lost_samples / float(block.sample_rate_hz), block.gap.reason)
        began_s = time.monotonic()
        pipeline.calibration = self._calibration.state.calibration
        heard = pipeline.push(block)
        self._measure(heard, began_s)
        self._tell(heard, pipeline, block)
        start_s, rate_hz = block.first_sample / float(block.sample_rate_hz), block.sample_rate_hz
        self._summaries.advance(start_s, start_s + len(block.samples) / float(rate_hz))
        self.stage.progress()

    def _wait_for_engine(self) -> None:
        if self._stop.is_set():
            raise ClosedError
        self.stage.wait("the engine to be built", _LOADING_S)

    def _measure(self, heard: Heard, began_s: float) -> None:
        if heard.classifications:
            now_s = time.monotonic()
            self.durations.add((now_s - began_s) / len(heard.classifications))
            self.latencies.add(now_s - self._clock.monotonic_of(heard.classifications[-1].end_s))

    def _wait_for_sound(self) -> None:
        # of an open microphone sound must come, and the source itself replaces one that gives none; a pipe may pause
        if self.status == "offline" or self._source_config.type == "stdin":
            self.stage.wait("sound", _SILENCE_S)
        if self.status == "offline":
            self._summaries.idle()

    def _new_pipeline(self, scorer: Scorer, sample_rate_hz: int, old: Optional[Pipeline]) -> Pipeline:
        if old is not None:  # a device came back with another rate
            self._tell(old.finish("gap"), old)
            self._news.break_off()
        config, latest = self._config, self._news.latest
        self._generation += 1
        return Pipeline(
            self._bundle,
            scorer,
            sample_rate_hz,
            config.gate,
            config.events,
            config.model.hop_s,
            "%s-%d" % (self._id_prefix, self._generation),
            latest.background_dbfs if latest is not None else None,
            levels=config.levels,
        )

    def _count_gap(self, lost_s: float, reason: str) -> None:
        counts = self.counts
        self.counts = counts._replace(gaps=counts.gaps + 1, lost_s=counts.lost_s + lost_s)
        _LOGGER.warning("source %s: %.2f s of sound lost (%s)", self.name, lost_s, reason)

    def _tell(self, heard: Heard, pipeline: Pipeline, block: Optional[AudioBlock] = None) -> None:
        self.counts = self.counts._replace(windows=self.counts.windows + len(heard.classifications))
        self._news.tell_heard(heard, pipeline)
        if self._recorder is not None:
            self._recorder.hear(block, heard.events)
        self._summaries.note(heard.levels, pipeline.sample_rate_hz, pipeline.condition, heard.events)

    def _tell_state(self, pipeline: Optional[Pipeline]) -> None:
        self._news.tell_state(pipeline.active_labels if pipeline is not None else ())
