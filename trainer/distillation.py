"""Distillation: a small network learns the soft answers of others, none of which has heard what will judge it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.checkpoint import load_checkpoint
from trainer.errors import TrainerError
from trainer.evaluate import load_averaged_model
from trainer.fit import CHECKPOINT_NAME
from trainer.frontend import LogMel
from trainer.recipe import Recipe
from trainer.run import RunRecord, list_heard, read_record, record_from_json


class Teachers:
    """Finished runs that answer together, each by its own front end, on the waveforms that the student is given.

    Args:
        runs: folders of finished runs.
        student: the record of the run that learns from them.
        recipe: the student's; rate and temperature are read.
        n_outputs: of the student.

    Raises:
        TrainerError: a teacher has heard what the student holds out, knows other labels, or takes sound at another
            rate.
    """

    def __init__(self, runs: Sequence[Path], student: RunRecord, recipe: Recipe, n_outputs: int, device: str) -> None:
        self._temperature = recipe.distil_temperature
        self._members = []
        for run in runs:
            check_teacher(run, student)
            model, own, labels = load_averaged_model(run)
            outputs = len(model.classifier.weight)
            if labels != student.labels or outputs != n_outputs:
                raise TrainerError(
                    "teacher %s answers with %d outputs for %s; the student has %d for %s: expected the same, foreign "
                    "sound included" % (run, outputs, labels, n_outputs, student.labels)
                )
            if own.frontend.sample_rate_hz != recipe.frontend.sample_rate_hz:
                raise TrainerError(
                    "teacher %s takes sound at %d Hz, the student at %d; expected the same rate"
                    % (run, own.frontend.sample_rate_hz, recipe.frontend.sample_rate_hz)
                )
            self._members.append((model.to(device).requires_grad_(False), LogMel(own.frontend).to(device)))

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """The members' mean of softened probabilities.  [B, window_samples] -> [B, outputs]."""
        answers = []
        for model, frontend in self._members:
            network_input = frontend(samples).contiguous(memory_format=torch.channels_last)
            logits = model.classify(model.embed(network_input)).float()
            answers.append((logits / self._temperature).softmax(dim=1))
        return torch.stack(answers).mean(dim=0)


def check_teacher(run: Path, student: RunRecord) -> None:
    """Has this run heard anything that the student is to be judged on?  By its record, in folder and checkpoint.

    Raises:
        TrainerError: it has; or its two records differ.
    """
    record = read_record(run)
    checkpoint = run / CHECKPOINT_NAME
    kept = record_from_json(load_checkpoint(checkpoint).get("record", "null"), checkpoint)
    if kept not in (None, record):
        raise TrainerError("teacher %s: run.json and checkpoint tell of different runs; train it again" % run)
    if record.data != student.data:
        raise TrainerError("teacher %s was trained on %s; expected %s" % (run, record.data, student.data))
    heard = list_heard(record, student)
    if heard:
        raise TrainerError(
            "teacher %s was trained on what this run holds out (%s): its answers would carry the test into training; "
            "expected teachers that held out the same" % (run, ", ".join(heard))
        )


def teachers_of(runs: Sequence[Path], student: RunRecord) -> list[Path]:
    """Those runs that may teach this student, of many that held out other folds.

    Raises:
        TrainerError: none may; with the first one's reason.
    """
    fit, reasons = [], []
    for run in runs:
        try:
            check_teacher(run, student)
            fit.append(run)
        except TrainerError as error:
            reasons.append(str(error))
    if not fit:
        raise TrainerError(reasons[0] if reasons else "no teacher; name some with --teacher RUN")
    return fit


def name_teachers(runs: Sequence[Path]) -> tuple[str, ...]:
    """Each run's name with the digest of its checkpoint.  Raises TrainerError where one has none."""
    named = []
    for run in runs:
        try:
            digest = hashlib.sha256((run / CHECKPOINT_NAME).read_bytes()).hexdigest()
        except OSError as error:
            raise TrainerError(
                "teacher %s is no run: its %s cannot be read (%s)" % (run, CHECKPOINT_NAME, error)
            ) from error
        named.append("%s@%s" % (run.name, digest[:16]))
    return tuple(named)
