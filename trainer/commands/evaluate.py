"""`soundclr-train evaluate`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from trainer.calibration import measure
from trainer.commands.options import Commands, add_data, progress_bar
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.evaluate import join_predictions, load_averaged_model, load_predictions, predict, save_predictions
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
    add_data(evaluate)
    evaluate.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
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
    with progress_bar() as bar:
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
    return 0
