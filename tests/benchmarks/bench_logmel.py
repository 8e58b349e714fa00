"""Streaming log-mel of one hop against librosa, on one thread, in turns.

Ours is `push` of the hop's new samples and `read_window`: the network's input for the whole window. librosa's is
`melspectrogram` and `power_to_db`, once on the new frames alone, once on the whole window as a program without a
stream would do. librosa builds its filter bank in each call; the row "bank kept" does without that.
"""

import time
from collections.abc import Callable

import librosa
import numpy as np
import threadpoolctl
from report import Report, build_parser
from street import load_street

from edge.config import SHIPPED_BUNDLE
from engines.bundle import load_bundle
from engines.frontend import FrontendSpec
from engines.streaming import StreamingLogMel

_HOP_S = 1.0
_BLOCKS = 10  # in which the node gets one hop
_WARM_UP = 20


class Contest:
    """The contestants, on the sound that ends at the same sample."""

    def __init__(self, spec: FrontendSpec, sound: np.ndarray) -> None:
        self.spec, self.sound = spec, sound
        self.new_frames = round(_HOP_S * spec.frames_per_s)
        self.hop_samples = self.new_frames * spec.hop_length
        self._at_once, self._in_blocks = StreamingLogMel(spec), StreamingLogMel(spec)
        self._bank = librosa.filters.mel(
            sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz
        )
        for front_end in (self._at_once, self._in_blocks):
            front_end.push(sound[: spec.window_samples])

    def streaming(self, end: int) -> np.ndarray:
        """Ours, the hop in one piece."""
        self._at_once.push(self.sound[end - self.hop_samples : end])
        return self._at_once.read_window()

    def streaming_in_blocks(self, end: int) -> np.ndarray:
        """Ours, the hop in the blocks in which a source delivers it."""
        for block in np.array_split(self.sound[end - self.hop_samples : end], _BLOCKS):
            self._in_blocks.push(block)
        return self._in_blocks.read_window()

    def librosa_new_frames(self, end: int) -> np.ndarray:
        """librosa on the samples under the hop's new frames."""
        return self._librosa(self.sound[end - self._new_samples : end])

    def librosa_bank_kept(self, end: int) -> np.ndarray:
        """librosa's parts on the same, with a filter bank that is built once."""
        spec = self.spec
        spectrum = librosa.stft(
            self.sound[end - self._new_samples : end], n_fft=spec.n_fft, hop_length=spec.hop_length, center=False
        )
        power = self._bank @ (np.abs(spectrum) ** 2)
        return librosa.power_to_db(power, ref=np.max, amin=spec.amin, top_db=spec.top_db)

    def librosa_window(self, end: int) -> np.ndarray:
        """librosa on the whole window."""
        return self._librosa(self.sound[end - self.spec.window_samples : end])

    @property
    def _new_samples(self) -> int:
        return (self.new_frames - 1) * self.spec.hop_length + self.spec.n_fft

    def _librosa(self, samples: np.ndarray) -> np.ndarray:
        spec = self.spec
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=spec.sample_rate_hz,
            n_fft=spec.n_fft,
            hop_length=spec.hop_length,
            center=False,
            n_mels=spec.n_mels,
            fmin=spec.fmin_hz,
            fmax=spec.fmax_hz,
        )
        return librosa.power_to_db(power, ref=np.max, amin=spec.amin, top_db=spec.top_db)


def main() -> None:
    """Run the contest and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=500, help="rounds (default: %(default)s)")
    arguments = parser.parse_args()
    spec = load_bundle(SHIPPED_BUNDLE).frontend
    contest = Contest(spec, load_street(spec.sample_rate_hz))
    report = Report(
        f"Log-mel of one {_HOP_S:g} s hop: {contest.new_frames} new frames, window of {spec.window_frames}",
        ["numpy", "librosa", "scipy"],
    )
    contestants = {
        "streaming, push and read": contest.streaming,
        f"streaming, in {_BLOCKS} blocks": contest.streaming_in_blocks,
        "librosa, the same frames": contest.librosa_new_frames,
        "librosa, the same frames, bank kept": contest.librosa_bank_kept,
        "librosa, the whole window": contest.librosa_window,
    }
    with threadpoolctl.threadpool_limits(1):
        times_s, difference_db = run_in_turns(contest, contestants, arguments.repetitions)
    for name, values in times_s.items():
        report.add_row(name, values, "ms", 1e3)
    ours = times_s["streaming, push and read"]
    for name in list(contestants)[2:]:
        ratio = float(np.median(np.array(times_s[name]) / np.array(ours)))
        report.add_figure(
            f"{name} / streaming", ratio, "times", at_least=3.0 if name.endswith("the same frames") else None
        )
    report.add_figure("largest difference from librosa", difference_db, "dB", below=5e-3)
    report.write(as_json=arguments.json)


def run_in_turns(
    contest: Contest, contestants: dict[str, Callable[[int], np.ndarray]], repetitions: int
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each contestant in each round, and how far ours is from librosa's whole window, dB."""
    times_s: dict[str, list[float]] = {name: [] for name in contestants}
    end, difference_db = contest.spec.window_samples, 0.0
    for repetition in range(_WARM_UP + repetitions):
        end += contest.hop_samples
        if end > len(contest.sound):
            end = contest.spec.window_samples + contest.hop_samples
        answers = {}
        for name, compute in contestants.items():
            began_s = time.perf_counter()
            answers[name] = compute(end)
            if repetition >= _WARM_UP:
                times_s[name].append(time.perf_counter() - began_s)
        if 3 <= repetition < _WARM_UP:  # the ring holds the same sound as librosa's window, until the street repeats
            ours_db = (answers["streaming, push and read"] - contest.spec.offset) / contest.spec.scale
            difference_db = max(difference_db, float(np.abs(ours_db - answers["librosa, the whole window"]).max()))
    return times_s, difference_db


if __name__ == "__main__":
    main()
