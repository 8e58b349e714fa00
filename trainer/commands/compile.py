"""`soundclr-train compile`"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from engines.bundle import load_bundle
from engines.compile import PRECISION_NAMES, CompileOptions, prepare_engine
from trainer.commands.options import Commands

_DEFAULTS = CompileOptions()


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    compile_ = commands.add_parser("compile", help="build TensorRT's engine of a bundle for this very machine")
    compile_.add_argument("bundle", type=Path, help="folder of the bundle")
    compile_.add_argument(
        "--state-dir", type=Path, default=None, help="where engines are kept (default: ~/.local/state/soundclr-edge)"
    )
    compile_.add_argument(
        "--precision", default=_DEFAULTS.precision, choices=PRECISION_NAMES, help="(default: %(default)s)"
    )
    compile_.add_argument(
        "--workspace-mib", type=int, default=_DEFAULTS.workspace_mib, help="scratch memory (default: %(default)s)"
    )
    compile_.add_argument(
        "--timeout-s", type=float, default=_DEFAULTS.timeout_s, help="give up after this time (default: %(default)g)"
    )
    compile_.add_argument("--again", action="store_true", help="build although an engine is there, or was refused")
    compile_.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "soundclr-edge"
    engine = prepare_engine(
        load_bundle(arguments.bundle),
        arguments.state_dir or state,
        CompileOptions(arguments.precision, arguments.workspace_mib, arguments.timeout_s, arguments.again),
        progress=lambda text: print(text, file=sys.stderr),
    )
    print(engine.path)
    print("%s, %s" % (engine.describe(), "built in %.0f s" % engine.build_s if engine.was_built else "was there"))
    return 0
