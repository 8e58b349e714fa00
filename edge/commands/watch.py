"""`soundclr-edge watch`"""

import argparse
import sys

from edge.commands.options import Commands, add_config, optional_config, positive
from edge.exit_status import EXIT_DONE


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    watch = commands.add_parser("watch", help="show what a broker's subscribers receive from nodes")
    add_config(watch)
    watch.add_argument("--host", default=None, help="broker (default: the configuration's, else 127.0.0.1)")
    watch.add_argument("--port", type=int, default=None, help="its port")
    watch.add_argument("--root", default=None, help="first level of the topics")
    watch.add_argument("--duration-s", type=positive, default=None, help="stop by itself after this time")
    watch.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.watch import Watcher

    mqtt = optional_config(arguments.config).mqtt
    given = {name: getattr(arguments, name) for name in ("host", "port", "root")}
    mqtt = mqtt._replace(**{name: value for name, value in given.items() if value is not None})
    watcher = Watcher(mqtt)
    watcher.run(arguments.duration_s)
    sys.stdout.write(watcher.summary() + "\n")
    return EXIT_DONE
