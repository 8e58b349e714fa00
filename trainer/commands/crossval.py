"""`soundclr-train crossval`"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from trainer.calibration import measure
from trainer.commands.evaluate import judge
from trainer.commands.fit import train
from trainer.commands.options import Commands, add_data, read_numbers
from trainer.commands.run_options import (
    RUNS_LEFT,
    add_recipe,
    add_roles,
    build_recipe,
    build_record,
    narrow_teachers,
    read_data,
)
from trainer.crossval import Job, describe_settings, is_done, plan_jobs, run_jobs, write_figures
from trainer.errors import TrainerError
from trainer.hardware import check_workers
from trainer.places import check_folder
from trainer.recipe import recipe_to_mapping
from trainer.report.figures import compute_figures
from trainer.report.subject import load_subject
from trainer.run import select_clips
from trainer.training_faults import check_split


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    crossval = commands.add_parser(
        "crossval",
        help="train and judge a run for each fold and seed; goes on where it was interrupted",
        description="Finished runs are skipped, a begun one is continued. --nested adds the runs that an unbiased "
        "temperature needs: one for each pair of folds.",
    )
    add_data(crossval)
    crossval.add_argument("--out", type=Path, required=True, help="folder of all runs")
    crossval.add_argument("--seeds", type=read_numbers, default=[0], metavar="0,1,2", help="(default: 0)")
    crossval.add_argument("--folds", type=read_numbers, default=[], metavar="1,2,3", help="(default: all)")
    crossval.add_argument("--nested", action="store_true", help="calibrate on inner folds: more runs")
    crossval.add_argument("--json", action="store_true", help="print all joint figures")
    add_roles(crossval)
    add_recipe(crossval)
    crossval.set_defaults(execute=execute, describe_left=lambda arguments: RUNS_LEFT)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainerError(
            "crossval trains each run in one process; start it several times with the same --out and other --folds or "
            "--seeds, or train the runs by torchrun with fit"
        )
    data, foreign = read_data(arguments)
    check_folder("--out", arguments.out)
    check_workers(arguments.workers)
    recipes = {seed: build_recipe(arguments, seed=seed) for seed in arguments.seeds}  # refused now, not after hours
    jobs = plan_jobs(arguments.folds or data.folds, arguments.seeds, nested=arguments.nested)

    def train_and_evaluate(job: Job, folder: Path) -> dict[str, Any]:
        own = narrow_teachers(arguments, data, foreign, job.hold_out_folds)
        record = build_record(own, data, foreign, job.hold_out_folds)
        train(record, recipes[job.seed], data, foreign, folder, own)
        return measure(judge(folder, data, foreign, device=arguments.device), record.labels)

    recipe = recipe_to_mapping(build_recipe(arguments, seed=0))
    record = build_record(arguments, data, foreign, [])
    for job in jobs:  # each split refused now, not after hours of the others
        own_record = record._replace(hold_out_folds=job.hold_out_folds)
        check_split(own_record, select_clips(own_record, data, foreign))
    settings = describe_settings(data, foreign, recipe, record.roles)
    if record.weights:
        settings["weights"] = record.weights
    run_jobs(jobs, arguments.out, settings, train_and_evaluate, _tell)
    if not any(is_done(arguments.out / job.folder) for job in jobs):
        raise TrainerError("all runs of %s are being made by other processes; ask for the figures then" % arguments.out)
    figures = compute_figures(load_subject([arguments.out]))
    write_figures(arguments.out, figures)
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        _print_summary(figures)
    return 0


def _print_summary(figures: dict[str, Any]) -> None:
    accuracy, calibration = figures["accuracy"], figures["calibration"]
    spread = figures["accuracy_sd_over_seeds"]
    print(
        "%d clips of %d recordings, folds %s, seeds %s: accuracy %.1f %%%s, by recording %.1f to %.1f %%"
        % (
            figures["clips"],
            figures["sources"],
            figures["folds"],
            figures["seeds"],
            100 * accuracy["value"],
            "" if spread is None else " (standard deviation over seeds %.1f)" % (100 * spread),
            *(100 * value for value in accuracy["by_source"]),
        )
    )
    print("macro F1 %.3f; by fold %s" % (figures["macro_f1"]["value"], _listed(figures["accuracy_by_fold"])))
    print("calibration error %.3f, %s" % (calibration["error"]["value"], calibration["method"]))
    if figures["ensemble_of_seeds"]:
        print("ensemble of seeds: %.1f %%" % (100 * figures["ensemble_of_seeds"]["accuracy"]))
    if figures["foreign"]:
        print("foreign sound: AUROC %.3f" % figures["foreign"]["auroc"]["value"])


def _listed(by: dict[str, float]) -> str:
    return ", ".join("%s: %.1f %%" % (name, 100 * value) for name, value in by.items())


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
