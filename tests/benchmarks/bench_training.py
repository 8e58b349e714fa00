"""Training steps a second, and how much of its time the network waits for batches: the data path's share.

Each epoch of the default recipe is timed twice: batches made ahead by worker processes, and the very same batches
ready in memory. Their ratio is how busy the data path keeps the device: 1 is a device that never waits.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import timm
import torch
from report import Report, build_parser
from soxr import resample

from trainer.data.batches import Batch
from trainer.data.clips import Clip
from trainer.data.waveforms import Waveforms
from trainer.fit import Fit
from trainer.recipe import Recipe

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
_COPIES = 40  # of each recording, each turned by a random stretch
_WARM_UP_EPOCHS = 1


class ReadyBatches:
    """A loader whose batches cost nothing."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The same ones in each epoch."""
        return iter(self._batches)


def main() -> None:
    """Time some epochs and report."""
    parser = build_parser(__doc__)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu", help="(default: %(default)s)")
    parser.add_argument("--backbone", default=Recipe().backbone, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=256 if on_gpu else 32, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=5 if on_gpu else 1, help="of each kind (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1) if on_gpu else 0, help="(default: %(default)s)"
    )
    parser.add_argument("--precision", default="bfloat16" if on_gpu else "float32", help="(default: %(default)s)")
    arguments = parser.parse_args()
    precision = arguments.precision
    recipe = Recipe(backbone=arguments.backbone, batch=arguments.batch, epochs=10**6, precision=precision)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "the processor"
    report = Report("Training %s on %s, %s" % (recipe.backbone, name, precision), ["torch", "torchaudio", "timm"])
    known = load_clips(recipe)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        weights = Path(folder) / "weights.pth"
        torch.save(timm.create_model(recipe.backbone, num_classes=10).state_dict(), weights)
        options = {"weights": weights, "device": arguments.device, "workers": arguments.workers}
        fit = Fit(known, None, sorted({clip.category for clip in known.clips}), recipe, Path(folder), **options)
        ready = [pin(batch, on_gpu) for batch in fit.loader.batches(0)]
        made_s = time_epochs(fit, arguments.epochs)
        fit.loader = ReadyBatches(ready)  # type: ignore[assignment]
        ready_s = time_epochs(fit, arguments.epochs)
    clips = recipe.batch * fit.source.steps
    report.add_row("an epoch, batches made by %d workers" % arguments.workers, made_s, "s")
    report.add_row("an epoch, batches ready in memory", ready_s, "s")
    report.add_figure("clips a second", clips / float(np.median(made_s)), "")
    report.add_figure(
        "device busy", float(np.median(ready_s) / np.median(made_s)), "", at_least=0.95 if on_gpu else None
    )
    report.write(as_json=arguments.json)


def load_clips(recipe: Recipe) -> Waveforms:
    """The tests' real recordings, each some dozens of times, turned."""
    rng, samples, clips = np.random.default_rng(0), [], []
    rate_hz = recipe.frontend.sample_rate_hz
    paths = sorted(_FIXTURES.glob("*.ogg"))
    categories = sorted({path.stem.rsplit("-", 1)[0] for path in paths})
    for path in paths:
        sound, own_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
        wave = resample(sound.mean(axis=1), own_hz, rate_hz).astype(np.float32)
        for copy in range(_COPIES):
            samples.append(np.roll(wave, int(rng.integers(len(wave)))))
            clips.append(Clip(path, path.stem.rsplit("-", 1)[0], 1, "%s %d" % (path.stem, copy)))
    labels = np.array([categories.index(clip.category) for clip in clips])
    return Waveforms(samples, labels, np.ones(len(clips), int), clips)


def pin(batch: Batch, on_gpu: bool) -> Batch:
    """A copy that stays; where a GPU fetches it, pinned as the loader's are."""
    return Batch(*(tensor.clone().pin_memory() if on_gpu else tensor.clone() for tensor in batch))


def time_epochs(fit: Fit, epochs: int) -> list[float]:
    """Seconds of each epoch, after one that warms up."""
    seconds = []
    for _ in range(_WARM_UP_EPOCHS + epochs):
        begin = time.perf_counter()
        fit._train_epoch(lambda epoch, step, means: None)
        fit.epoch += 1
        seconds.append(time.perf_counter() - begin)
    return seconds[_WARM_UP_EPOCHS:]


if __name__ == "__main__":
    main()
