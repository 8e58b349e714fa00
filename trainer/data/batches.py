"""Training batches: clips drawn by source, cut, mixed and placed in windows, with soft targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.augment import add_background, cut_randomly, mix_pair, place_randomly, random_gain
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.data.made_up import make_up_foreign
from trainer.data.waveforms import Waveforms
from trainer.recipe import Recipe


class Batch(NamedTuple):
    """One step's sound."""

    samples: Tensor  # float32 [B, window_samples]
    targets: Tensor  # float32 [B, K + 1], rows sum to 1; the last column is foreign sound
    labels: Tensor  # int64 [B]; UNKNOWN_LABEL where a row is foreign or a mixture: no anchor of the contrastive loss


class BatchSource:
    """Draws the batches of an epoch. An epoch's batches depend on the recipe's seed and the epoch's number alone, so
    a run resumed at an epoch continues as if it had never stopped."""

    def __init__(self, known: Waveforms, foreign: Waveforms | None, n_labels: int, recipe: Recipe) -> None:
        self._known, self._foreign, self._n_labels, self._recipe = known, foreign, n_labels, recipe
        self._weights = draw_weights(known, recipe.source_balance)
        self._foreign_weights = None if foreign is None else draw_weights(foreign, recipe.source_balance)
        self.steps = max(1, len(known) // recipe.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, `steps` of them."""
        rng = np.random.default_rng((self._recipe.seed, epoch))
        for _ in range(self.steps):
            rows = [
                self._known_row(int(i), rng) for i in rng.choice(len(self._known), self._recipe.batch, p=self._weights)
            ]
            if self._foreign is not None:
                chosen = rng.choice(len(self._foreign), self._recipe.foreign_batch, p=self._foreign_weights)
                rows += [self._foreign_row(self._foreign, int(i), rng) for i in chosen]
            samples, targets, labels = zip(*rows, strict=True)
            yield Batch(torch.from_numpy(np.stack(samples)), torch.from_numpy(np.stack(targets)), torch.tensor(labels))

    def _known_row(self, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        recipe = self._recipe.augmentation
        sound, label = self._window(self._known.samples[i], rng), int(self._known.labels[i])
        target = self._one_hot(label)
        if rng.random() < recipe.mix_p:
            other = int(rng.choice(len(self._known), p=self._weights))
            weight = float(rng.beta(recipe.mix_beta, recipe.mix_beta))
            sound = mix_pair(sound, self._window(self._known.samples[other], rng), weight)
            target = weight * target + (1.0 - weight) * self._one_hot(int(self._known.labels[other]))
            label = UNKNOWN_LABEL if self._known.labels[other] != label else label
        if rng.random() < recipe.background_p:
            below = None if self._foreign is None else self._random_foreign(self._foreign, rng)
            sound = add_background(sound, below, rng, recipe)
        return random_gain(sound, rng, recipe), target, label

    def _foreign_row(self, foreign: Waveforms, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        recipe = self._recipe.augmentation
        spec = self._recipe.frontend
        sound = (
            make_up_foreign(spec.window_samples, rng, spec.sample_rate_hz)
            if rng.random() < recipe.made_up_foreign_p
            else self._window(foreign.samples[i], rng)
        )
        if rng.random() < recipe.mix_p:
            sound = mix_pair(sound, self._window(self._random_foreign(foreign, rng), rng), float(rng.beta(1.0, 1.0)))
        if rng.random() < recipe.background_p:
            sound = add_background(sound, None, rng, recipe)
        return random_gain(sound, rng, recipe), self._one_hot(self._n_labels), UNKNOWN_LABEL

    def _random_foreign(self, foreign: Waveforms, rng: np.random.Generator) -> np.ndarray:
        return foreign.samples[int(rng.choice(len(foreign), p=self._foreign_weights))]

    def _window(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        spec, recipe = self._recipe.frontend, self._recipe.augmentation
        part = cut_randomly(samples, spec.window_samples, rng, recipe=recipe, sample_rate_hz=spec.sample_rate_hz)
        return place_randomly(part, spec.window_samples, rng, recipe)

    def _one_hot(self, label: int) -> np.ndarray:
        target = np.zeros(self._n_labels + 1, np.float32)
        target[label] = 1.0
        return target


def draw_weights(waveforms: Waveforms, balance: float) -> np.ndarray:
    """Probability of drawing each clip.  Shape [N], sums to 1.

    Clips of a prolific source are drawn less often (UrbanSound8K's 120 jackhammers of a fold come from four
    recordings), and so are the clips of a prolific class; `balance` 0 draws all alike, 1 levels both out.
    """
    per_source = Counter(clip.source_id for clip in waveforms.clips)
    weights = np.array([per_source[clip.source_id] for clip in waveforms.clips], np.float64) ** -balance
    for label in np.unique(waveforms.labels):
        of_class = waveforms.labels == label
        weights[of_class] *= of_class.sum() ** (1.0 - balance) / weights[of_class].sum()
    return weights / weights.sum()
