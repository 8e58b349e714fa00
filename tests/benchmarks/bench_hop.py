"""One hop through the node, on one core: from 48 kHz blocks to messages, stage by stage and as a whole.

The whole is what the daemon runs (`Pipeline`, then the messages). The stages are its parts, fed in turns with the
same sound; where they do not add up to the whole, the rest is the glue between them.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import threadpoolctl
from report import Report, build_parser
from street import load_street

from edge.clock import SourceClock, new_boot_id
from edge.config import SHIPPED_BUNDLE, EventsConfig, GateConfig, LevelsConfig
from edge.decision import decide
from edge.envelope import Envelope
from edge.events import EventDetector
from edge.levels.stream import StreamLevels
from edge.messages import MessageFactory
from edge.pipeline import Heard, Pipeline
from edge.records import AudioBlock, Classification
from edge.resample import StreamResampler
from edge.scorer import open_scorer
from edge.sources.base import block_samples_at
from engines.bundle import Bundle, load_bundle
from engines.runtimes import open_runtime
from engines.streaming import StreamingLogMel

_RATE_HZ = 48000
_HOP_S = 1.0
_WARM_UP_HOPS = 10  # the first windows are not full, the background is unknown, caches are cold


class Stages:
    """The parts of the way, each timed by itself."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._gate, events = bundle, GateConfig(), EventsConfig()
        self._resampler = StreamResampler(_RATE_HZ, bundle.frontend.sample_rate_hz)
        self._envelope = Envelope(_RATE_HZ)
        self._levels = StreamLevels(LevelsConfig(), _RATE_HZ, 60.0)
        self._front_end = StreamingLogMel(bundle.frontend)
        self._runtime = open_runtime(bundle)
        self._off_ratio = events.off_ratio
        self._detector = EventDetector(bundle.labels, events, self._envelope, _HOP_S, "bench")
        self._factory = _message_factory(bundle)
        self._clock = SourceClock()
        self.times_s: dict[str, float] = {}

    def hear(self, blocks: list[AudioBlock]) -> None:
        """One hop; `times_s` then says what each stage took."""
        self.times_s = {}
        end_s = (blocks[-1].first_sample + len(blocks[-1].samples)) / _RATE_HZ
        start_s = max(0.0, end_s - self._bundle.frontend.window_s)
        self._clock.observe(blocks[0].first_sample, _RATE_HZ, blocks[0].captured_at_s)
        self._time("sound levels", lambda: [self._levels.push(block) for block in blocks])
        self._time("gate's levels of 125 ms", lambda: [self._envelope.push(block.samples) for block in blocks])
        resampled = self._time("resampling", lambda: [self._resampler.push(block.samples) for block in blocks])
        window = self._time("log-mel", lambda: self._log_mel(resampled))
        if window is None:
            return
        logits = self._time("model", lambda: self._runtime.infer(window))
        classification, verdict = self._time("decision", lambda: self._decide(logits, start_s, end_s))
        events = self._time("events", lambda: self._detector.push(start_s, end_s, verdict))
        self._time("messages", lambda: _build(self._factory, self._clock, Heard([classification], events, [])))

    def close(self) -> None:
        """Release the model."""
        self._runtime.close()

    def _time(self, name: str, work: Callable):
        began_s = time.perf_counter()
        result = work()
        self.times_s[name] = time.perf_counter() - began_s
        return result

    def _log_mel(self, blocks: list[np.ndarray]) -> np.ndarray | None:
        for block in blocks:
            self._front_end.push(block)
        return self._front_end.read_window() if self._front_end.frames >= self._bundle.frontend.window_frames else None

    def _decide(self, logits: np.ndarray, start_s: float, end_s: float):
        levels = self._envelope.levels(start_s, end_s)
        loudest_dbfs, background_dbfs = float(levels.max()), self._envelope.background_dbfs(end_s)
        verdict = decide(logits, loudest_dbfs, background_dbfs, self._bundle, self._gate, self._off_ratio)
        return Classification(
            start_s,
            end_s,
            verdict.scores,
            verdict.label,
            verdict.score,
            verdict.foreign,
            verdict.accepted,
            loudest_dbfs,
            background_dbfs,
            verdict.reason,
        ), verdict


class Whole:
    """The daemon's own way."""

    def __init__(self, bundle: Bundle) -> None:
        self._scorer = open_scorer(bundle, "auto", 1, _HOP_S)
        self._pipeline = Pipeline(bundle, self._scorer, _RATE_HZ, GateConfig(), EventsConfig(), _HOP_S, "bench")
        self._factory = _message_factory(bundle)
        self._clock = SourceClock()

    def hear(self, blocks: list[AudioBlock]) -> None:
        """One second of sound."""
        for block in blocks:
            self._clock.observe(block.first_sample, block.sample_rate_hz, block.captured_at_s)
            _build(self._factory, self._clock, self._pipeline.push(block))

    def describe(self) -> str:
        """What computes."""
        return self._scorer.describe()

    def close(self) -> None:
        """Release the model."""
        self._scorer.close()


def main() -> None:
    """Time the hops and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE, help="model (default: the shipped one)")
    parser.add_argument("--hops", type=int, default=300, help="seconds of sound (default: %(default)s)")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    report = Report(
        f"One hop of {_HOP_S:g} s, {_RATE_HZ} Hz to messages, one thread, bundle {bundle.id}",
        ["numpy", "onnxruntime", "soxr"],
    )
    stages, whole = Stages(bundle), Whole(bundle)
    with threadpoolctl.threadpool_limits(1):
        stage_s, whole_s, cpu_s = run_in_turns(stages, whole, arguments.hops)
    for name, values in stage_s.items():
        report.add_row(name, values, "ms", 1e3)
    report.add_row("the whole hop", whole_s, "ms", 1e3)
    report.add_row("the whole hop, processor time", cpu_s, "ms", 1e3)
    report.add_figure("real time taken by the median hop", 100 * float(np.median(whole_s)) / _HOP_S, "%", below=1.0)
    report.add_figure("the same in processor time", 100 * float(np.median(cpu_s)) / _HOP_S, "%")
    report.add_remark(whole.describe())
    report.write(as_json=arguments.json)
    stages.close()
    whole.close()


def run_in_turns(stages: Stages, whole: Whole, hops: int) -> tuple[dict[str, list[float]], list[float], list[float]]:
    """Seconds of each stage, of the whole, and of the whole in processor time, hop by hop."""
    sound, block_samples = load_street(_RATE_HZ), block_samples_at(_RATE_HZ)
    hop_samples = int(_HOP_S * _RATE_HZ)
    stage_s: dict[str, list[float]] = {}
    whole_s, cpu_s = [], []
    started_s = time.monotonic()
    for hop in range(_WARM_UP_HOPS + hops):
        at = hop * hop_samples
        heard = np.take(sound, np.arange(at, at + hop_samples), mode="wrap")
        blocks = [
            AudioBlock(heard[i : i + block_samples], _RATE_HZ, at + i, started_s + (at + i) / _RATE_HZ)
            for i in range(0, hop_samples, block_samples)
        ]
        stages.hear(blocks)
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        whole.hear(blocks)
        spent_s, cpu_spent_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
        if hop >= _WARM_UP_HOPS:
            for name, value in stages.times_s.items():
                stage_s.setdefault(name, []).append(value)
            whole_s.append(spent_s)
            cpu_s.append(cpu_spent_s)
    return stage_s, whole_s, cpu_s


def _message_factory(bundle: Bundle) -> MessageFactory:
    return MessageFactory("soundclr", "bench", bundle.id, new_boot_id(), bundle.labels)


def _build(factory: MessageFactory, clock: SourceClock, heard: Heard) -> None:
    for classification in heard.classifications:
        factory.build_classification("street", classification, clock)
    for event in heard.events:
        factory.build_event("street", event, clock)


if __name__ == "__main__":
    main()
