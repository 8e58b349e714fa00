"""What a trained network says of whole clips, by the same windows and rules as the node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from engines.frontend import FrontendSpec
from engines.windows import fill_short_clip
from trainer.frontend import LogMel
from trainer.model import SoundNet

_BATCH = 64
HOP_S = 1.0  # between windows of a clip longer than one window


def cut_windows(samples: np.ndarray, spec: FrontendSpec, short_clip: str) -> np.ndarray:
    """The windows of a clip, one each HOP_S from its start; a clip shorter than a window is filled.

    Args:
        samples: mono at spec.sample_rate_hz.  Shape [T].

    Returns:
        Shape [W, window_samples], W >= 1.
    """
    if len(samples) < spec.window_samples:
        return fill_short_clip(samples, spec.window_samples, short_clip)[None]
    windows: list[np.ndarray] = []
    while True:
        # as the node does: the first frame at or after each multiple of the hop
        start = int(round(len(windows) * HOP_S * spec.frames_per_s)) * spec.hop_length
        if start + spec.window_samples > len(samples):
            return np.stack(windows)
        windows.append(samples[start : start + spec.window_samples])


def compute_clip_logits(
    model: SoundNet,
    clips: list[np.ndarray],
    spec: FrontendSpec,
    short_clip: str,
    *,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Mean logits over each clip's windows (clip rule `mean_logit`).

    Args:
        clips: waveforms at spec.sample_rate_hz.

    Returns:
        Shape [N, K + 1], float32.
    """
    return compute_clip_outputs(model, clips, spec, short_clip, device=device, progress=progress)[0]


@torch.no_grad()
def compute_clip_outputs(
    model: SoundNet,
    clips: list[np.ndarray],
    spec: FrontendSpec,
    short_clip: str,
    *,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean logits and mean embeddings over each clip's windows.

    Args:
        clips: waveforms at spec.sample_rate_hz.
        progress: told how many windows are done.

    Returns:
        Shapes [N, K + 1] and [N, width], float32.
    """
    model = model.eval()
    front_end = LogMel(spec).to(device)

    def infer(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        network_input = front_end(torch.from_numpy(windows).to(device)).contiguous(memory_format=torch.channels_last)
        embedding = model.embed(network_input)
        return model.classify(embedding).float().cpu().numpy(), embedding.float().cpu().numpy()

    logits, embeddings = mean_over_windows(clips, lambda clip: cut_windows(clip, spec, short_clip), infer, progress)
    return logits, embeddings


def mean_over_windows(
    clips: Sequence[np.ndarray],
    cut: Callable[[np.ndarray], np.ndarray],
    infer: Callable[[np.ndarray], tuple[np.ndarray, ...]],
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, ...]:
    """Infer the windows of many clips in batches, and take each output's mean over each clip's windows.

    Args:
        cut: a clip's windows.  [T] -> [W, window_samples].
        infer: outputs of a batch of windows.  [B, window_samples] -> arrays of B rows.
        progress: told how many windows are done.

    Returns:
        An array of one row a clip for each output, float32.
    """
    totals: list[np.ndarray] = []
    counts = np.zeros(len(clips))
    batch: list[np.ndarray] = []
    owners: list[int] = []
    done = 0
    for number, clip in enumerate(clips):
        windows = cut(clip)
        batch += list(windows)
        owners += [number] * len(windows)
        while len(batch) >= _BATCH or (batch and number == len(clips) - 1):
            outputs = infer(np.stack(batch[:_BATCH]))
            totals = totals or [np.zeros((len(clips), output.shape[1])) for output in outputs]
            for total, output in zip(totals, outputs, strict=True):
                np.add.at(total, owners[:_BATCH], output)
            np.add.at(counts, owners[:_BATCH], 1)
            done += len(batch[:_BATCH])
            del batch[:_BATCH], owners[:_BATCH]
            progress(done)
    return tuple((total / counts[:, None]).astype(np.float32) for total in totals)
