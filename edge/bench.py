"""`soundclr-edge bench`: what a hop costs on this machine, by the daemon's own code, stage by stage.

Sound at 48 kHz goes through the daemon's pipeline and its messages in the daemon's blocks, as fast as it goes. Capture,
store and broker are not in it: they wait more than they work. The clocks are: about a hundred
looks a hop.
"""

import math
import os
import platform
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from edge.clock import SourceClock, new_boot_id
from edge.config import Config
from edge.errors import SourceError
from edge.health import ProcessUsage
from edge.level_news import LevelNews
from edge.levels.third_octaves import band_names
from edge.messages import MessageFactory
from edge.pipeline import Heard, Pipeline
from edge.records import AudioBlock, JsonObject, Message
from edge.rfc3339 import rfc3339_from_epoch
from edge.scorer import Scorer
from edge.scorer_choice import ChosenScorer, choose_scorer
from edge.sources.base import block_samples_at
from edge.sources.recording import open_recording
from edge.timing import Spent, StageClock
from engines.bundle import Bundle

RATE_HZ = 48000  # what most USB microphones give
STREET = Path(__file__).resolve().parent / "demonstration" / "street.ogg"
_SOUND_S = 60.0
_WARM_UP_S = 30.0  # the first windows are not full, the background is unknown for 20 s, caches are cold
_STAGES = (
    "sound levels",
    "level",
    "resample",
    "log-mel",
    "model",
    "log-mel and model",
    "decision",
    "message",
)  # in their order


def measure_hops(
    bundle: Bundle, scorer: Scorer, config: Config, sound: np.ndarray, duration_s: float
) -> List[Dict[str, Spent]]:
    """What each stage took, hop by hop, once everything is warm.

    Args:
        sound: at RATE_HZ, repeated as long as needed.  Shape [T], float32.
        duration_s: of the sound that counts; at least one hop is measured.
    """
    clock, dating, hop_s = StageClock(), SourceClock(), config.model.hop_s
    pipeline = Pipeline(
        bundle, scorer, RATE_HZ, config.gate, config.events, hop_s, "bench", on_stage=clock, levels=config.levels
    )
    factory = MessageFactory(config.mqtt.root, "bench", bundle.id, new_boot_id(), bundle.labels, bands=band_names())
    level_news = LevelNews("bench", dating, factory, _forget)
    scorer.report_stages(clock)
    warm_up = int(math.ceil(_WARM_UP_S / hop_s))
    wanted, hops = warm_up + max(1, int(round(duration_s / hop_s))), []  # type: int, List[Dict[str, Spent]]
    for block in _blocks(sound):
        clock.start()
        dating.observe(block.first_sample, block.sample_rate_hz, block.captured_at_s)
        clock("message")
        heard = pipeline.push(block)
        level_news.take(heard.levels, RATE_HZ, pipeline.condition, pipeline.band_names)
        _build(factory, dating, heard)
        clock("message")
        if heard.classifications:
            count = len(heard.classifications)  # of hops shorter than a block several end at once
            spent = {name: Spent(s.wall_s / count, s.processor_s / count) for name, s in clock.take().items()}
            hops += [spent] * count
        if len(hops) >= wanted:
            return hops[warm_up:wanted]
    return []


def run_bench(bundle: Bundle, config: Config, state_directory: Optional[Path], duration_s: float) -> JsonObject:
    """Measure everything.

    Returns:
        What `soundclr-edge bench --json` prints.

    Raises:
        EngineError: the bundle, or the runtime that the configuration names, cannot serve; or the self-test fails.
    """
    load_before = os.getloadavg()[0]
    chosen = choose_scorer(bundle, config.model, state_directory)
    with chosen.scorer as scorer:
        scorer.run_selftest()
        sound, sound_name = load_sound()
        hops = measure_hops(bundle, scorer, config, sound, duration_s)
        result: JsonObject = {
            "type": "bench",
            "date": rfc3339_from_epoch(time.time()),
            "bundle": bundle.id,
            "machine": _describe_machine(load_before),
            "runtime": _describe_runtime(chosen, config),
            "sound": sound_name,
            "sample_rate_hz": RATE_HZ,
            "hop_s": config.model.hop_s,
            "window_s": round(bundle.frontend.window_s, 3),
            "memory": _measure_memory(sound.nbytes),
        }
    result.update(summarise(hops, config.model.hop_s))
    return result


def summarise(hops: List[Dict[str, Spent]], hop_s: float) -> JsonObject:
    """Medians, 99th percentiles and what follows from the means.

    Args:
        hops: at least one; by stage.
    """
    names = sorted({name for hop in hops for name in hop}, key=_STAGES.index)
    stages = [dict(stage=name, **_row([hop.get(name, Spent(0.0, 0.0)) for hop in hops])) for name in names]
    totals = [Spent(*(sum(values) for values in zip(*hop.values()))) for hop in hops]
    wall_s, processor_s = (sum(values) / len(hops) for values in zip(*totals))
    gpu_s = sum(hop["log-mel and model"].wall_s for hop in hops if "log-mel and model" in hop) / len(hops)
    return {
        "hops": len(hops),
        "stages": stages,
        "whole": _row(totals),
        "real_time_factor": _rounded(wall_s / hop_s, 5),
        "processor_ratio": _rounded(processor_s / hop_s, 5),
        "microphones_per_core": int(hop_s / processor_s),
        "microphones_per_gpu": int(hop_s / gpu_s) if gpu_s else None,
    }


def load_sound() -> Tuple[np.ndarray, str]:
    """Sound at RATE_HZ, and what it is: the street of the demonstration, or noise where no Ogg can be read."""
    try:
        recording = open_recording(STREET)
    except SourceError as error:
        noise = np.random.RandomState(1).randn(20 * RATE_HZ).astype(np.float32)
        return 0.05 * noise, "made-up noise (%s)" % error
    try:
        rate_hz = recording.sample_rate_hz
        samples = recording.read(int(_SOUND_S * rate_hz)).mean(axis=1)
    finally:
        recording.close()
    if rate_hz != RATE_HZ:
        import soxr

        samples = soxr.resample(samples, rate_hz, RATE_HZ)
    return np.ascontiguousarray(samples, np.float32), "the demonstration's street"


def _blocks(sound: np.ndarray) -> Iterator[AudioBlock]:
    """The sound again and again, in the daemon's blocks, as if captured from now on in real time."""
    samples, at, began_s = block_samples_at(RATE_HZ), 0, time.monotonic()
    while True:
        block = np.take(sound, np.arange(at, at + samples), mode="wrap")
        yield AudioBlock(block, RATE_HZ, at, began_s + at / float(RATE_HZ))
        at += samples


def _build(factory: MessageFactory, dating: SourceClock, heard: Heard) -> None:
    for classification in heard.classifications:
        factory.build_classification("bench", classification, dating)
    for event in heard.events:
        factory.build_event("bench", event, dating)


def _forget(message: Message) -> None:
    """Nobody listens."""


def _row(spent: List[Spent]) -> Dict[str, Any]:
    wall_ms, processor_ms = (np.array(values) * 1e3 for values in zip(*spent))
    return {
        "median_ms": _rounded(np.median(wall_ms)),
        "p99_ms": _rounded(np.percentile(wall_ms, 99)),
        "processor_median_ms": _rounded(np.median(processor_ms)),
    }


def _rounded(value: Any, digits: int = 3) -> Optional[float]:
    return None if value is None else round(float(value), digits)


def _measure_memory(not_the_daemons_bytes: int) -> JsonObject:
    """Of this process, less what the daemon would not hold."""
    usage = ProcessUsage().measure()
    values = {"rss_mb": usage["memory_mb"], "pss_mb": usage["memory_pss_mb"]}
    return {name: _rounded(None if mb is None else mb - not_the_daemons_bytes / 1e6) for name, mb in values.items()}


def _describe_runtime(chosen: ChosenScorer, config: Config) -> JsonObject:
    return {
        "describe": chosen.scorer.describe(),
        "configured": config.model.runtime,
        "threads": config.model.threads,
        "why_not_tensorrt": chosen.why_not_tensorrt or None,
    }


def _describe_machine(load_before: float) -> JsonObject:
    return {
        "processor": _processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "system": "%s %s %s" % (platform.system(), platform.release(), platform.machine()),
        "python": platform.python_version(),
        "load_before": _rounded(load_before, 2),
        "load_after": _rounded(os.getloadavg()[0], 2),
    }


def _processor_name() -> str:
    """As the system calls the board (a Jetson), else its processor."""
    for path, start in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            lines = Path(path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(start):
                return line.split(":", 1)[-1].strip(" \t\0")
    return platform.processor() or platform.machine()
