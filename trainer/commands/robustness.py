"""`soundclr-train robustness`"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from engines.whole_file import write_whole
from trainer.commands.options import Commands, advance, check_seed, progress_bar
from trainer.data.clips import Clip, Dataset
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.listener import Listener, open_listeners
from trainer.places import check_file
from trainer.robustness import build_conditions, measure_robustness, read_noises
from trainer.robustness_figures import Answers, compare_answers, describe_answers, join_answers


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    robustness = commands.add_parser(
        "robustness", help="accuracy of the same clips when quieter, tilted, clicked, echoing, in street noise ..."
    )
    robustness.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="finished runs of one recipe with --hold-out-fold (other folds, other seeds), a folder of `crossval`, or "
        "a bundle",
    )
    robustness.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="runs of another recipe, paired clip by clip; may be repeated (folds, seeds)",
    )
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
    robustness.add_argument(
        "--clips", type=int, default=0, help="at most so many of each run, evenly over sources (default: all)"
    )
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
    data = read_dataset(arguments.data)
    jobs = _choose(arguments, arguments.models, data)
    other_jobs = _choose(arguments, arguments.against, data) if arguments.against else []
    own = _judge(arguments, jobs)
    figures = {**_describe(arguments.models, jobs, data.name, arguments.seed), **describe_answers(own)}
    if other_jobs:
        other = _judge(arguments, other_jobs)
        figures["against"] = {
            **_describe(arguments.against, other_jobs, data.name, arguments.seed),
            **describe_answers(other),
            "paired": compare_answers(own, other),
        }
    text = json.dumps(figures, indent=1)
    if arguments.out:
        write_whole(arguments.out, (text + "\n").encode())
    if arguments.json:
        print(text)
    else:
        _print_table(figures)
        if arguments.against:
            _print_table(figures["against"])
            _print_pairs(figures["against"]["paired"])
    return 0


Job: TypeAlias = tuple[Listener, list[Clip]]


def _choose(arguments: argparse.Namespace, paths: list[Path], data: Dataset) -> list[Job]:
    """Who judges, and what, before any work: one that cannot judge shall not be found after half an hour."""
    listeners = open_listeners(paths, device=arguments.device, threads=max(1, arguments.threads))
    jobs = []
    for listener in listeners:
        chosen = listener.unheard(data, arguments.fold)
        if arguments.clips:
            chosen = choose_evenly(chosen, arguments.clips, seed=arguments.seed)
        jobs.append((listener, chosen))
    return jobs


def _judge(arguments: argparse.Namespace, jobs: list[Job]) -> Answers:
    parts = []
    rate_hz = jobs[0][0].spec.sample_rate_hz  # jobs are of one recipe
    noises = read_noises(arguments.street, rate_hz) if arguments.street else []
    with progress_bar() as bar:
        for listener, chosen in jobs:
            task = bar.add_task(listener.name, total=len(build_conditions(listener, noises)) + 1)
            parts.append(
                measure_robustness(
                    listener,
                    read_waveforms(chosen, listener.labels, rate_hz),
                    noises=noises,
                    seed=arguments.seed,
                    progress=partial(advance, bar, task),
                )
            )
    return join_answers(parts)


def _describe(paths: list[Path], jobs: list[Job], data: str, seed: int) -> dict[str, Any]:
    return {"model": ", ".join(map(str, paths)), "runtime": jobs[0][0].describe, "data": data, "seed": seed}


def choose_evenly(clips: list[Clip], count: int, *, seed: int) -> list[Clip]:
    """At most `count` clips, one of each source in turn, the same for the same seed."""
    rng = np.random.default_rng(seed)
    of_source: dict[str, list[Clip]] = defaultdict(list)
    for i in rng.permutation(len(clips)):
        of_source[clips[i].source_id].append(clips[i])
    turns = [(turn, source, clip) for source, own in of_source.items() for turn, clip in enumerate(own)]
    return [clip for _, _, clip in sorted(turns, key=lambda row: row[0])[:count]]


def _print_table(figures: dict[str, Any]) -> None:
    title = "%s (%s) on %s: %d clips of %d sources"
    table = Table(title=title % tuple(figures[name] for name in ("model", "runtime", "data", "clips", "sources")))
    for column, justify in (("condition", "left"), ("accuracy", "right"), ("lost, points (95 % by source)", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("what exactly")
    for row in figures["conditions"]:
        lost = _points(row["lost"], row["lost_by_source"])
        table.add_row(row["condition"], "%.1f %%" % (100 * row["accuracy"]), lost, row["text"])
    console = _console()
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


def _print_pairs(rows: list[dict[str, Any]]) -> None:
    table = Table(title="paired clip by clip: points by which the first is better (95 % by source)")
    for column in ("condition", "more accurate", "loses less"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    for row in rows:
        lost = _points(row["lost_less"], row["lost_less_by_source"]) if "lost_less" in row else ""
        table.add_row(row["condition"], _points(row["accuracy_more"], row["accuracy_more_by_source"]), lost)
    _console().print(table)


def _points(share: float, interval: list[float]) -> str:
    return "%.1f (%.1f to %.1f)" % (100 * share, *(100 * value for value in interval))


def _console() -> Console:
    return Console(width=None if Console().is_terminal else 150)
