"""`soundclr-edge check`"""

import argparse
import sys

from edge.commands.options import Commands, add_config, add_state_dir, found_config
from edge.exit_status import EXIT_DONE, EXIT_FAILED


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    check = commands.add_parser("check", help="try configuration, model, microphone and broker; say what to mend")
    add_config(check)
    add_state_dir(check)
    check.add_argument("--json", action="store_true", help="one JSON object for machines")
    check.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.check import run_checks, write_checks
    from edge.installation import become_owner_of, find_service_state_directory, known_installation_id

    state_directory = find_service_state_directory(arguments.state_dir)
    become_owner_of(state_directory)  # what root can do proves nothing for the service
    results = run_checks(found_config(arguments.config), known_installation_id(arguments.state_dir), state_directory)
    write_checks(results, sys.stdout, as_json=arguments.json)
    return EXIT_DONE if all(result.ok for result in results) else EXIT_FAILED
