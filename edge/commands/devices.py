"""`soundclr-edge devices`"""

import argparse
import sys

from edge.commands.options import Commands
from edge.exit_status import EXIT_DONE, EXIT_FAILED


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    devices = commands.add_parser("devices", help="list the microphones that PortAudio sees")
    devices.add_argument("--json", action="store_true", help="one JSON object a line")
    devices.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.check import write_devices

    return EXIT_DONE if write_devices(sys.stdout, sys.stderr, as_json=arguments.json) else EXIT_FAILED
