"""`soundclr-train data`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.commands.options import Commands, progress_bar
from trainer.data.datasets import list_dataset
from trainer.data.inspection import NOTE, Inspection, inspect, summarise
from trainer.data.own_recordings import write_table
from trainer.places import check_file

_SHOWN = 5  # files listed below a finding


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    data = commands.add_parser(
        "data",
        help="check a data set before it is used; exit status 1 where something is wrong with it",
        description="Reads every file and checks classes, folds, sources, copies, repetition, and whether the length "
        "or the silent end of a clip gives its class away.",
    )
    data.add_argument("data", type=Path, help="UrbanSound8K, ESC-50 (ESC-50#esc10), or own recordings")
    data.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    data.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="CODE",
        help="kind of finding that is known and dealt with: does not make the exit status 1; may be repeated",
    )
    data.add_argument("--write-table", type=Path, metavar="FILE", help="write path, label, fold and source as CSV")
    data.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.write_table:
        check_file("--write-table", arguments.write_table)
    dataset = list_dataset(arguments.data)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(dataset.clips))
        inspection = inspect(dataset, lambda done: bar.update(task, completed=done))
    if arguments.write_table:
        write_table(dataset, arguments.write_table)
    if arguments.json:
        print(json.dumps(summarise(inspection, arguments.accept), indent=1))
    else:
        _print_tables(inspection, arguments.accept)
    return 1 if inspection.wrong(arguments.accept) else 0


def _print_tables(inspection: Inspection, accepted: list[str]) -> None:
    summary = summarise(inspection, accepted)
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    table = Table(title="%s: %d clips of %d sources" % (summary["name"], summary["clips"], summary["sources"]))
    table.add_column("class", no_wrap=True)
    columns = ("clips", "sources", "per fold", "heard, s*", "silent end", "repeating", "full scale")
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in summary["classes"].items():
        folds = " ".join(str(row["by_fold"].get(str(fold), 0)) for fold in inspection.dataset.folds)
        heard = " ".join("%.1f" % value for value in row["heard_s"])
        counts = (row["silent_end"], row["repeating"], row["full_scale"])
        table.add_row(name, str(row["clips"]), str(row["sources"]), folds, heard, *(str(count) for count in counts))
    console.print(table)
    console.print(
        "%.2f h; rates %s; channels %s" % (summary["seconds"] / 3600, summary["rates_hz"], summary["channels"])
    )
    for finding in inspection.findings:
        word = "note" if finding.severity == NOTE else "accepted" if finding.code in accepted else "WRONG"
        console.print("%-8s %s: %s" % (word, finding.code, finding.text), markup=False, highlight=False)
        for name in finding.clips[:_SHOWN] if finding.severity != NOTE else []:
            console.print("           %s" % name, markup=False, highlight=False)
    verdict = "not fit for use as it is" if inspection.wrong(accepted) else "fit for use"
    console.print("%s: %s" % (summary["name"], verdict))
