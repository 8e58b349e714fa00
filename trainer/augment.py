"""Augmentation: what a street, a microphone and chance do to a sound, and nothing that gives its class away.

Waveforms are augmented one by one in NumPy, spectrograms as a batch in torch. Both take their generator as an
argument: the same seed gives the same batch.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.made_up import coloured_noise, rms
from trainer.frontend import LogMel
from trainer.recipe import Augmentation

_SMALLEST_PEAK = 1e-5  # below it a clip is not scaled up any more


def cut_randomly(
    samples: np.ndarray, limit: int, rng: np.random.Generator, *, recipe: Augmentation, sample_rate_hz: int
) -> np.ndarray:
    """A random stretch of the clip: at most `limit` samples, and with some probability much less."""
    length = min(len(samples), limit)
    shortest = int(recipe.cut_min_s * sample_rate_hz)
    if rng.random() < recipe.cut_p and length > shortest:
        length = int(rng.integers(shortest, length + 1))
    start = int(rng.integers(0, len(samples) - length + 1))
    return samples[start : start + length]


def place_randomly(samples: np.ndarray, window: int, rng: np.random.Generator, recipe: Augmentation) -> np.ndarray:
    """Put a clip somewhere in a window; around it lies silence, or faint noise as in a real street."""
    placed = np.zeros(window, np.float32)
    start = int(rng.integers(0, window - len(samples) + 1))
    placed[start : start + len(samples)] = samples
    if len(samples) < window and rng.random() < recipe.noise_fill_p:
        placed += coloured_noise(window, rng) * (rms(samples) * 10 ** (rng.uniform(-50.0, -15.0) / 20))
    return placed


def add_background(
    samples: np.ndarray, foreign: np.ndarray | None, rng: np.random.Generator, recipe: Augmentation
) -> np.ndarray:
    """Lay noise, or a foreign clip, beneath the sound at a random ratio."""
    if foreign is not None and rng.random() < recipe.foreign_background_share:
        below = np.resize(foreign, len(samples))
    else:
        below = coloured_noise(len(samples), rng)
    ratio = 10 ** (-rng.uniform(*recipe.background_snr_db) / 20)
    return samples + below * (ratio * rms(samples) / rms(below))


def mix_pair(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Both sounds in one window, `weight` of the amplitude from the first once both have unit RMS
    (between-class learning, Tokozume et al., 2018)."""
    return (weight * first / rms(first) + (1.0 - weight) * second / rms(second)) * rms(first)


def random_gain(samples: np.ndarray, rng: np.random.Generator, recipe: Augmentation) -> np.ndarray:
    """Peak-normalise, then turn down by a random amount: a recording's level says nothing about the class."""
    peak = max(float(np.abs(samples).max()), _SMALLEST_PEAK)
    return (samples * (10 ** (min(rng.uniform(*recipe.gain_db), 0.0) / 20) / peak)).astype(np.float32)


def random_response(power_db: Tensor, generator: torch.Generator, recipe: Augmentation) -> Tensor:
    """A random smooth frequency response for each clip, sometimes with a low-pass.  [B, n_mels, F] in and out."""
    batch, bands, _ = power_db.shape
    knots = (torch.rand(batch, 1, 5, generator=generator) * 2 - 1) * recipe.response_db
    response = F.interpolate(knots, size=bands, mode="linear", align_corners=True)[:, 0]
    limit = torch.randint(bands // 2, bands, (batch, 1), generator=generator)
    limited = torch.rand(batch, 1, generator=generator) < recipe.low_pass_p
    above = (torch.arange(bands)[None] >= limit) & limited
    depth = 20.0 + 60.0 * torch.rand(batch, 1, generator=generator)
    return power_db + (response - above * depth)[:, :, None]


def random_warp(network_input: Tensor, generator: torch.Generator, recipe: Augmentation, silence: float) -> Tensor:
    """Shift along mel bands (pitch) and stretch in time (tempo) by resampling the picture.  [B, 1, n_mels, F]."""
    batch, _, bands, _ = network_input.shape
    active = (torch.rand(batch, generator=generator) < recipe.warp_p).float()
    pitch = (torch.rand(batch, generator=generator) * 2 - 1) * recipe.warp_pitch_bands * active
    tempo = 1 + (torch.rand(batch, generator=generator) * 2 - 1) * recipe.warp_tempo * active
    affine = torch.zeros(batch, 2, 3)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, 1, 2] = tempo, 1.0, 2 * pitch / bands
    grid = F.affine_grid(affine, list(network_input.shape), align_corners=False)
    return F.grid_sample(network_input - silence, grid, mode="bilinear", align_corners=False) + silence


def mask_randomly(network_input: Tensor, generator: torch.Generator, recipe: Augmentation, silence: float) -> Tensor:
    """Blank random bands and stretches of time with silence (SpecAugment, Park et al., 2019).

    SoundCLR's own code fills with 0, which on its scale is the loudest value; here a mask is silence.
    """
    _, _, bands, frames = network_input.shape
    for axis, size, widest, count in (
        (2, bands, recipe.frequency_mask_bands, recipe.frequency_masks),
        (3, frames, recipe.time_mask_frames, recipe.time_masks),
    ):
        for _ in range(count):
            width = torch.randint(0, widest + 1, (len(network_input),), generator=generator)
            start = (torch.rand(len(network_input), generator=generator) * (size - width + 1)).floor()
            at = torch.arange(size)[None]
            blank = (at >= start[:, None]) & (at < (start + width)[:, None])
            shape = [len(network_input), 1, 1, 1]
            shape[axis] = size
            network_input = network_input.masked_fill(blank.view(shape), silence)
    return network_input


def roll_randomly(network_input: Tensor, generator: torch.Generator) -> Tensor:
    """Roll each clip in time by a random amount."""
    batch, _, bands, frames = network_input.shape
    shift = torch.randint(0, frames, (batch, 1), generator=generator)
    index = ((torch.arange(frames)[None] + shift) % frames)[:, None, None, :].expand(-1, 1, bands, -1)
    return network_input.gather(3, index)


def augment_spectrograms(
    power_db: Tensor, frontend: LogMel, generator: torch.Generator, recipe: Augmentation
) -> Tensor:
    """From mel power to the network's input, augmented.  [B, n_mels, F] -> [B, 1, n_mels, F]."""
    spec = frontend.spec
    silence = -spec.top_db * spec.scale + spec.offset
    network_input = frontend.network_input(random_response(power_db, generator, recipe))
    network_input = random_warp(network_input, generator, recipe, silence)
    network_input = roll_randomly(network_input, generator)
    return mask_randomly(network_input, generator, recipe, silence)
