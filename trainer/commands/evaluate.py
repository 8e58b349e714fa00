"""`soundclr-train evaluate`, and what `crossval` shares with it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from trainer.calibration import measure
from trainer.commands.options import Commands, add_data, progress_bar
from trainer.data.datasets import Clip, Dataset
from trainer.data.waveforms import Waveforms, read_waveforms
from trainer.ensemble import average_predictions
from trainer.errors import TrainerError
from trainer.evaluate import (
    Predictions,
    has_foreign_output,
    join_predictions,
    keep_known_space,
    load_averaged_model,
    predict,
    save_predictions,
)
from trainer.evaluated_runs import check_ensemble, check_once, check_one_kind, load_run, read_judge
from trainer.known_space import open_classifier
from trainer.report.figures import compare_best_epoch
from trainer.run import read_datasets, read_record, select_clips


def add_parser(commands: Commands) -> None:
    """Offer the command."""
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
    evaluate.add_argument(
        "--ensemble",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="evaluated runs of the same fold, whose mean of logits is judged; may be repeated",
    )
    add_data(evaluate)
    evaluate.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    record = read_record(arguments.run)
    data, foreign = read_datasets(record, arguments.data, arguments.foreign)
    members, others = ([load_run(path) for path in paths] for paths in (arguments.ensemble, arguments.others))
    if members or others:  # before listening, which may take long
        judged = read_judge(arguments.run)
        check_ensemble([judged, *(run.judge for run in members)])
        check_one_kind(judged, [run.judge for run in others], hint="expected runs of one recipe, each of other folds")
        check_once([judged, *(run.judge for run in others)], by_seed=False)
    predictions = judge(arguments.run, data, foreign, device=arguments.device)
    if members:
        predictions = average_predictions([predictions, *(run.predictions for run in members)])
    figures = measure(join_predictions([predictions, *(run.predictions for run in others)]), record.labels)
    if not members:
        runs = [load_run(arguments.run), *others]
        known = [int((run.predictions.labels >= 0).sum()) for run in runs]
        figures["best_epoch"] = compare_best_epoch([run.history for run in runs], known)
    json.dump(figures, sys.stdout, indent=1)
    print()
    return 0


def judge(
    run: Path,
    data: Dataset,
    foreign: Dataset | None,
    *,
    device: str,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """Predict what a run never saw and write its `predictions.npz`.

    Args:
        progress: told how many windows are done; None shows a bar on stderr.

    Raises:
        TrainerError: the run is not finished, or held nothing out.
    """
    record = read_record(run)
    selection = select_clips(record, data, foreign)
    if not selection.test:
        raise TrainerError(
            "%s held no fold out: every clip was trained on, and a figure on those would say nothing; "
            "train with --hold-out-fold" % run
        )
    model, recipe, labels = load_averaged_model(run)

    def read(clips: list[Clip]) -> Waveforms:
        return read_waveforms(clips, labels, recipe.frontend.sample_rate_hz)

    if not has_foreign_output(model, labels):
        open_classifier(model, keep_known_space(run, model, recipe, lambda: read(selection.train), device=device))
    clips = [read(chosen) for chosen in (selection.test, selection.foreign_test) if chosen]
    if progress is not None:
        predictions = predict(model, recipe, clips, device=device, progress=progress)
    else:
        with progress_bar() as bar:
            task = bar.add_task("listening", total=None)
            predictions = predict(
                model, recipe, clips, device=device, progress=lambda done: bar.update(task, completed=done)
            )
    save_predictions(predictions, run)
    return predictions
