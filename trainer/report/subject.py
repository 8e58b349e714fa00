"""What a report is about: one or several runs of one kind, their predictions and how these are calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainer.crossval import SETTINGS_NAME, is_done, list_runs
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.ensemble import average_predictions, average_seeds, list_seeds
from trainer.evaluate import Predictions, foreign_scores, join_predictions, name_clips
from trainer.evaluated_runs import Run, check_once, check_one_kind, load_run
from trainer.metrics import fit_temperature, softmax

NESTED = "nested: each fold's temperature from runs that trained neither on it nor on the clips it was fitted to"
CROSS_FITTED = (
    "cross-fitted: each fold's temperature from the other folds' held-out predictions, whose networks trained on this "
    "fold; one number passes, but it is no nested figure"
)
UNCALIBRATED = "none: temperature 1, since a single held-out fold leaves nothing to fit it on"


class Subject(NamedTuple):
    """The known clips that a set of runs judged, a row for each clip and seed, and the foreign ones.

    Where the runs are judged as an ensemble, a clip has one row: the mean of its seeds' logits.
    """

    name: str
    data: str
    labels: list[str]
    runs: list[Run]
    known: Predictions
    seeds: np.ndarray  # int64 [N], of the known rows
    probabilities: np.ndarray  # float64 [N, K], calibrated
    calibration: str  # how
    foreign_scores: dict[str, np.ndarray]  # of trainer.evaluate, by name, each float64 [M]: known rows, then foreign
    foreign: Predictions  # the foreign rows
    networks: np.ndarray  # int64 [M]: which network gave each row of them
    members: int = 1  # networks whose mean of logits judges each clip; 1: each network for itself

    @property
    def n_clips(self) -> int:
        """Different known clips."""
        return len(set(name_clips(self.known).tolist()))

    @property
    def seeds_are_complete(self) -> bool:
        """Did each seed judge every fold?  Only then does the seeds' spread not hold that of the folds."""
        cells = set(zip(self.known.folds.tolist(), self.seeds.tolist(), strict=True))
        return len(cells) == len(np.unique(self.seeds)) * len(np.unique(self.known.folds))


def load_subject(paths: Sequence[Path], *, name: str = "", ensemble: bool = False) -> Subject:
    """Join evaluated runs: other folds, other seeds, one recipe. A folder of `crossval` stands for its runs.

    Args:
        ensemble: judge each fold by the mean of its seeds' logits, rather than each network for itself.

    Raises:
        TrainerError: a run is not evaluated, is of other labels, data sets or outputs or another recipe, or judges
            what another one does; or an ensemble lacks seeds.
    """
    outer, inner = _expand([Path(path) for path in paths])
    runs, inner_runs = [load_run(path) for path in outer], [load_run(path) for path in inner]
    judges = [run.judge for run in runs]
    check_one_kind(judges[0], [*judges[1:], *(run.judge for run in inner_runs)], hint="compare them with --against")
    check_once(judges, by_seed=True)
    name = name or ", ".join(path.name for path in map(Path, paths))
    if not ensemble:
        return _join(name, runs, inner_runs)
    # an inner fold's ensemble may only calibrate that of the same seeds
    complete = set(list_seeds(inner_runs).values()) == set(list_seeds(runs).values())
    subject = _join(name, average_seeds(runs), average_seeds(inner_runs) if complete else [])
    members = len({run.seed for run in runs})
    return subject._replace(name="%s, ensemble of %d seeds" % (name, members), runs=runs, members=members)


def ensemble_of_seeds(subject: Subject) -> Predictions | None:
    """Each fold judged by the mean of its seeds' networks; None where there is one seed, or a fold lacks one."""
    seeds = np.unique(subject.seeds)
    if len(seeds) < 2 or not subject.seeds_are_complete:
        return None
    return average_predictions([subject.known.select(subject.seeds == seed) for seed in seeds])


def _join(name: str, runs: list[Run], inner: list[Run]) -> Subject:
    parts = [(run, run.predictions.select(run.predictions.labels != UNKNOWN_LABEL)) for run in runs]
    parts = [(run, part._replace(names=name_clips(part))) for run, part in parts]
    known = join_predictions([part for _, part in parts])
    seeds = np.concatenate([np.full(len(part.labels), run.seed) for run, part in parts])
    foreign = join_predictions([run.predictions.select(run.predictions.labels == UNKNOWN_LABEL) for run in runs])
    n_labels = len(runs[0].record.labels)
    temperatures, calibration = _fit_temperatures(known, seeds, inner, n_labels)
    return Subject(
        name,
        runs[0].record.data,
        runs[0].record.labels,
        runs,
        known,
        seeds,
        softmax(known.logits[:, :n_labels].astype(np.float64) / temperatures[:, None]),
        calibration,
        foreign_scores(join_predictions([known, foreign]), n_labels),
        foreign,
        _number_networks(runs),
    )


def _number_networks(runs: list[Run]) -> np.ndarray:
    """Which run gave each row: of the known clips, then of the foreign ones.  Shape [M]."""
    is_foreign = [run.predictions.labels == UNKNOWN_LABEL for run in runs]
    known = [np.full(int((~rows).sum()), number) for number, rows in enumerate(is_foreign)]
    return np.concatenate([*known, *(np.full(int(rows.sum()), number) for number, rows in enumerate(is_foreign))])


def _expand(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    outer = [run for path in paths for run in list_runs(path)]
    folders = [path for path in paths if (path / SETTINGS_NAME).is_file()]
    inner = [run for folder in folders for run in sorted(folder.glob("inner-*")) if is_done(run)]
    return outer, inner


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
