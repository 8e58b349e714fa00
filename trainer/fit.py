"""The training loop: a fixed schedule, the last epoch's averaged weights, resumable at every epoch."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from trainer.augment import augment_spectrograms
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.data.batches import Batch, BatchSource
from trainer.data.waveforms import Waveforms
from trainer.errors import TrainerError
from trainer.frontend import LogMel
from trainer.losses import hybrid_loss, soft_cross_entropy, supervised_contrastive_loss
from trainer.model import SoundNet, load_imagenet_weights
from trainer.recipe import Recipe, recipe_from_json, recipe_to_mapping

_LOGGER = logging.getLogger(__name__)
CHECKPOINT_NAME = "checkpoint.pt"

Progress = Callable[[int, int, dict[str, float]], None]  # epoch, step, running means


class Fit:
    """One training run in one folder.

    Args:
        known: clips of the model's classes.
        foreign: clips of none of them (outlier exposure, Hendrycks et al., 2019), or None.
        labels: names of the classes, in the order of the network's outputs.
        folder: where the checkpoint lies; a run found there is continued.
    """

    def __init__(
        self,
        known: Waveforms,
        foreign: Waveforms | None,
        labels: list[str],
        recipe: Recipe,
        folder: Path,
        *,
        weights: Path | None = None,
        device: str = "cpu",
    ) -> None:
        _check_classes(known, labels)
        self.labels, self.recipe, self.folder = labels, recipe, folder
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        self.source = BatchSource(known, foreign, len(labels), recipe)
        self.frontend = LogMel(recipe.frontend).to(self.device)
        self.model = SoundNet(recipe.backbone, len(labels)).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
        self.optimiser = torch.optim.AdamW(_parameter_groups(self.model, recipe.weight_decay), lr=recipe.learning_rate)
        self.schedule = LambdaLR(
            self.optimiser, lambda step: _one_cycle(step, self.source.steps * recipe.epochs, recipe.warm_up)
        )
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        checkpoint = folder / CHECKPOINT_NAME
        if checkpoint.exists():
            self.averaged = copy.deepcopy(self.model)
            self._resume(load_checkpoint(checkpoint), checkpoint)
        else:
            origin = load_imagenet_weights(self.model, recipe.backbone, weights)
            _LOGGER.info("backbone %s starts from ImageNet weights of %s", recipe.backbone, origin)
            self.averaged = copy.deepcopy(self.model)

    def run(self, progress: Progress) -> SoundNet:
        """Train what is left of the schedule.  Returns the averaged network of the last epoch, in eval mode."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while self.epoch < self.recipe.epochs:
            self.history.append(self._train_epoch(progress))
            self.epoch += 1
            save_checkpoint(self.folder / CHECKPOINT_NAME, self._state())
        return self.averaged.eval()

    def _train_epoch(self, progress: Progress) -> dict[str, float]:
        # One seed for each epoch: dropout and augmentation of a resumed run equal those of one that never stopped.
        torch.manual_seed(self.recipe.seed * 100003 + self.epoch)
        generator = torch.Generator().manual_seed(self.recipe.seed * 100003 + self.epoch)
        self.model.train()
        totals: dict[str, float] = {}
        for step, batch in enumerate(self.source.batches(self.epoch), start=1):
            for name, value in self._train_step(batch, generator).items():
                totals[name] = totals.get(name, 0.0) + value
            progress(self.epoch, step, {name: value / step for name, value in totals.items()})
        return {name: value / self.source.steps for name, value in totals.items()}

    def _train_step(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        with torch.no_grad():
            power_db = self.frontend.power_db(batch.samples.to(self.device)).cpu()
            network_input = augment_spectrograms(power_db, self.frontend, generator, self.recipe.augmentation)
        network_input = network_input.to(self.device).contiguous(memory_format=torch.channels_last)
        targets, labels = batch.targets.to(self.device), batch.labels.to(self.device)
        output = self.model(network_input)
        contrastive = supervised_contrastive_loss(output.projection, labels, temperature=self.recipe.temperature)
        cross_entropy = soft_cross_entropy(output.logits, targets)
        loss = hybrid_loss(contrastive, cross_entropy, alpha=self.recipe.alpha)
        if not math.isfinite(loss.item()):
            raise TrainerError(
                "the loss became %s in epoch %d; lower learning_rate (%g) or raise temperature (%g)"
                % (loss.item(), self.epoch + 1, self.recipe.learning_rate, self.recipe.temperature)
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        update_average(self.averaged, self.model, self.recipe.ema_decay)
        hits = (output.logits.argmax(1) == targets.argmax(1)).float().mean()
        return {
            "loss": loss.item(),
            "contrastive": contrastive.item(),
            "cross_entropy": cross_entropy.item(),
            "accuracy": hits.item(),
        }

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": json.dumps(recipe_to_mapping(self.recipe)),
            "labels": self.labels,
            "epoch": self.epoch,
            "history": self.history,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def _resume(self, state: dict[str, Any], path: Path) -> None:
        if recipe_from_json(state["recipe"]) != self.recipe or state["labels"] != self.labels:
            raise TrainerError(
                "%s was begun with another recipe or other labels; give another --out, or remove it "
                "to begin anew" % path
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.history = state["epoch"], state["history"]
        _LOGGER.info("continuing %s after epoch %d of %d", path, self.epoch, self.recipe.epochs)


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights and of batch norm's statistics, in place."""
    for slow, fast in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1.0 - decay)
        else:
            slow.copy_(fast)


def _one_cycle(step: int, total: int, warm_up: float) -> float:
    """Factor of the peak learning rate: a linear rise, then half a cosine down to zero."""
    rise = max(1, int(total * warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels; none for biases, norms and the logit scale."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _check_classes(known: Waveforms, labels: list[str]) -> None:
    absent = [label for i, label in enumerate(labels) if not (known.labels == i).any()]
    if absent:
        raise TrainerError(
            "no training clip of class %s; expected at least one of each: leave another fold out, or "
            "drop the class" % ", ".join(absent)
        )
