"""`soundclr-train fit`, and what `crossval` shares with it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.commands.options import Commands, add_data, progress_bar
from trainer.commands.run_options import add_recipe, add_roles, build_recipe, build_record, read_data
from trainer.data.datasets import Dataset
from trainer.data.waveforms import read_waveforms
from trainer.distillation import Teachers
from trainer.errors import TrainerError
from trainer.evaluate import count_right, keep_known_space, load_averaged_model
from trainer.fit import CHECKPOINT_NAME, Fit, Progress
from trainer.folder_lock import hold
from trainer.hardware import check_workers
from trainer.model import SoundNet
from trainer.parallel import ALONE, Group, join_group
from trainer.recipe import Recipe, check_recipe
from trainer.run import RunRecord, Selection, select_clips, write_record
from trainer.run_log import open_tensorboard
from trainer.training_faults import check_split, warn_of_absence
from trainer.weights import check_weights_file


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    fit = commands.add_parser("fit", help="train one network; continues a run that was interrupted")
    add_data(fit)
    fit.add_argument("--out", type=Path, required=True, help="folder of the run")
    fit.add_argument(
        "--hold-out-fold",
        type=int,
        action="append",
        default=[],
        metavar="FOLD",
        help="fold that is never trained on (default: none); may be repeated",
    )
    add_roles(fit)
    add_recipe(fit)
    fit.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    fit.set_defaults(execute=execute, describe_left=describe_left)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    data, foreign = read_data(arguments)
    record = build_record(arguments, data, foreign, arguments.hold_out_fold)
    recipe = build_recipe(arguments, seed=arguments.seed)
    with join_group(arguments.device) as (group, arguments.device), _hold_alone(arguments.out, group):
        n_clips = train(record, recipe, data, foreign, arguments.out, arguments, group=group)
        if group.leads:
            print("trained %d epochs on %d clips; checkpoint in %s" % (recipe.total_epochs, n_clips, arguments.out))
    return 0


def describe_left(arguments: argparse.Namespace) -> str:
    """What an interrupted run leaves behind."""
    checkpoint = arguments.out / CHECKPOINT_NAME
    if checkpoint.is_file():
        return "the same command goes on after the last whole epoch, from %s" % checkpoint
    return "no epoch was finished yet, so there is no checkpoint: the same command begins again"


@contextmanager
def _hold_alone(folder: Path, group: Group) -> Iterator[None]:
    """Keep another `fit` out of the folder: both would write one checkpoint.  Raises TrainerError: one is at it."""
    if not group.leads:
        yield
        return
    with hold(folder) as held:
        if not held:
            raise TrainerError("%s is being worked on by another process; wait for it, or give another --out" % folder)
        yield


def train(
    record: RunRecord,
    recipe: Recipe,
    data: Dataset,
    foreign: Dataset | None,
    folder: Path,
    arguments: argparse.Namespace,
    *,
    group: Group = ALONE,
    progress: Progress | None = None,
) -> int:
    """Train one run, or what is left of it.  Returns how many clips it trains on.

    Args:
        arguments: `weights`, `workers`, `device`, `teacher`, `best_epoch` and `tensorboard` are read.
        progress: told of each step; None shows a bar on stderr.

    Raises:
        TrainerError: among others, the recipe cannot be trained by, a class has no training clip, or a teacher has
            heard what this run holds out.
    """
    check_recipe(recipe)
    check_workers(arguments.workers)
    selection = select_clips(record, data, foreign)
    check_split(record, selection)
    if group.leads:
        warn_of_absence(record, selection, expects_foreign=foreign is not None and recipe.foreign_batch > 0)
    if arguments.weights is not None:
        check_weights_file(arguments.weights, record)
    rate_hz = recipe.frontend.sample_rate_hz
    foreign_train = selection.foreign_train if recipe.foreign_batch else []
    n_outputs = len(record.labels) + bool(foreign_train)
    teachers = Teachers(arguments.teacher, record, recipe, n_outputs, arguments.device) if arguments.teacher else None
    if group.leads:
        write_record(record, folder)
    group.wait()
    known = read_waveforms(selection.train, record.labels, rate_hz)
    fit = Fit(
        known,
        read_waveforms(foreign_train, record.labels, rate_hz) if foreign_train else None,
        record.labels,
        recipe,
        folder,
        weights=arguments.weights,
        device=arguments.device,
        workers=count_workers(arguments),
        group=group,
        teachers=teachers,
        record=record._asdict(),
    )
    judge = _open_judge(selection, record, recipe, arguments) if arguments.best_epoch else None
    with open_tensorboard(folder if arguments.tensorboard and group.leads else None, fit.epoch) as follow:
        if progress is not None:
            fit.run(progress, judge=judge, follow=follow)
        else:
            with progress_bar() as bar:
                bar.disable = not group.leads
                steps = fit.source.steps
                task = bar.add_task("", total=recipe.total_epochs * steps, completed=fit.epoch * steps)
                fit.run(
                    lambda epoch, step, means: bar.update(
                        task, completed=epoch * steps + step, description=describe_progress(epoch, recipe, means)
                    ),
                    judge=judge,
                    follow=follow,
                )
    if group.leads and not foreign_train:
        keep_known_space(folder, load_averaged_model(folder)[0], recipe, lambda: known, device=arguments.device)
    return len(known)


def describe_progress(epoch: int, recipe: Recipe, means: dict[str, float]) -> str:
    """Where a run is: the epoch (from 0), its loss and its accuracy so far."""
    kind = "accuracy" if "accuracy" in means else "neighbour_accuracy"
    return "epoch %d/%d  loss %.3f  %s %.3f" % (
        epoch + 1,
        recipe.total_epochs,
        means["loss"],
        kind.replace("_", " "),
        means[kind],
    )


def _open_judge(
    selection: Selection, record: RunRecord, recipe: Recipe, arguments: argparse.Namespace
) -> Callable[[SoundNet], float]:
    if not selection.test:
        raise TrainerError("--best-epoch judges the held-out fold, and none is held out; name one, or leave it out")
    clips = read_waveforms(selection.test, record.labels, recipe.frontend.sample_rate_hz)
    n_labels = len(record.labels)
    return lambda network: count_right(network, recipe, clips, n_labels, device=arguments.device) / len(clips)


def count_workers(arguments: argparse.Namespace) -> int:
    """How many processes make batches ahead."""
    if arguments.workers is not None:
        return int(arguments.workers)
    return 0 if torch.device(arguments.device).type == "cpu" else min(8, os.cpu_count() or 1)
