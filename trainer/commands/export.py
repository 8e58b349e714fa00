"""`soundclr-train export`"""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.commands.options import Commands
from trainer.crossval import list_runs
from trainer.package import PackageRequest, package_bundle
from trainer.places import check_folder


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    export = commands.add_parser("export", help="hand a run's network to nodes, as a bundle")
    export.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="run",
        help="folder of a finished run; several, of one recipe and other seeds, answer as one network by the mean of "
        "their logits, and each fold's --evaluated runs are then of the same seeds",
    )
    export.add_argument(
        "--evaluated",
        type=Path,
        action="append",
        required=True,
        metavar="RUN",
        help="evaluated run whose predictions set thresholds and figures, or a folder of `crossval`; may be repeated",
    )
    export.add_argument("--name", required=True, help="of the bundle: a-z, 0-9, _ and -")
    export.add_argument("--selftest", type=Path, required=True, help="a real recording for the node's self-test")
    export.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    export.add_argument("--description", required=True, help="one sentence: what the model hears")
    export.add_argument("--licence", required=True, help="of the weights, as the data asks for")
    export.add_argument("--source", action="append", default=[], help="attribution of a data set; may be repeated")
    export.add_argument(
        "--half-weights",
        action="store_true",
        help="store weights in half precision, half the bytes; they are computed with in single",
    )
    export.add_argument("--limit", action="append", default=[], help="what users must know; may be repeated")
    export.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    check_folder("--out", arguments.out)
    bundle = package_bundle(
        PackageRequest(
            arguments.runs,
            [run for path in arguments.evaluated for run in list_runs(path)],
            arguments.name,
            arguments.selftest,
            arguments.out,
            arguments.description,
            arguments.licence,
            arguments.source,
            arguments.limit,
            arguments.half_weights,
        )
    )
    print("bundle %s in %s: %d labels, self-test passed" % (bundle.id, bundle.path, len(bundle.labels)))
    return 0
