"""`soundclr-train foreign`"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from trainer.commands.options import Commands, advance, check_seed, progress_bar
from trainer.data.datasets import read_dataset
from trainer.foreign_judgement import choose_alike, describe_judged, judge_foreign
from trainer.listener import open_listeners


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    foreign = commands.add_parser(
        "foreign",
        help="how well foreign sound is told from known sound, at one bandwidth and without silent ends",
        description="Known clips that the model has not heard against clips of another data set, of categories that it "
        "met in no role. Both are low-passed alike, silence is filled with noise, shared sources are left out. For "
        "classes left out inside one data set use `fit` or `crossval` with --leave-out-class, then `report`.",
    )
    foreign.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="finished runs of one recipe (other folds, other seeds), a folder of `crossval`, or a bundle",
    )
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
    foreign.add_argument(
        "--neighbours",
        action="store_true",
        help="judge the distances from the nearest trained clips and from their space too (runs alone)",
    )
    foreign.add_argument("--as-recorded", action="store_true", help="leave silence and clip ends as they are")
    foreign.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    foreign.add_argument("--json", action="store_true", help="print JSON")
    foreign.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    check_seed(arguments.seed)
    listeners = open_listeners(arguments.models, device=arguments.device, threads=max(1, arguments.threads))
    data, foreign = read_dataset(arguments.data), read_dataset(arguments.foreign)
    parts, fill_silence = [], not arguments.as_recorded
    tests = choose_alike(listeners, data, foreign, folds=arguments.fold, skip=arguments.foreign_skip)
    banks = [listener.trained_on(data) if arguments.neighbours else [] for listener in listeners]
    with progress_bar() as bar:
        for listener, test, bank in zip(listeners, tests, banks, strict=True):
            task = bar.add_task(listener.name, total=len(test.known) + len(test.foreign))
            parts.append(
                judge_foreign(
                    listener,
                    test,
                    fill_silence=fill_silence,
                    bank=bank,
                    seed=arguments.seed,
                    progress=partial(advance, bar, task),
                )
            )
    figures = {
        "model": ", ".join(map(str, arguments.models)),
        "runtime": listeners[0].describe,
        "data": data.name,
        "foreign": foreign.name,
        **describe_judged(parts, fill_silence=fill_silence),
    }
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
        "%s: AUROC %.3f (by source %.3f to %.3f)%s"
        % (
            figures["score"].replace("_", " "),
            auroc["value"],
            *auroc["by_source"],
            ", mean of %d networks" % figures["runs"] if figures["runs"] > 1 else "",
        ),
        "%.1f %% pass where 95 %% of the known do (by source %.1f to %.1f %%)"
        % (100 * fpr95["value"], *(100 * value for value in fpr95["by_source"])),
    ]
    lines += ["  %-24s AUROC %.3f" % item for item in figures["auroc_by_category"].items()]
    lines += [
        "%s instead: AUROC %.3f (by source %.3f to %.3f)"
        % (name, other["auroc"]["value"], *other["auroc"]["by_source"])
        for name, other in figures["other_scores"].items()
    ]
    lines += ["  left out: %d clips, %s" % (count, reason) for reason, count in figures["left_out"].items()]
    return "\n".join(lines)
