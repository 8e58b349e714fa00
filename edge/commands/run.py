"""`soundclr-edge run`"""

import argparse

from edge.commands.options import (
    Commands,
    add_config,
    add_start_time,
    add_state_dir,
    found_config,
    positive,
    required_config,
)
from edge.config_file import with_start_time


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    run = commands.add_parser("run", help="listen and publish, until stopped")
    add_config(run)
    add_state_dir(run)
    add_start_time(run)
    run.add_argument("--duration-s", type=positive, default=None, help="stop by itself after this time")
    run.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.installation import find_state_directory
    from edge.service import run_service

    return run_service(
        lambda: with_start_time(required_config(arguments.config), arguments.start_time),
        find_state_directory(arguments.state_dir),
        config_path=found_config(arguments.config),
        duration_s=arguments.duration_s,
    )
