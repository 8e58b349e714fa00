"""What can go wrong in a training run, in clear words."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trainer.data.clips import Clip
from trainer.data.waveforms import Waveforms
from trainer.errors import TrainerError
from trainer.run import RunRecord, Selection

_LOGGER = logging.getLogger(__name__)


@contextmanager
def explain_full_memory(device: torch.device, rows: int) -> Iterator[None]:
    """Say what to lower where memory is full.

    Args:
        rows: of a batch.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainerError(
            "memory of %s is full at batches of %d rows; lower --batch, or take a smaller --backbone" % (device, rows)
        ) from error


def check_finite(loss: float, *, epoch: int, step: int, steps: int, learning_rate: float, temperature: float) -> None:
    """Stop a run whose loss is no number.

    Args:
        epoch: finished ones.
        step: of `steps`, in the epoch after those.
    """
    if math.isfinite(loss):
        return
    raise TrainerError(
        "the loss became %s in epoch %d, by step %d of %d (%s); lower learning_rate (%g) or raise temperature (%g)"
        % (loss, epoch + 1, step, steps, _name_kept(epoch), learning_rate, temperature)
    )


def check_weights(network: nn.Module, *, epoch: int, learning_rate: float) -> None:
    """Stop a run whose last step has destroyed the weights: the loss tells it one step late, or never.

    Args:
        epoch: finished ones.
    """
    if all(bool(torch.isfinite(values).all()) for values in network.state_dict().values()):
        return
    raise TrainerError(
        "the weights are no numbers at the end of epoch %d (%s); lower learning_rate (%g)"
        % (epoch + 1, _name_kept(epoch), learning_rate)
    )


def check_split(record: RunRecord, selection: Selection) -> None:
    """Refuse a split that leaves a class nothing to learn from.

    Raises:
        TrainerError: no class is left, or no clip of a class in the training folds.
    """
    if not record.labels:
        raise TrainerError("every class of %s is left out; expected at least one to train on" % record.data)
    absent = _list_absent(record.labels, selection.train)
    if absent:
        held_out = _list_folds(record)
        raise TrainerError(
            "no training clip of class %s%s; expected at least one of each: hold another fold out, add recordings, or "
            "leave the class out with --leave-out-class"
            % (absent, " once fold %s is held out" % held_out if held_out else "")
        )


def warn_of_absence(record: RunRecord, selection: Selection, *, expects_foreign: bool) -> None:
    """Tell of figures, or of an output, that a run will lack.

    Args:
        expects_foreign: foreign sound is given, to be trained on.
    """
    absent = _list_absent(record.labels, selection.test) if selection.test else ""
    if absent:
        _LOGGER.warning(
            "fold %s holds no clip of class %s: this run's held-out figures say nothing of it; hold another fold out, "
            "or see `soundclr-train data`",
            _list_folds(record),
            absent,
        )
    if expects_foreign and not selection.foreign_train:
        _LOGGER.warning(
            "no clip of %s is left to train on (skipped, held out, reserved, or of the known clips' sources): the "
            "network gets no output of foreign sound",
            record.foreign_data,
        )


def check_classes(known: Waveforms, labels: list[str]) -> None:
    """Refuse classes without a clip to train on."""
    absent = [label for i, label in enumerate(labels) if not (known.labels == i).any()]
    if absent:
        raise TrainerError(
            "no training clip of class %s; expected at least one of each: leave another fold out, or "
            "drop the class" % ", ".join(absent)
        )


def _list_absent(labels: list[str], clips: list[Clip]) -> str:
    there = {clip.category for clip in clips}
    return ", ".join(label for label in labels if label not in there)


def _list_folds(record: RunRecord) -> str:
    return ", ".join(map(str, record.hold_out_folds))


def _name_kept(epoch: int) -> str:
    return "the checkpoint of epoch %d stays" % epoch if epoch else "no epoch was finished yet"
