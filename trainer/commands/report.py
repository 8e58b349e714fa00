"""`soundclr-train report`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trainer.commands.options import Commands
from trainer.errors import TrainerError
from trainer.places import check_folder
from trainer.report.page import FIGURES_NAME, PAGE_NAME, write_report
from trainer.report.subject import load_subject


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    report = commands.add_parser(
        "report",
        help="figures with intervals, tables and pictures of evaluated runs, as one HTML page and JSON",
        description="Joins evaluated runs of one recipe: other folds, other seeds, or folders of `crossval`.",
    )
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated run, or a folder of `crossval`")
    report.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="evaluated run of another recipe, compared clip by clip; may be repeated (folds, seeds)",
    )
    report.add_argument(
        "--ensemble",
        action="store_true",
        help="judge each fold by the mean of its seeds' logits, as one model (default: each network for itself)",
    )
    report.add_argument("--against-ensemble", action="store_true", help="the same of the runs of --against")
    report.add_argument("--out", type=Path, help="folder of the page (default: the first RUN)")
    report.add_argument("--name", default="", help="title (default: the runs' folders)")
    report.add_argument("--json", action="store_true", help="print all figures")
    report.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.out:
        check_folder("--out", arguments.out)
    if arguments.against_ensemble and not arguments.against:
        raise TrainerError("--against-ensemble without --against; name the runs to compare with")
    subject = load_subject(arguments.runs, name=arguments.name, ensemble=arguments.ensemble)
    against = load_subject(arguments.against, ensemble=arguments.against_ensemble) if arguments.against else None
    folder = arguments.out or arguments.runs[0]
    figures = write_report(subject, folder, against=against)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return 0
    accuracy = figures["accuracy"]
    print(
        "%s: accuracy %.1f %% (by recording %.1f to %.1f %%), macro F1 %.3f, calibration error %.3f"
        % (
            figures["name"],
            100 * accuracy["value"],
            *(100 * value for value in accuracy["by_source"]),
            figures["macro_f1"]["value"],
            figures["calibration"]["error"]["value"],
        )
    )
    if figures["comparison"]:
        versus = figures["comparison"]
        print(
            "against %s: %+.1f points (paired, by recording %+.1f to %+.1f), McNemar p = %.2g"
            % (
                versus["second"],
                100 * versus["accuracy_difference"],
                *(100 * value for value in versus["by_source"]),
                versus["mcnemar"]["p_value"],
            )
        )
    print("wrote %s and %s" % (folder / PAGE_NAME, folder / FIGURES_NAME))
    return 0
