"""What a report is about: one or several runs of one kind, their predictions and how these are calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.foreignness import foreignness
from trainer.checkpoint import load_checkpoint
from trainer.crossval import SETTINGS_NAME, is_done
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.ensemble import average_predictions
from trainer.errors import TrainerError
from trainer.evaluate import Predictions, join_predictions, load_predictions, name_clips
from trainer.fit import CHECKPOINT_NAME
from trainer.metrics import fit_temperature, softmax
from trainer.run import RunRecord, read_record

NESTED = "nested: each fold's temperature from runs that trained neither on it nor on the clips it was fitted to"
CROSS_FITTED = (
    "cross-fitted: each fold's temperature from the other folds' held-out predictions, whose networks trained on this "
    "fold; one number passes, but it is no nested figure"
)
UNCALIBRATED = "none: temperature 1, since a single held-out fold leaves nothing to fit it on"


class Run(NamedTuple):
    """One evaluated run."""

    path: Path
    record: RunRecord
    recipe: dict[str, Any]
    history: list[dict[str, float]]  # one entry an epoch
    predictions: Predictions

    @property
    def seed(self) -> int:
        """Of its recipe."""
        return int(self.recipe["seed"])


class Subject(NamedTuple):
    """The known clips that a set of runs judged, a row for each clip and seed, and the foreign ones."""

    name: str
    data: str
    labels: list[str]
    runs: list[Run]
    known: Predictions
    seeds: np.ndarray  # int64 [N], of the known rows
    probabilities: np.ndarray  # float64 [N, K], calibrated
    calibration: str  # how
    foreign_scores: np.ndarray  # float64 [M]: known rows, then foreign rows; higher is more foreign
    foreign: Predictions  # the foreign rows

    @property
    def n_clips(self) -> int:
        """Different known clips."""
        return len(set(name_clips(self.known).tolist()))


def load_subject(paths: Sequence[Path], *, name: str = "") -> Subject:
    """Join evaluated runs: other folds, other seeds, one recipe. A folder of `crossval` stands for its runs.

    Raises:
        TrainerError: a run is not evaluated, is of other labels or another recipe, or judges what another one does.
    """
    outer, inner = _expand([Path(path) for path in paths])
    runs = [load_run(path) for path in outer]
    _check_alike(runs)
    parts = [(run, run.predictions.select(run.predictions.labels != UNKNOWN_LABEL)) for run in runs]
    parts = [(run, part._replace(names=name_clips(part))) for run, part in parts]
    known = join_predictions([part for _, part in parts])
    seeds = np.concatenate([np.full(len(part.labels), run.seed) for run, part in parts])
    foreign = join_predictions([run.predictions.select(run.predictions.labels == UNKNOWN_LABEL) for run in runs])
    n_labels = len(runs[0].record.labels)
    temperatures, calibration = _fit_temperatures(known, seeds, [load_run(path) for path in inner], n_labels)
    method = "reject_logit" if known.logits.shape[1] > n_labels else "energy"
    return Subject(
        name or ", ".join(path.name for path in map(Path, paths)),
        runs[0].record.data,
        runs[0].record.labels,
        runs,
        known,
        seeds,
        softmax(known.logits[:, :n_labels].astype(np.float64) / temperatures[:, None]),
        calibration,
        np.concatenate([foreignness(part.logits, method, n_labels) for part in (known, foreign)]),
        foreign,
    )


def load_run(path: Path) -> Run:
    """Read an evaluated run.  Raises TrainerError."""
    record, state = read_record(path), load_checkpoint(path / CHECKPOINT_NAME)
    return Run(path, record, json.loads(state["recipe"]), state.get("history", []), load_predictions(path))


def ensemble_of_seeds(subject: Subject) -> Predictions | None:
    """Each fold judged by the mean of its seeds' networks; None where there is one seed."""
    if len(np.unique(subject.seeds)) < 2:
        return None
    parts = [subject.known.select(subject.seeds == seed) for seed in np.unique(subject.seeds)]
    return average_predictions(parts)


def _expand(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    outer, inner = [], []
    for path in paths:
        if (path / SETTINGS_NAME).is_file():
            outer += sorted(run for run in path.glob("fold-*") if is_done(run))
            inner += sorted(run for run in path.glob("inner-*") if is_done(run))
        else:
            outer.append(path)
    if not outer:
        raise TrainerError("%s holds no evaluated run" % ", ".join(map(str, paths)))
    return outer, inner


def _check_alike(runs: list[Run]) -> None:
    first = runs[0]
    judged: set[tuple[int, int]] = set()
    for run in runs:
        same = {**run.recipe, "seed": 0} == {**first.recipe, "seed": 0} and run.record.labels == first.record.labels
        if not same or run.record.data != first.record.data:
            raise TrainerError(
                "%s was trained with other labels or another recipe than %s; compare them with --against"
                % (run.path, first.path)
            )
        here = {(fold, run.seed) for fold in run.record.hold_out_folds}
        if here & judged:
            raise TrainerError("%s judges fold and seed %s a second time" % (run.path, sorted(here & judged)))
        judged |= here


def _fit_temperatures(known: Predictions, seeds: np.ndarray, inner: list[Run], n_labels: int) -> tuple[np.ndarray, str]:
    """A temperature for each row.  Shape [N]."""
    cells = sorted({(int(fold), int(seed)) for fold, seed in zip(known.folds, seeds, strict=True)})
    nested = {cell: _inner_rows(inner, *cell) for cell in cells}
    temperatures = np.ones(len(seeds))
    folds = {fold for fold, _ in cells}
    complete = all(_covers(nested[cell], folds - {cell[0]}) for cell in cells)
    if len(folds) < 2:
        return temperatures, UNCALIBRATED
    for fold, seed in cells:
        others = known.select((known.folds != fold) & (seeds == seed))
        chosen = nested[fold, seed] if complete else others
        if chosen is None or not len(chosen.labels):
            return np.ones(len(seeds)), UNCALIBRATED  # a seed with a single fold
        rows = (known.folds == fold) & (seeds == seed)
        temperatures[rows] = fit_temperature(chosen.logits[:, :n_labels], chosen.labels)
    return temperatures, NESTED if complete else CROSS_FITTED


def _inner_rows(inner: list[Run], fold: int, seed: int) -> Predictions | None:
    """Predictions of other folds by networks that trained neither on them nor on this fold."""
    parts = []
    for run in inner:
        if run.seed == seed and fold in run.record.hold_out_folds and len(run.record.hold_out_folds) > 1:
            of_others = (run.predictions.labels != UNKNOWN_LABEL) & (run.predictions.folds != fold)
            parts.append(run.predictions.select(of_others))
    return join_predictions(parts) if parts else None


def _covers(rows: Predictions | None, folds: set[int]) -> bool:
    return rows is not None and folds <= set(rows.folds.tolist())
