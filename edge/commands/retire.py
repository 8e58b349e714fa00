"""`soundclr-edge retire`"""

import argparse
import sys

from edge.commands.options import Commands, add_config, required_config
from edge.errors import BrokerError, complaint
from edge.exit_status import EXIT_DONE, EXIT_FAILED


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    retire = commands.add_parser(
        "retire", help="take back what this node, stopped for good, has retained at the broker"
    )
    add_config(retire)
    retire.add_argument("--force", action="store_true", help="even if the broker has the node as online")
    retire.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.retire import StillOnlineError, retire_node

    try:
        done = retire_node(required_config(arguments.config), force=arguments.force)
    except (BrokerError, StillOnlineError) as error:
        sys.stderr.write(complaint(error))
        return EXIT_FAILED
    for topic in done.cleared:
        print("cleared  %s" % topic)
    for topic in done.kept:
        print("KEPT     %s: the broker's ACL does not let this user write it" % topic)
    if not done.cleared and not done.kept:
        print("nothing was retained that this user may read")
    return EXIT_FAILED if done.kept else EXIT_DONE
