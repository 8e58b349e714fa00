"""The training loop: a fixed schedule, the last epoch's averaged weights, resumable at every epoch."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from trainer.augment import augment_spectrograms, mix_up
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.data.batches import Batch, BatchSource
from trainer.data.loading import BatchLoader
from trainer.data.waveforms import Waveforms
from trainer.errors import TrainerError
from trainer.frontend import LogMel
from trainer.model import SoundNet, create_network
from trainer.parallel import ALONE, Group
from trainer.recipe import Recipe, recipe_from_json, recipe_to_mapping
from trainer.run_log import write_log
from trainer.stages import (
    MEASURES,
    compute_losses,
    create_optimiser,
    freeze_others,
    name_measures,
    plan_stages,
    set_training,
)
from trainer.training_faults import check_classes, check_finite, check_weights, explain_full_memory
from trainer.weights import load_backbone_weights

_LOGGER = logging.getLogger(__name__)
CHECKPOINT_NAME = "checkpoint.pt"
_READ_STEPS = 10  # on a GPU, steps between two readings of the loss: each waits for the GPU

Progress = Callable[[int, int, dict[str, float]], None]  # epoch, step, running means
Row = dict[str, object]  # an epoch's line in the log


class Fit:
    """One training run in one folder.

    Args:
        known: clips of the model's classes.
        foreign: clips of none of them (outlier exposure, Hendrycks et al., 2019), or None: then the network has no
            output of foreign sound.
        labels: names of the classes, in the order of the network's outputs.
        folder: where the checkpoint lies; a run found there is continued.
        weights: file that the backbone starts from instead of ImageNet's weights.
        workers: processes that make batches ahead; 0 makes them in turn, as suits a CPU.
        group: the processes that train this network together.
        teachers: softened answers to a batch of waveforms, where the recipe distils.
        record: what the run trains on and never sees, as plain values: kept in the checkpoint.
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
        workers: int = 0,
        group: Group = ALONE,
        teachers: Callable[[Tensor], Tensor] | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        check_classes(known, labels)
        if (teachers is None) != (recipe.distil_weight == 0.0):
            raise TrainerError("distillation needs teachers (--teacher RUN) and a weight (--distil-weight above 0)")
        self.teachers, self.record = teachers, record
        self.labels, self.recipe, self.folder, self.group = labels, recipe, folder, group
        self.device = torch.device(device)
        self.stages = plan_stages(recipe)
        torch.manual_seed(recipe.seed)
        self.source = BatchSource(known, foreign, len(labels), recipe, group=group)
        self.loader = BatchLoader(self.source, workers=workers, pin=self.device.type == "cuda")
        self.frontend = LogMel(recipe.frontend).to(self.device)
        self.model = create_network(recipe, len(labels), foreign=foreign is not None)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.log: list[dict[str, object]] = []
        checkpoint = folder / CHECKPOINT_NAME
        state = load_checkpoint(checkpoint) if checkpoint.exists() else None
        self.origin = state.get("origin", "") if state else self._load_weights(weights)
        self._place()
        self.averaged = copy.deepcopy(self.model)
        if state is None:
            self._enter_stage(0)
        else:
            self._resume(state, checkpoint)
        if not group.agree(self.epoch, self.device):
            raise TrainerError(
                "process %d of %d begins after epoch %d, others elsewhere; every machine needs the same %s: a folder "
                "that all share, or a copy" % (group.rank, group.size, self.epoch, checkpoint)
            )

    def run(
        self,
        progress: Progress,
        *,
        judge: Callable[[SoundNet], float] | None = None,
        follow: Callable[[Row], None] = lambda row: None,
    ) -> SoundNet:
        """Train what is left of the schedule.  Returns the averaged network of the last epoch, in eval mode.

        Args:
            judge: accuracy on the held-out fold, asked after each epoch for the optimistic best-epoch figure alone:
                nothing is chosen by it.
            follow: told each epoch's line of the log once its checkpoint is written.

        Raises:
            TrainerError: the loss is no number any more, memory is full, or the checkpoint cannot be written.
        """
        if self.group.leads:
            self.folder.mkdir(parents=True, exist_ok=True)
        while self.epoch < self.recipe.total_epochs:
            if self._stage_of(self.epoch) != self.stage_number:
                self.group.share(self.averaged)  # each process has statistics of its own share; the leader's are saved
                self.model.load_state_dict(self.averaged.state_dict())  # the next stage stands on the averaged one
                self._enter_stage(self._stage_of(self.epoch))
            begin = time.monotonic()
            rate = self.schedule.get_last_lr()[0]
            with explain_full_memory(self.device, self.source.rows):
                self.history.append(self._train_epoch(progress))
            check_weights(self.averaged, epoch=self.epoch, learning_rate=self.stage.learning_rate)
            self.epoch += 1
            if judge is not None and self.group.leads:
                self.history[-1]["test_accuracy"] = judge(self.averaged)
            row: Row = {"epoch": self.epoch, "stage": self.stage.name, "learning_rate": rate, **self.history[-1]}
            self.log.append({**row, "seconds": round(time.monotonic() - begin, 3)})
            if self.group.leads:
                save_checkpoint(self.folder / CHECKPOINT_NAME, self._state())
                write_log(self.folder, self.log)
                follow(self.log[-1])
            self.group.wait()
        return self.averaged.eval()

    def _train_epoch(self, progress: Progress) -> dict[str, float]:
        # One seed for each epoch: dropout and augmentation of a resumed run equal those of one that never stopped.
        seed = (self.recipe.seed * 100003 + self.epoch) * 1009 + self.group.rank
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        set_training(self.model, self.stage)
        totals = torch.zeros(len(MEASURES), dtype=torch.float64, device=self.device)
        steps, every = self.source.steps, 1 if self.device.type == "cpu" else _READ_STEPS
        for step, batch in enumerate(self.loader.batches(self.epoch), start=1):
            totals += self._train_step(batch, generator)
            if step % every == 0 or step == steps:
                means = (totals / step).tolist()
                check_finite(
                    means[0],
                    epoch=self.epoch,
                    step=step,
                    steps=steps,
                    learning_rate=self.stage.learning_rate,
                    temperature=self.recipe.temperature,
                )
                progress(self.epoch, step, name_measures(means, self.stage))
        return name_measures((self.group.total(totals) / steps / self.group.size).tolist(), self.stage)

    def _train_step(self, batch: Batch, generator: torch.Generator) -> Tensor:
        targets = batch.targets.to(self.device, non_blocking=True)
        labels = batch.labels.to(self.device, non_blocking=True)
        # the device's context puts what augmentation draws where the generator is
        with torch.no_grad(), torch.device(self.device):
            samples = batch.samples.to(self.device, non_blocking=True)
            power_db = self.frontend.power_db(samples)
            network_input = augment_spectrograms(power_db, self.frontend, generator, self.recipe.augmentation)
            soft = self.teachers(samples) if self.teachers is not None and self.stage.classifies else None
            if self.recipe.mixup and self.stage.classifies:
                network_input, targets, soft = self._mix(network_input, targets, soft, generator)
        network_input = network_input.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            output = self.forward(network_input)
        loss, measures = compute_losses(
            output, targets, labels, self.stage, self.recipe, group=self.group, length=self.source.rows, soft=soft
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        self._averaged_steps += 1
        steps = self.stage.epochs * self.source.steps
        update_average(self.averaged, self.model, newest_share(self._averaged_steps, steps, self.recipe))
        return measures

    def _mix(
        self, network_input: Tensor, targets: Tensor, soft: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mixtures for the classifier; where the stage also contrasts, behind the unmixed clips in one batch."""
        joint = targets if soft is None else torch.cat([targets, soft], dim=1)
        mixed, joint = mix_up(network_input, joint, generator, self.recipe.mixup)
        width = targets.shape[1]
        if self.stage.contrasts:
            mixed = torch.cat([network_input, mixed])
        return mixed, joint[:, :width], None if soft is None else joint[:, width:]

    def _load_weights(self, weights: Path | None) -> str:
        if weights is None and not self.recipe.pretrained:
            return "chance"
        origin = load_backbone_weights(self.model, self.recipe.backbone, weights)
        if self.group.leads:
            _LOGGER.info("backbone %s starts from the weights of %s", self.recipe.backbone, origin)
        return origin

    def _place(self) -> None:
        """Bring the network to its device, in the layout and with the batch norm that the recipe asks for."""
        self.model.to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
        if self.recipe.sync_batch_norm:
            if self.device.type != "cuda":
                raise TrainerError("sync_batch_norm needs GPUs; this run is on %s: leave it out" % self.device)
            self.model.backbone = convert_sync_batchnorm(self.model.backbone)  # type: ignore[no-untyped-call]

    def _stage_of(self, epoch: int) -> int:
        return 0 if epoch < self.stages[0].epochs else len(self.stages) - 1

    def _enter_stage(self, number: int) -> None:
        self.stage_number, self.stage, self._averaged_steps = number, self.stages[number], 0
        freeze_others(self.model, self.stage)
        self.optimiser, self.schedule = create_optimiser(self.model, self.stage, self.recipe, self.source.steps)
        self.forward: nn.Module = self.group.wrap(self.model)
        if self.recipe.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]  # it is a module for a module

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": json.dumps(recipe_to_mapping(self.recipe)),
            "labels": self.labels,
            "origin": self.origin,
            "record": json.dumps(self.record),
            "epoch": self.epoch,
            "stage": self.stage_number,
            "history": self.history,
            "log": self.log,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def _resume(self, state: dict[str, Any], path: Path) -> None:
        outputs = len(self.model.classifier.weight)
        if (
            recipe_from_json(state["recipe"]) != self.recipe
            or state["labels"] != self.labels
            or len(state["model"]["classifier.weight"]) != outputs
        ):
            raise TrainerError(
                "%s was begun with another recipe, other labels, or with foreign sound where there is none now (or "
                "the other way round); give another --out, or remove it to begin anew" % path
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self._enter_stage(state.get("stage", 0))
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.history, self.log = state["epoch"], state["history"], state.get("log", [])
        first = self.stages[0].epochs if self.stage_number else 0
        self._averaged_steps = (self.epoch - first) * self.source.steps
        if self.group.leads:
            _LOGGER.info("continuing %s after epoch %d of %d", path, self.epoch, self.recipe.total_epochs)


def newest_share(step: int, steps: int, recipe: Recipe) -> float:
    """What share of the averaged network the newest step's has; above 0 and at most 1.

    An exponential moving average, until the recipe's `average_tail` begins: from there the plain mean of the tail's
    steps (SWAD: Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", 2021, section 3.2, with a start that
    is fixed beforehand in place of one that validation finds). Before it there is an average at all times, for
    `--best-epoch` and for who looks into a checkpoint.

    What training began with has no part in the moving average: the newest has the share that it has in a mean whose
    weights fall by `ema_decay` a step and sum to one over the steps there were (the bias correction of Kingma and Ba,
    2015, section 3). A plain one would keep decay^steps of the start: a twentieth where 0.99 meets the 300 steps of a
    small data set.

    Args:
        step: how many there were in the stage, this one among them; from 1.
        steps: how many the stage has.
    """
    of_tail = step - (steps - math.ceil(recipe.average_tail * steps))
    if of_tail > 0:
        return 1.0 / of_tail
    return (1.0 - recipe.ema_decay) / (1.0 - recipe.ema_decay**step)


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, share: float) -> None:
    """Bring the averaged weights and batch norm's statistics towards the newest ones by `share`, in place."""
    for slow, fast in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, share)
        else:
            slow.copy_(fast)
