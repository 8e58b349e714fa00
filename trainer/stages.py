"""What a scheme does one after the other: each stage trains some parts of the network on its own loss."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from trainer.errors import TrainerError
from trainer.losses import hybrid_loss, neighbour_accuracy, soft_cross_entropy, supervised_contrastive_loss
from trainer.model import Output, SoundNet
from trainer.parallel import Group
from trainer.recipe import Recipe

SCHEMES = ("ce", "supcon", "hybrid")
PRECISIONS = ("float32", "bfloat16")
MEASURES = ("loss", "contrastive", "cross_entropy", "accuracy", "neighbour_accuracy")


class Stage(NamedTuple):
    """One stage of a run."""

    name: str
    epochs: int
    learning_rate: float
    alpha: float  # weight of the contrastive loss
    trained: tuple[str, ...]  # parts of the SoundNet; the others stay as they are

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
    classifier = ("classifier", "logit_scale")
    if recipe.scheme == "ce":
        return [Stage("cross-entropy", recipe.epochs, recipe.learning_rate, 0.0, ("backbone", *classifier))]
    if recipe.scheme == "hybrid":
        parts = ("backbone", "projection", *classifier)
        return [Stage("hybrid", recipe.epochs, recipe.learning_rate, recipe.alpha, parts)]
    return [
        Stage("contrastive", recipe.epochs, recipe.learning_rate, 1.0, ("backbone", "projection")),
        Stage("classifier", recipe.classifier_epochs, recipe.classifier_learning_rate, 0.0, classifier),
    ]


def freeze_others(model: SoundNet, stage: Stage) -> None:
    """Let gradients reach the stage's parts alone."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in stage.trained)


def set_training(model: SoundNet, stage: Stage) -> None:
    """Train mode, but for a frozen backbone: its batch norm would go on learning statistics."""
    model.train()
    model.backbone.train("backbone" in stage.trained)


def create_optimiser(model: SoundNet, stage: Stage, recipe: Recipe, steps: int) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW and a one-cycle schedule over the stage's `steps` a epoch."""
    optimiser = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay), lr=stage.learning_rate)
    total = steps * stage.epochs
    return optimiser, LambdaLR(optimiser, lambda step: _one_cycle(step, total, recipe.warm_up))


def compute_losses(
    output: Output, targets: Tensor, labels: Tensor, stage: Stage, recipe: Recipe, *, group: Group, length: int
) -> tuple[Tensor, Tensor]:
    """The stage's loss, and the MEASURES of this step without gradients; what the stage does not compute is 0.

    Args:
        length: the most rows that any process of the group has.
    """
    nothing = output.logits.new_zeros((), dtype=torch.float32)
    contrastive, cross_entropy, hits, neighbours = nothing, nothing, nothing, nothing
    if stage.contrasts:
        contrastive = supervised_contrastive_loss(
            output.projection, labels, temperature=recipe.temperature, group=group, length=length
        )
        neighbours = neighbour_accuracy(output.projection, labels)
    if stage.classifies:
        cross_entropy = soft_cross_entropy(output.logits, targets, group=group)
        hits = (output.logits.argmax(1) == targets.argmax(1)).float().mean()
    loss = hybrid_loss(contrastive, cross_entropy, alpha=stage.alpha)
    return loss, torch.stack([loss, contrastive, cross_entropy, hits, neighbours]).detach().double()


def name_measures(values: list[float], stage: Stage) -> dict[str, float]:
    """The measures that mean something in a stage, by name."""
    named = dict(zip(MEASURES, values, strict=True))
    hidden = set() if stage.contrasts else {"contrastive", "neighbour_accuracy"}
    hidden |= set() if stage.classifies else {"cross_entropy", "accuracy"}
    return {name: value for name, value in named.items() if name not in hidden}


def _one_cycle(step: int, total: int, warm_up: float) -> float:
    """Factor of the peak learning rate: a linear rise, then half a cosine down to zero."""
    rise = max(1, int(total * warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels; none for biases, norms and the logit scale."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    free = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
