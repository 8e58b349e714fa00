"""`soundclr-edge bench`"""

import argparse
import sys
from pathlib import Path

from edge.commands.options import Commands, add_config, add_state_dir, optional_config, positive
from edge.exit_status import EXIT_DONE


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    bench = commands.add_parser("bench", help="measure what hearing costs on this machine, stage by stage")
    bench.add_argument(
        "--bundle",
        type=Path,
        default=None,
        help="folder of the model, or the name of one that ships (default: the configuration's)",
    )
    bench.add_argument(
        "--seconds", type=positive, default=300.0, help="of sound, heard as fast as it goes (default: %(default)g)"
    )
    bench.add_argument("--json", action="store_true", help="one JSON object for machines")
    add_config(bench)
    add_state_dir(bench)
    bench.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.bench import run_bench
    from edge.bench_table import write_bench
    from edge.installation import find_service_state_directory
    from engines.bundle import load_bundle

    config = optional_config(arguments.config)
    bundle = load_bundle(arguments.bundle or Path(config.model.bundle))
    state_directory = find_service_state_directory(arguments.state_dir)
    write_bench(run_bench(bundle, config, state_directory, arguments.seconds), sys.stdout, as_json=arguments.json)
    return EXIT_DONE
