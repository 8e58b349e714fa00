"""A hop of ours against what a user would have written instead: from samples at the network's rate to its logits.

In each round every contestant hears a burst of hops, in an order that rotates, on one thread; a ratio is that of two
contestants in the same round, in processor time, since others may be at work on the machine. The alternatives compute
their whole window anew each hop, as programs without a stream do.

Weights do not change the time: torch's networks have random ones.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import threadpoolctl
import torch
import torchvision
from eight_bits import quantise
from report import Report, build_parser, positive
from street import load_street

from edge.config import SHIPPED_BUNDLE
from engines.bundle import Bundle, load_bundle
from engines.runtimes import open_runtime
from engines.selftest import LOGIT_TOLERANCE
from engines.streaming import StreamingLogMel
from trainer.frontend import LogMel
from trainer.model import SoundNet

_HOP_S = 1.0
_BLOCKS = 20  # in which the node gets one hop
_WARM_UP_ROUNDS = 2
_ORIGINAL_RATE_HZ, _ORIGINAL_WINDOW_S = 44100, 5.0  # SoundCLR on ESC-50: log-mels of 128 bands x 431 frames
_ORIGINAL_MELS, _ORIGINAL_FFT, _ORIGINAL_HOP = 128, 1024, 512
OURS = "ours: streamed log-mel, ONNX Runtime"
EIGHT_BITS = "ours, if the network were in eight bits"
ORIGINAL = "librosa, ResNet-50 in torch"
TORCHAUDIO = "torchaudio, the same network in torch"
RECOMPUTED = "librosa on the window, the same ONNX"


class Times(NamedTuple):
    """Seconds of one hop, round by round."""

    wall_s: list[float]
    processor_s: list[float]


class Ours:
    """The node's front end and runtime; a hop comes in the node's blocks."""

    def __init__(self, bundle: Bundle, sound: np.ndarray) -> None:
        spec = bundle.frontend
        self._front_end, self._runtime = StreamingLogMel(spec), open_runtime(bundle)
        before = spec.window_samples - round(_HOP_S * spec.frames_per_s) * spec.hop_length
        self._front_end.push(sound[:before])
        self._blocks = np.array_split(sound[before : spec.window_samples], _BLOCKS)

    def hear(self) -> np.ndarray:
        """One hop."""
        for block in self._blocks:
            self._front_end.push(block)
        return self._runtime.infer(self._front_end.read_window())


class Recomputed:
    """librosa's log-mel of the whole window, and the same network in ONNX Runtime."""

    def __init__(self, bundle: Bundle, sound: np.ndarray) -> None:
        self._spec, self._runtime = bundle.frontend, open_runtime(bundle)
        self._window = sound[: self._spec.window_samples]

    def hear(self) -> np.ndarray:
        """One hop."""
        spec = self._spec
        power = librosa.feature.melspectrogram(
            y=self._window,
            sr=spec.sample_rate_hz,
            n_fft=spec.n_fft,
            hop_length=spec.hop_length,
            center=False,
            n_mels=spec.n_mels,
            fmin=spec.fmin_hz,
            fmax=spec.fmax_hz,
        )
        power_db = librosa.power_to_db(power, ref=np.max, amin=spec.amin, top_db=spec.top_db)
        return self._runtime.infer((power_db * spec.scale + spec.offset).astype(np.float32))


class TorchaudioEager:
    """torchaudio's log-mel of the whole window, and the trained network in torch."""

    def __init__(self, bundle: Bundle, sound: np.ndarray) -> None:
        recipe = bundle.training["recipe"]
        foreign = bundle.n_outputs > len(bundle.labels)
        self._front_end = LogMel(bundle.frontend).eval()
        self._network = SoundNet(
            recipe["backbone"], len(bundle.labels), foreign=foreign, in_channels=recipe.get("in_channels", 1)
        ).eval()
        self._window = torch.from_numpy(sound[: bundle.frontend.window_samples])[None]

    def hear(self) -> np.ndarray:
        """One hop."""
        with torch.inference_mode():
            embedding = self._network.embed(self._front_end(self._window))
            return self._network.classify(embedding)[0].numpy()


class Original:
    """SoundCLR as published: librosa, log-mels of 5 s at 44.1 kHz as pictures of three equal channels, ResNet-50."""

    def __init__(self, n_labels: int, sound: np.ndarray) -> None:
        self._window = sound[: int(_ORIGINAL_RATE_HZ * _ORIGINAL_WINDOW_S)]
        self._network = torchvision.models.resnet50(num_classes=n_labels).eval()

    def hear(self) -> np.ndarray:
        """One hop."""
        power = librosa.feature.melspectrogram(
            y=self._window,
            sr=_ORIGINAL_RATE_HZ,
            n_fft=_ORIGINAL_FFT,
            hop_length=_ORIGINAL_HOP,
            n_mels=_ORIGINAL_MELS,
        )
        power_db = librosa.power_to_db(power, ref=np.max, top_db=80.0)
        if power_db.shape != (128, 431):
            raise RuntimeError("the original's log-mel is %s; expected 128 x 431" % (power_db.shape,))
        picture = torch.from_numpy(power_db / 80.0 + 1.0).float().expand(1, 3, -1, -1)
        with torch.inference_mode():
            return self._network(picture)[0].numpy()


def main() -> None:
    """Run the rounds and report."""
    arguments = _parse()
    bundle = load_bundle(arguments.bundle)
    report = Report(
        f"A hop of {_HOP_S:g} s from samples to logits, one thread, bundle {bundle.id}",
        ["numpy", "librosa", "onnxruntime", "torch", "torchaudio", "torchvision"],
    )
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        contestants = make_contestants(bundle)
        check_answers(contestants, bundle)
        times = run_in_turns(contestants, arguments.rounds, arguments.burst_s)
    for name, found in times.items():
        report.add_row(name + ", processor", found.processor_s, "ms", 1e3)
        report.add_row(name + ", wall", found.wall_s, "ms", 1e3)
    for name in list(times)[1:]:
        if name == EIGHT_BITS:
            continue
        low, median, high = ratios(times[name].processor_s, times[OURS].processor_s)
        spread = f"times ({low:.1f} to {high:.1f} in the middle 80 % of rounds)"
        report.add_figure(f"{name} / ours", median, spread, at_least=40.0 if name == ORIGINAL else None)
        wall = ratios(times[name].wall_s, times[OURS].wall_s)[1]
        report.add_figure(f"{name} / ours, wall", wall, "times")
    for theirs, ours in ((OURS, EIGHT_BITS), (ORIGINAL, EIGHT_BITS)):
        low, median, high = ratios(times[theirs].processor_s, times[ours].processor_s)
        report.add_figure(f"{theirs} / eight bits", median, f"times ({low:.1f} to {high:.1f})")
    report.add_remark("in eight bits: not shipped, calibrated on the street alone, says only what time could be saved")
    report.add_remark("torch's networks have random weights; ONNX Runtime's are the bundle's")
    report.add_remark(f"each figure of a round is the mean of a burst of at least {arguments.burst_s:g} s")
    report.write(as_json=arguments.json)


def make_contestants(bundle: Bundle) -> dict[str, Callable[[], np.ndarray]]:
    """All of them, ours first; each call hears one hop and gives the logits."""
    sound = load_street(bundle.frontend.sample_rate_hz)
    with tempfile.TemporaryDirectory() as folder:
        eight_bits = Ours(quantise(bundle, sound, Path(folder)), sound)
    return {
        OURS: Ours(bundle, sound).hear,
        EIGHT_BITS: eight_bits.hear,
        RECOMPUTED: Recomputed(bundle, sound).hear,
        TORCHAUDIO: TorchaudioEager(bundle, sound).hear,
        ORIGINAL: Original(len(bundle.labels), load_street(_ORIGINAL_RATE_HZ)).hear,
    }


def check_answers(contestants: dict[str, Callable[[], np.ndarray]], bundle: Bundle) -> None:
    """A contestant that computes something else would win for nothing.  Call it before anything is heard.

    Raises:
        RuntimeError: other logits than expected, or those of ours and of the recomputed window differ.
    """
    answers = {name: hear() for name, hear in contestants.items()}
    difference = float(np.abs(answers[OURS] - answers[RECOMPUTED]).max())
    if difference > LOGIT_TOLERANCE:
        raise RuntimeError(f"ours and the recomputed window differ by {difference:g} of a logit")
    for name, logits in answers.items():
        expected = len(bundle.labels) if name == ORIGINAL else bundle.n_outputs
        if logits.shape != (expected,) or not np.isfinite(logits).all():
            raise RuntimeError("%s gives %s; expected %d finite logits" % (name, logits, expected))


def run_in_turns(contestants: dict[str, Callable[[], object]], rounds: int, burst_s: float) -> dict[str, Times]:
    """Mean seconds of a hop in each round.

    Args:
        burst_s: processor time that each contestant gets in each round, at least one hop.
    """
    times = {name: Times([], []) for name in contestants}
    names = list(contestants)
    for turn in range(_WARM_UP_ROUNDS + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            wall_s, processor_s = time_burst(contestants[name], burst_s)
            if turn >= _WARM_UP_ROUNDS:
                times[name].wall_s.append(wall_s)
                times[name].processor_s.append(processor_s)
    return times


def time_burst(hear: Callable[[], object], burst_s: float) -> tuple[float, float]:
    """Mean wall and processor seconds of a hop."""
    hops, began_s, cpu_began_s = 0, time.perf_counter(), time.process_time()
    while hops == 0 or time.process_time() - cpu_began_s < burst_s:
        hear()
        hops += 1
    return (time.perf_counter() - began_s) / hops, (time.process_time() - cpu_began_s) / hops


def ratios(theirs_s: list[float], ours_s: list[float]) -> tuple[float, float, float]:
    """10th percentile, median and 90th percentile of the rounds' ratios."""
    low, median, high = np.percentile(np.array(theirs_s) / np.array(ours_s), [10, 50, 90])
    return float(low), float(median), float(high)


def _parse() -> argparse.Namespace:
    parser = build_parser(__doc__)
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE, help="model (default: the shipped one)")
    parser.add_argument("--rounds", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument(
        "--burst-s", type=positive, default=0.2, help="of each contestant in each round (default: %(default)g)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
