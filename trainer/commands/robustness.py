"""`soundclr-train robustness`"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from trainer.commands.options import Commands, check_seed, progress_bar
from trainer.data.clips import Clip
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.listener import open_listener
from trainer.places import check_file
from trainer.robustness import build_conditions, measure_robustness, read_noises


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    robustness = commands.add_parser(
        "robustness", help="accuracy of the same clips when quieter, tilted, clicked, echoing, in street noise ..."
    )
    robustness.add_argument("model", type=Path, help="finished run with --hold-out-fold, or bundle")
    robustness.add_argument("--data", type=Path, required=True, help="data set of the known classes")
    robustness.add_argument(
        "--fold",
        type=int,
        action="append",
        default=[],
        metavar="FOLD",
        help="judge on these folds alone (default: those that the run held out); may be repeated",
    )
    robustness.add_argument(
        "--street",
        type=Path,
        metavar="DIR",
        help="recordings of streets that the model has not heard (default: made up)",
    )
    robustness.add_argument("--clips", type=int, default=0, help="at most so many, evenly over sources (default: all)")
    robustness.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    robustness.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    robustness.add_argument("--json", action="store_true", help="print JSON instead of a table")
    robustness.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.clips < 0:
        raise TrainerError("--clips %d; expected at least 1, or 0 for all" % arguments.clips)
    check_seed(arguments.seed)
    if arguments.out:
        check_file("--out", arguments.out)
    listener = open_listener(arguments.model, device=arguments.device, threads=max(1, arguments.threads))
    data = read_dataset(arguments.data)
    chosen = listener.unheard(data, arguments.fold)
    if arguments.clips:
        chosen = choose_evenly(chosen, arguments.clips, seed=arguments.seed)
    rate_hz = listener.spec.sample_rate_hz
    noises = read_noises(arguments.street, rate_hz) if arguments.street else []
    with progress_bar() as bar:
        task = bar.add_task("listening", total=len(build_conditions(listener, noises)) + 1)
        figures = {
            "model": listener.name,
            "runtime": listener.describe,
            "data": data.name,
            "folds": sorted({clip.fold for clip in chosen}),
            **measure_robustness(
                listener,
                read_waveforms(chosen, listener.labels, rate_hz),
                noises=noises,
                seed=arguments.seed,
                progress=lambda done: bar.update(task, completed=done),
            ),
        }
    text = json.dumps(figures, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    if arguments.json:
        print(text)
    else:
        _print_table(figures)
    return 0


def choose_evenly(clips: list[Clip], count: int, *, seed: int) -> list[Clip]:
    """At most `count` clips, one of each source in turn, the same for the same seed."""
    rng = np.random.default_rng(seed)
    of_source: dict[str, list[Clip]] = defaultdict(list)
    for i in rng.permutation(len(clips)):
        of_source[clips[i].source_id].append(clips[i])
    turns = [(turn, source, clip) for source, own in of_source.items() for turn, clip in enumerate(own)]
    return [clip for _, _, clip in sorted(turns, key=lambda row: row[0])[:count]]


def _print_table(figures: dict[str, Any]) -> None:
    title = "%s (%s) on %s, folds %s: %d clips of %d sources"
    names = ("model", "runtime", "data", "folds", "clips", "sources")
    table = Table(title=title % tuple(figures[name] for name in names))
    for column, justify in (("condition", "left"), ("accuracy", "right"), ("lost, points (95 % by source)", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("what exactly")
    for row in figures["conditions"]:
        lost = "%.1f (%.1f to %.1f)" % (100 * row["lost"], *(100 * value for value in row["lost_by_source"]))
        table.add_row(row["condition"], "%.1f %%" % (100 * row["accuracy"]), lost, row["text"])
    console = Console(width=None if Console().is_terminal else 150)
    console.print(table)
    mixed = figures["mixed"]
    if mixed:
        console.print(
            "two classes mixed at 0 dB: both in the top two in %.1f %% of %d pairs (by source %.1f to %.1f %%); "
            "the best is one of them in %.1f %%"
            % (
                100 * mixed["both_in_top_two"],
                mixed["pairs"],
                *(100 * value for value in mixed["by_source_of_the_first"]),
                100 * mixed["best_is_one_of_them"],
            )
        )
