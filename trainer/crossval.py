"""Cross-validation over official folds and seeds: which runs there are, what is done and what is left.

An outer run leaves one fold out and is judged on it. Numbers that are fitted after training (temperature, thresholds)
must not come from the fold that judges them, nor from a network that trained on it:

- Held-out predictions of the other outer runs are not inner ones: the network that judged fold B trained on fold A's
  clips and labels. A temperature fitted on B and used on A has seen A through that network. One number can carry
  little, but the figure is not nested; it is called cross-fitted.
- A nested figure needs networks that saw neither fold. One network that leaves out A and B gives inner predictions of
  B for A and of A for B, so K folds need K (K - 1) / 2 further runs: 3 for three folds, 10 for five, 45 for ten.
- Keeping a part of the training sources back inside each outer run would cost no run but training data, in every
  outer run: on small data sets that lowers the very figure that is to be measured.

`--nested` trains those further runs; without it figures are cross-fitted and say so.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engines.whole_file import write_whole
from trainer.data.clips import digest_dataset
from trainer.data.datasets import Dataset
from trainer.errors import TrainerError
from trainer.evaluate import PREDICTIONS_NAME
from trainer.folder_lock import hold
from trainer.recipe import Augmentation, Recipe

SETTINGS_NAME = "crossval.json"
RESULT_NAME = "result.json"
_LATER = ("lr_floor", "average_tail")  # fields of Recipe that came after the first results
_LATER_AUGMENTATION = ("click_p",)  # and of Augmentation


class Job(NamedTuple):
    """One run of a cross-validation."""

    folder: str
    hold_out_folds: list[int]
    seed: int


def plan_jobs(folds: Sequence[int], seeds: Sequence[int], *, nested: bool) -> list[Job]:
    """All runs: outer ones first, seed by seed, so that a first figure comes early.

    Raises:
        TrainerError: no fold, or for nested ones fewer than three; a fold or seed named twice.
    """
    least = 3 if nested else 1
    if len(set(folds)) < least or len(set(folds)) != len(folds) or not seeds or len(set(seeds)) != len(seeds):
        raise TrainerError(
            "folds %s and seeds %s; expected at least %d fold%s and one seed, each once"
            % (list(folds), list(seeds), least, "s (a nested run leaves two out and needs a third)" if nested else "")
        )
    jobs = [Job("fold-%d-seed-%d" % (fold, seed), [fold], seed) for seed in seeds for fold in sorted(folds)]
    if nested:
        jobs += [
            Job("inner-%d-%d-seed-%d" % (first, second, seed), [first, second], seed)
            for seed in seeds
            for first, second in itertools.combinations(sorted(folds), 2)
        ]
    return jobs


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    settings: dict[str, Any],
    train_and_evaluate: Callable[[Job, Path], dict[str, Any]],
    tell: Callable[[str], None],
) -> None:
    """Do what is not done yet. Killed at any time, the same call goes on: a finished run is skipped, a begun one is
    continued from its last checkpoint.

    Args:
        settings: everything that shapes the runs but fold and seed; a folder that was begun with others is refused.
        train_and_evaluate: trains a run in a folder, writes its predictions there and returns its figures.
        tell: told in a line what is being done.

    Raises:
        TrainerError: the folder holds a cross-validation with other settings.
    """
    write_settings(folder, settings)
    for number, job in enumerate(jobs, start=1):
        target = folder / job.folder
        if is_done(target):
            tell("%d/%d %s: done" % (number, len(jobs), job.folder))
            continue
        with hold(target) as held:
            if not held:
                tell("%d/%d %s: another process is at it" % (number, len(jobs), job.folder))
                continue
            tell("%d/%d %s" % (number, len(jobs), job.folder))
            figures = train_and_evaluate(job, target)
            result = {"job": job._asdict(), "configuration": digest_settings(settings), "figures": figures}
            _write(target / RESULT_NAME, result)  # last: its presence says that the run is done


def list_runs(path: Path) -> list[Path]:
    """The evaluated runs of a folder of `crossval`, a fold held out in each; any other folder stands for itself.

    Raises:
        TrainerError: a folder of `crossval` without an evaluated run.
    """
    if not (path / SETTINGS_NAME).is_file():
        return [path]
    runs = sorted(run for run in path.glob("fold-*") if is_done(run))
    if not runs:
        raise TrainerError("%s holds no evaluated run; `soundclr-train crossval --out` it first" % path)
    return runs


def is_done(folder: Path) -> bool:
    """Is this run trained and judged?"""
    return (folder / RESULT_NAME).is_file() and (folder / PREDICTIONS_NAME).is_file()


def describe_settings(
    data: Dataset, foreign: Dataset | None, recipe: dict[str, Any], roles: dict[str, Any]
) -> dict[str, Any]:
    """Everything that shapes the runs but fold and seed, as JSON values.

    A field that came after the first results is told only where it is not at its default, which is how they were made.
    """
    recipe = _leave_out_defaults(recipe, _LATER, Recipe._field_defaults)
    if "augmentation" in recipe:
        augmentation = _leave_out_defaults(recipe["augmentation"], _LATER_AUGMENTATION, Augmentation._field_defaults)
        recipe = {**recipe, "augmentation": augmentation}
    return {
        "data": {"name": data.name, "clips": len(data.clips), "digest": digest_dataset(data)},
        "foreign": None if foreign is None else {"name": foreign.name, "digest": digest_dataset(foreign)},
        "recipe": {**recipe, "seed": None},
        "roles": roles,
    }


def _leave_out_defaults(values: dict[str, Any], later: Sequence[str], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in later or value != defaults[name]}


def digest_settings(settings: dict[str, Any]) -> str:
    """The hash by which a result names its configuration."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8")).hexdigest()


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write `crossval.json`, or check that the one there says the same.  Raises TrainerError."""
    path = folder / SETTINGS_NAME
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        given = _read_settings(folder)
        if given != settings:
            differing = sorted(name for name in {**given, **settings} if given.get(name) != settings.get(name))
            raise TrainerError(
                "%s holds a cross-validation with other settings (%s); give another --out"
                % (folder, ", ".join(differing))
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, {"settings": settings, "configuration": digest_settings(settings)})


def _read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a cross-validation; empty where its file tells none.  Raises TrainerError."""
    path = folder / SETTINGS_NAME
    try:
        settings = json.loads(path.read_text(encoding="utf-8")).get("settings")
    except (OSError, ValueError, AttributeError) as error:
        raise TrainerError("%s is damaged (%s); remove it to go on" % (path, error)) from error
    return settings if isinstance(settings, dict) else {}


def write_figures(folder: Path, figures: dict[str, Any]) -> None:
    """Put the joint figures into `crossval.json`."""
    path = folder / SETTINGS_NAME
    _write(path, {**json.loads(path.read_text(encoding="utf-8")), "figures": figures})


def _write(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())
