"""What a scheme does one after the other: each stage trains some parts of the network on its own loss."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from trainer.errors import TrainerError
from trainer.losses import (
    distillation_loss,
    hybrid_loss,
    neighbour_accuracy,
    soft_cross_entropy,
    supervised_contrastive_loss,
)
from trainer.model import Output, SoundNet
from trainer.parallel import Group
from trainer.recipe import Recipe

SCHEMES = ("ce", "supcon", "hybrid")
PRECISIONS = ("float32", "bfloat16")
MEASURES = ("loss", "contrastive", "cross_entropy", "accuracy", "neighbour_accuracy", "distillation")


class Stage(NamedTuple):
    """One stage of a run."""

    name: str
    epochs: int
    learning_rate: float
    alpha: float  # weight of the contrastive loss
    trained: tuple[str, ...]  # parts of the SoundNet; the others stay as they are
    distil_weight: float = 0.0  # of the teachers' answers, beside the labels

    @property
    def contrasts(self) -> bool:
        """Whether the contrastive loss is part of it."""
        return "projection" in self.trained

    @property
    def classifies(self) -> bool:
        """Whether the classifier is trained."""
        return "classifier" in self.trained


def plan_stages(recipe: Recipe) -> list[Stage]:
    """The stages of a recipe's scheme.  Raises TrainerError where it is none of SCHEMES."""
    if recipe.scheme not in SCHEMES:
        raise TrainerError("scheme is %r; expected one of %s" % (recipe.scheme, ", ".join(SCHEMES)))
    if recipe.precision not in PRECISIONS:
        raise TrainerError("precision is %r; expected one of %s" % (recipe.precision, ", ".join(PRECISIONS)))
    classifier, distil = ("classifier", "logit_scale"), recipe.distil_weight
    if not 0.0 <= distil <= 1.0 or recipe.distil_temperature <= 0:
        raise TrainerError(
            "distil_weight %g, distil_temperature %g; expected 0 to 1, and above 0"
            % (distil, recipe.distil_temperature)
        )
    if recipe.scheme == "ce":
        return [Stage("cross-entropy", recipe.epochs, recipe.learning_rate, 0.0, ("backbone", *classifier), distil)]
    contrast = ("projection", "contrast_scale")
    if recipe.scheme == "hybrid":
        parts = ("backbone", *contrast, *classifier)
        return [Stage("hybrid", recipe.epochs, recipe.learning_rate, recipe.alpha, parts, distil)]
    return [
        Stage("contrastive", recipe.epochs, recipe.learning_rate, 1.0, ("backbone", *contrast)),
        Stage("classifier", recipe.classifier_epochs, recipe.classifier_learning_rate, 0.0, classifier, distil),
    ]


def freeze_others(model: SoundNet, stage: Stage) -> None:
    """Let gradients reach the stage's parts alone."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in stage.trained)


def set_training(model: SoundNet, stage: Stage) -> None:
    """Train mode, but for a frozen backbone: its batch norm would go on learning statistics."""
    model.train()
    model.backbone.train("backbone" in stage.trained)


def create_optimiser(
    model: SoundNet, stage: Stage, recipe: Recipe, steps: int
) -> tuple[torch.optim.AdamW, LRScheduler]:
    """AdamW and the recipe's schedule over the stage's `steps` a epoch.  Raises TrainerError for an unknown one."""
    optimiser = torch.optim.AdamW(_parameter_groups(model, recipe), lr=stage.learning_rate)
    total = steps * stage.epochs
    if recipe.schedule == "one_cycle":  # moves AdamW's first momentum too
        total = max(2, total)
        start = max(recipe.warm_up, 1.5 / total)  # its rise must take more than a step, or it divides by nothing
        return optimiser, OneCycleLR(optimiser, stage.learning_rate, total_steps=total, pct_start=start)
    if recipe.schedule == "exponential":
        decay = recipe.lr_decay ** (1.0 / steps)
        return optimiser, LambdaLR(optimiser, lambda step: _exponential(step, total, recipe.warm_up, decay))
    if recipe.schedule != "cosine":
        raise TrainerError("schedule is %r; expected cosine, one_cycle or exponential" % recipe.schedule)
    return optimiser, LambdaLR(optimiser, lambda step: _cosine(step, total, recipe.warm_up, recipe.lr_floor))


def compute_losses(
    output: Output,
    targets: Tensor,
    labels: Tensor,
    stage: Stage,
    recipe: Recipe,
    *,
    group: Group,
    length: int,
    soft: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The stage's loss, and the MEASURES of this step without gradients; what the stage does not compute is 0.

    Args:
        output: of the clips; where the classifier sees mixtures, of the clips and then of as many mixtures.
        targets: of the clips, or of the mixtures where there are any.
        length: the most rows that any process of the group has.
        soft: the teachers' answers, as `targets`, at the recipe's distil_temperature.
    """
    nothing = output.logits.new_zeros((), dtype=torch.float32)
    contrastive, cross_entropy, hits, neighbours, distillation = nothing, nothing, nothing, nothing, nothing
    if stage.contrasts:
        projection = output.projection[: len(labels)]
        temperature = recipe.temperature if output.contrast_scale is None else 1.0 / output.contrast_scale
        contrastive = supervised_contrastive_loss(
            projection, labels, temperature=temperature, group=group, length=length
        )
        neighbours = neighbour_accuracy(projection, labels)
    if stage.classifies:
        logits = output.logits[-len(targets) :]
        cross_entropy = soft_cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing, group=group)
        hits = (logits.argmax(1) == targets.argmax(1)).float().mean()
        if soft is not None:
            distillation = distillation_loss(logits, soft, temperature=recipe.distil_temperature, group=group)
    taught = hybrid_loss(distillation, cross_entropy, alpha=stage.distil_weight)
    loss = hybrid_loss(contrastive, taught, alpha=stage.alpha)
    measures = [loss, contrastive, cross_entropy, hits, neighbours, distillation]
    return loss, torch.stack(measures).detach().double()


def name_measures(values: list[float], stage: Stage) -> dict[str, float]:
    """The measures that mean something in a stage, by name."""
    named = dict(zip(MEASURES, values, strict=True))
    hidden = set() if stage.contrasts else {"contrastive", "neighbour_accuracy"}
    hidden |= set() if stage.classifies else {"cross_entropy", "accuracy"}
    hidden |= set() if stage.distil_weight else {"distillation"}
    return {name: value for name, value in named.items() if name not in hidden}


def _cosine(step: int, total: int, warm_up: float, floor: float) -> float:
    """Factor of the peak learning rate: a linear rise, then half a cosine down to `floor`."""
    rise = max(1, int(total * warm_up))
    if step < rise:
        return (step + 1) / rise
    fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))
    return floor + (1.0 - floor) * fall


def _exponential(step: int, total: int, warm_up: float, decay: float) -> float:
    """Factor of the peak learning rate: a linear rise, then the same decay at each step."""
    rise = int(total * warm_up)
    return (step + 1) / rise if step < rise else decay ** (step - rise)


def _parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels; none for biases, norms and scales unless the recipe says so."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if recipe.decay_all:
        return [{"params": trained, "weight_decay": recipe.weight_decay}]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    free = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
