"""`soundclr-edge compile`"""

import argparse
import sys
from pathlib import Path

from edge.commands.options import Commands, add_config, add_state_dir, optional_config, positive
from edge.exit_status import EXIT_DONE


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    compile_ = commands.add_parser("compile", help="build TensorRT's engine for this device; `run` does so by itself")
    add_config(compile_)
    add_state_dir(compile_)
    compile_.add_argument(
        "--bundle",
        type=Path,
        default=None,
        help="folder of the model, or the name of one that ships (default: the configuration's)",
    )
    compile_.add_argument(
        "--precision",
        default=None,
        choices=["auto", "fp32", "fp16", "int8"],
        help="what to compute in; what fails the self-test falls back to fp32 (default: as configured, else auto)",
    )
    compile_.add_argument(
        "--workspace-mib",
        type=_workspace_mib,
        default=None,
        help="scratch memory (default: the configuration's, else 128)",
    )
    compile_.add_argument(
        "--timeout-s", type=positive, default=1800.0, help="give up after this time (default: %(default)g)"
    )
    compile_.add_argument("--again", action="store_true", help="build although an engine is there, or was refused")
    compile_.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.compile import compile_for_this_device
    from edge.installation import find_service_state_directory
    from engines.bundle import load_bundle
    from engines.compile import CompileOptions

    model = optional_config(arguments.config).model
    engine = compile_for_this_device(
        load_bundle(arguments.bundle or Path(model.bundle)),
        find_service_state_directory(arguments.state_dir),
        CompileOptions(
            arguments.precision or model.precision,
            arguments.workspace_mib or model.workspace_mib,
            arguments.timeout_s,
            arguments.again,
        ),
    )
    how = "built in %.0f s" % engine.build_s if engine.was_built else "was there"
    sys.stdout.write("%s\n%s, %s\n" % (engine.path, engine.describe(), how))
    return EXIT_DONE


def _workspace_mib(text: str) -> int:
    value = int(text)
    if not 16 <= value <= 4096:
        raise argparse.ArgumentTypeError("%s; expected 16 to 4096, and 64 to 256 on a Jetson" % text)
    return value
