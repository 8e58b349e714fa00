"""What a trained network says of whole clips, by the same windows and rules as the node."""

from __future__ import annotations

from collections.abc import Callable

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


@torch.no_grad()
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
    model = model.eval()
    front_end = LogMel(spec).to(device)
    windows = [cut_windows(clip, spec, short_clip) for clip in clips]
    owner = np.repeat(np.arange(len(clips)), [len(w) for w in windows])
    stacked = np.concatenate(windows)
    logits = []
    for start in range(0, len(stacked), _BATCH):
        samples = torch.from_numpy(stacked[start : start + _BATCH]).to(device)
        network_input = front_end(samples).contiguous(memory_format=torch.channels_last)
        logits.append(model(network_input).logits.float().cpu().numpy())
        progress(start + len(samples))
    joined = np.concatenate(logits)
    total = np.zeros((len(clips), joined.shape[1]), np.float64)
    np.add.at(total, owner, joined)
    return (total / np.bincount(owner, minlength=len(clips))[:, None]).astype(np.float32)
