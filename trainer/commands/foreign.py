"""`soundclr-train foreign`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trainer.commands.options import Commands, check_seed, progress_bar
from trainer.data.datasets import read_dataset
from trainer.foreign_judgement import choose_foreign, judge_foreign
from trainer.listener import open_listener


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    foreign = commands.add_parser(
        "foreign",
        help="how well foreign sound is told from known sound, at one bandwidth and without silent ends",
        description="Known clips that the model has not heard against clips of another data set, of categories that it "
        "met in no role. Both are low-passed alike, silence is filled with noise, shared sources are left out. For "
        "classes left out inside one data set use `fit` or `crossval` with --leave-out-class, then `report`.",
    )
    foreign.add_argument("model", type=Path, help="finished run, or bundle")
    foreign.add_argument("--data", type=Path, required=True, help="data set of the known classes")
    foreign.add_argument("--foreign", type=Path, required=True, help="data set of foreign sound")
    foreign.add_argument(
        "--foreign-skip",
        action="append",
        default=[],
        metavar="CATEGORY",
        help="foreign category that is a known class under another name; may be repeated",
    )
    foreign.add_argument("--fold", type=int, action="append", default=[], help="of --data (default: the run's own)")
    foreign.add_argument("--as-recorded", action="store_true", help="leave silence and clip ends as they are")
    foreign.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    foreign.add_argument("--json", action="store_true", help="print JSON")
    foreign.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    check_seed(arguments.seed)
    listener = open_listener(arguments.model, device=arguments.device, threads=max(1, arguments.threads))
    data, foreign = read_dataset(arguments.data), read_dataset(arguments.foreign)
    test = choose_foreign(listener, data, foreign, folds=arguments.fold, skip=arguments.foreign_skip)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(test.known) + len(test.foreign))
        figures = judge_foreign(
            listener,
            test,
            fill_silence=not arguments.as_recorded,
            seed=arguments.seed,
            progress=lambda done: bar.update(task, completed=done),
        )
    whence = {"model": listener.name, "runtime": listener.describe, "data": data.name, "foreign": foreign.name}
    figures = {**whence, **figures}
    print(json.dumps(figures, indent=1) if arguments.json else _describe(figures))
    return 0


def _describe(figures: dict[str, Any]) -> str:
    auroc, fpr95 = figures["auroc"], figures["fpr95"]
    lines = [
        "%s: %d foreign clips (%d sources) of %s against %d known clips (%d sources) of %s, below %.0f Hz"
        % tuple(
            figures[name]
            for name in (
                "model",
                "foreign_clips",
                "foreign_sources",
                "foreign",
                "known_clips",
                "known_sources",
                "data",
                "band_limit_hz",
            )
        ),
        "AUROC %.3f (by source %.3f to %.3f)" % (auroc["value"], *auroc["by_source"]),
        "%.1f %% pass where 95 %% of the known do (by source %.1f to %.1f %%)"
        % (100 * fpr95["value"], *(100 * value for value in fpr95["by_source"])),
    ]
    lines += ["  %-24s AUROC %.3f" % item for item in figures["auroc_by_category"].items()]
    lines += ["  left out: %d clips, %s" % (count, reason) for reason, count in figures["left_out"].items()]
    return "\n".join(lines)
