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
_CLICK_S = (0.002, 0.03)


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


def scale_randomly(samples: np.ndarray, rng: np.random.Generator, recipe: Augmentation) -> np.ndarray:
    """Longer or shorter by a random factor, pitch and tempo together, by linear interpolation as SoundCLR's code does.

    The factor's logarithm is even between those of 1 / scale_max and scale_max.
    """
    if recipe.scale_max <= 1.0:
        return samples
    factor = recipe.scale_max ** rng.uniform(-1.0, 1.0)
    length = max(1, int(len(samples) * factor))
    at = np.arange(length) / factor
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def place_randomly(samples: np.ndarray, window: int, rng: np.random.Generator, recipe: Augmentation) -> np.ndarray:
    """Put a clip somewhere in a window; around it lies silence, or faint noise as in a real street."""
    placed = np.zeros(window, np.float32)
    spare = window - len(samples)
    start = spare // 2 if recipe.place == "centre" else int(rng.integers(0, spare + 1))
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


def draw_share(rng: np.random.Generator, recipe: Augmentation) -> float:
    """The first sound's share of a mixture's amplitude, for `mix_pair`."""
    if recipe.mix_by == "snr":
        return float(1.0 / (1.0 + 10 ** (-rng.uniform(*recipe.mix_snr_db) / 20)))
    return float(rng.beta(recipe.mix_beta, recipe.mix_beta))


def random_gain(samples: np.ndarray, rng: np.random.Generator, recipe: Augmentation) -> np.ndarray:
    """Peak-normalise, then turn down by a random amount: a recording's level says nothing about the class.

    Without `peak_first` the clip's own level is turned up or down, up to full scale at most.
    """
    peak = max(float(np.abs(samples).max()), _SMALLEST_PEAK)
    gain_db = rng.uniform(*recipe.gain_db)
    if not recipe.peak_first:
        return (samples * min(10 ** (gain_db / 20), 1.0 / peak)).astype(np.float32)
    return (samples * (10 ** (min(gain_db, 0.0) / 20) / peak)).astype(np.float32)


def click_randomly(
    samples: np.ndarray, rng: np.random.Generator, recipe: Augmentation, sample_rate_hz: int
) -> np.ndarray:
    """With some probability a burst somewhere: 2 to 30 ms of coloured noise that may die away, its peak anywhere
    between the sound's own and full scale, evenly in dB.

    With reference `max` such a click pushes all else down in the log-mel, as a knock on a microphone does.
    """
    if recipe.click_p <= 0.0 or rng.random() >= recipe.click_p:
        return samples
    length = min(len(samples), max(2, int(rng.uniform(*_CLICK_S) * sample_rate_hz)))
    burst = coloured_noise(length, rng) * np.exp(-np.linspace(0.0, rng.uniform(0.0, 5.0), length))
    own = min(1.0, max(float(np.abs(samples).max()), _SMALLEST_PEAK))
    burst *= own ** rng.uniform(0.0, 1.0) / np.abs(burst).max()
    start = int(rng.integers(0, len(samples) - length + 1))
    clicked = samples.copy()
    clicked[start : start + length] += burst.astype(np.float32)
    return np.clip(clicked, -1.0, 1.0)


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


def filter_randomly(power_db: Tensor, generator: torch.Generator, recipe: Augmentation) -> Tensor:
    """FilterAugment: random gains of a few random bands, drawn for each clip.  [B, n_mels, F] in and out.

    Source: Nam, Kim and Park, "FilterAugment: An Acoustic Environmental Data Augmentation Method" (2022), section 2:
    `step` holds one gain a band, `linear` runs from boundary to boundary. Theirs draws the bands once a batch.
    """
    batch, bands, _ = power_db.shape
    fewest, most = recipe.filter_bands
    count = torch.randint(fewest, most + 1, (batch, 1), generator=generator)
    number = torch.arange(1, most)[None]  # of the inner boundaries, of which the first count - 1 are used
    spare = bands - count * recipe.filter_width_bands
    drawn = (torch.rand(batch, most - 1, generator=generator) * (spare.clamp_min(0) + 1)).floor()
    used = number < count
    inner = drawn.masked_fill(~used, bands).sort(dim=1).values + number * recipe.filter_width_bands
    inner = torch.where(used, inner, torch.full_like(inner, bands)).clamp_max(bands)
    edges = F.pad(F.pad(inner, (1, 0)), (0, 1), value=float(bands))
    knots = (torch.rand(batch, most + 1, generator=generator) * 2 - 1) * recipe.filter_db
    at = torch.arange(bands)[None].expand(batch, -1)
    band = (at[:, :, None] >= inner[:, None, :]).sum(dim=2)  # that each mel band lies in
    low, high = edges.gather(1, band), edges.gather(1, band + 1)
    rise = (at - low) / (high - low) if recipe.filter_kind == "linear" else torch.zeros(batch, bands)
    gains = knots.gather(1, band) + (knots.gather(1, band + 1) - knots.gather(1, band)) * rise
    active = torch.rand(batch, 1, generator=generator) < recipe.filter_p
    return power_db + (gains * active)[:, :, None]


def mix_styles(network_input: Tensor, generator: torch.Generator, recipe: Augmentation) -> Tensor:
    """Freq-MixStyle: each mel band's mean and spread over time become a mixture of the clip's and of another one's.

    Content stays, the device's response is mixed; labels stay too.  [B, 1, n_mels, F] in and out.

    Source: Kim et al., "Domain Generalization with Relaxed Instance Frequency-wise Normalization" (2022), and Schmid
    et al., "Knowledge Distillation from Transformers for Low-Complexity Acoustic Scene Classification" (2022). Theirs
    draws once a batch whether to mix, here it is drawn for each clip.
    """
    batch = len(network_input)
    partner = torch.randperm(batch, generator=generator)
    share = _draw_beta(batch, recipe.mixstyle_alpha, generator)
    active = torch.rand(batch, generator=generator) < recipe.mixstyle_p
    share = torch.where(active, share, torch.ones_like(share))[:, None, None, None]
    mean = network_input.mean(dim=(1, 3), keepdim=True)
    spread = (network_input.var(dim=(1, 3), keepdim=True) + 1e-6).sqrt()
    new_mean = share * mean + (1 - share) * mean[partner]
    new_spread = share * spread + (1 - share) * spread[partner]
    return (network_input - mean) / spread * new_spread + new_mean


def mix_up(network_input: Tensor, targets: Tensor, generator: torch.Generator, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al., 2018): pictures and targets of random pairs in one random share each."""
    share = _draw_beta(len(network_input), alpha, generator)
    partner = torch.randperm(len(network_input), generator=generator)
    wide = share[:, None, None, None]
    mixed = wide * network_input + (1 - wide) * network_input[partner]
    return mixed, share[:, None] * targets + (1 - share)[:, None] * targets[partner]


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

    SoundCLR's own code fills with 0, which on its scale is the loudest value; here that is `mask_fill` "loudest".

    Args:
        silence: what a mask is filled with.
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
    power_db = random_response(power_db, generator, recipe)
    if recipe.filter_p:
        power_db = filter_randomly(power_db, generator, recipe)
    network_input = frontend.network_input(power_db)
    if recipe.mixstyle_p:
        network_input = mix_styles(network_input, generator, recipe)
    network_input = random_warp(network_input, generator, recipe, silence)
    if recipe.roll:
        network_input = roll_randomly(network_input, generator)
    return mask_randomly(network_input, generator, recipe, spec.offset if recipe.mask_fill == "loudest" else silence)


def _draw_beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Draws of Beta(alpha, alpha), turned so that the first of a pair weighs at least as much as the other.

    By NumPy, seeded from the generator: torch's own Beta takes none.
    """
    seed = int(torch.randint(0, 2**31 - 1, (1,), generator=generator))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, count)
    return torch.tensor(np.maximum(drawn, 1.0 - drawn), dtype=torch.float32)
