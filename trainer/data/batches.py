"""Training batches: clips drawn by source, cut, mixed and placed in windows, with soft targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.augment import (
    add_background,
    click_randomly,
    cut_randomly,
    draw_share,
    mix_pair,
    place_randomly,
    random_gain,
    scale_randomly,
)
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.data.made_up import make_up_foreign
from trainer.data.waveforms import Waveforms
from trainer.errors import TrainerError
from trainer.losses import NO_PART
from trainer.parallel import ALONE, Group
from trainer.recipe import Recipe


class Batch(NamedTuple):
    """One step's sound."""

    samples: Tensor  # float32 [B, window_samples]
    targets: Tensor  # float32 [B, K], rows sum to 1; with foreign clips [B, K + 1], the last column is foreign sound
    labels: Tensor  # int64 [B]; negative where a row is foreign or a mixture: no anchor of the contrastive loss


class _Row(NamedTuple):
    """What one row of a batch is made of."""

    clip: int
    is_known: bool
    number: int  # in the whole batch: seeds the row's augmentation


class BatchSource:
    """Draws the batches of an epoch.

    A batch depends on the recipe's seed, the epoch's and the step's number alone: a run resumed at an epoch continues
    as if it had never stopped, batches can be made ahead by several processes, and those of a group of processes
    together hold what one process would.
    """

    def __init__(
        self, known: Waveforms, foreign: Waveforms | None, n_labels: int, recipe: Recipe, *, group: Group = ALONE
    ) -> None:
        self._known, self._foreign, self._n_labels, self._recipe = known, foreign, n_labels, recipe
        self._n_outputs = n_labels + (foreign is not None)
        self._weights = draw_weights(known, recipe.source_balance)
        self._foreign_weights = None if foreign is None else draw_weights(foreign, recipe.source_balance)
        self._group = group
        self._check(known)
        self.steps = max(1, len(known) // recipe.batch)
        rows = recipe.batch * recipe.views + (recipe.foreign_batch if foreign is not None else 0)
        self.rows = -(-rows // group.size)  # the most that a process of the group gets
        if rows < 2 * group.size:
            raise TrainerError(
                "a batch of %d rows for %d processes; expected two for each: raise --batch" % (rows, group.size)
            )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, `steps` of them."""
        return (self.batch(epoch, step) for step in range(self.steps))

    def batch(self, epoch: int, step: int) -> Batch:
        """One batch, or this process's share of it."""
        seed = (self._recipe.seed, epoch, step)
        rows = self._draw_rows(np.random.default_rng(seed), epoch, step)[self._group.rank :: self._group.size]
        made = []
        for row in rows:
            rng = np.random.default_rng((*seed, row.number))  # from 1: NumPy takes (..., 0) for the batch's own seed
            if row.is_known or self._foreign is None:
                made.append(self._known_row(row.clip, rng))
            else:
                made.append(self._foreign_row(self._foreign, row.clip, rng))
        samples, targets, labels = zip(*made, strict=True)
        return Batch(torch.from_numpy(np.stack(samples)), torch.from_numpy(np.stack(targets)), torch.tensor(labels))

    def _draw_rows(self, rng: np.random.Generator, epoch: int, step: int) -> list[_Row]:
        recipe = self._recipe
        if recipe.classes_per_batch:
            drawn = self._draw_by_class(rng)
        elif recipe.draw == "pass":
            drawn = self._order(epoch)[step * recipe.batch : (step + 1) * recipe.batch]
        else:
            drawn = [int(i) for i in rng.choice(len(self._known), recipe.batch, p=self._weights)]
        chosen = [(clip, True) for clip in drawn for _ in range(recipe.views)]
        if self._foreign is not None:
            drawn = rng.choice(len(self._foreign), recipe.foreign_batch, p=self._foreign_weights).tolist()
            chosen += [(clip, False) for clip in drawn]
        return [_Row(clip, is_known, number) for number, (clip, is_known) in enumerate(chosen, 1)]

    def _order(self, epoch: int) -> list[int]:
        """Every clip once, in the epoch's own order; a remainder smaller than a batch is left out."""
        rng = np.random.default_rng((self._recipe.seed, epoch, 0, 0, 1))  # no batch's, no row's
        order: list[int] = rng.permutation(len(self._known)).tolist()
        return order

    def _draw_by_class(self, rng: np.random.Generator) -> list[int]:
        """P classes, K clips of each."""
        n_classes = self._recipe.classes_per_batch
        drawn: list[int] = []
        for label in rng.choice(self._n_labels, n_classes, replace=False):
            weights = self._weights * (self._known.labels == label)
            drawn += rng.choice(len(weights), self._recipe.batch // n_classes, p=weights / weights.sum()).tolist()
        return drawn

    def _check(self, known: Waveforms) -> None:
        recipe = self._recipe
        if recipe.batch < 2 or recipe.views < 1 or not 0 <= recipe.classes_per_batch <= self._n_labels:
            raise TrainerError(
                "batches of %d clips of %d classes in %d views; expected at least 2 clips, at most %d classes (0: "
                "whatever comes) and at least 1 view"
                % (recipe.batch, recipe.classes_per_batch, recipe.views, self._n_labels)
            )
        if recipe.classes_per_batch and recipe.batch % recipe.classes_per_batch:
            raise TrainerError(
                "--batch %d is no multiple of --classes-per-batch %d" % (recipe.batch, recipe.classes_per_batch)
            )
        absent = sorted(set(range(self._n_labels)) - set(known.labels.tolist()))
        if recipe.classes_per_batch and absent:
            raise TrainerError("no training clip of classes number %s; expected at least one of each" % absent)

    def _known_row(self, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        recipe = self._recipe.augmentation
        sound, label = self._window(self._known.samples[i], rng), int(self._known.labels[i])
        target = self._one_hot(label)
        if rng.random() < recipe.mix_p:
            other = int(rng.choice(len(self._known), p=self._weights))
            weight = draw_share(rng, recipe)
            sound = mix_pair(sound, self._window(self._known.samples[other], rng), weight)
            target = weight * target + (1.0 - weight) * self._one_hot(int(self._known.labels[other]))
            if self._known.labels[other] != label:
                label = UNKNOWN_LABEL if self._recipe.contrast_mixtures else NO_PART
        if rng.random() < recipe.background_p:
            below = None if self._foreign is None else self._random_foreign(self._foreign, rng)
            sound = add_background(sound, below, rng, recipe)
        return self._on_microphone(sound, rng), target, label

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
        return self._on_microphone(sound, rng), self._one_hot(self._n_labels), UNKNOWN_LABEL

    def _on_microphone(self, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        recipe = self._recipe.augmentation
        return click_randomly(random_gain(sound, rng, recipe), rng, recipe, self._recipe.frontend.sample_rate_hz)

    def _random_foreign(self, foreign: Waveforms, rng: np.random.Generator) -> np.ndarray:
        return foreign.samples[int(rng.choice(len(foreign), p=self._foreign_weights))]

    def _window(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        spec, recipe = self._recipe.frontend, self._recipe.augmentation
        samples = scale_randomly(samples, rng, recipe)
        part = cut_randomly(samples, spec.window_samples, rng, recipe=recipe, sample_rate_hz=spec.sample_rate_hz)
        return place_randomly(part, spec.window_samples, rng, recipe)

    def _one_hot(self, label: int) -> np.ndarray:
        target = np.zeros(self._n_outputs, np.float32)
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
