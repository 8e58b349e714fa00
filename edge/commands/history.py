"""`soundclr-edge history`"""

import argparse
import sys
import time

from edge.commands.options import Commands, add_config, add_state_dir
from edge.errors import ConfigError
from edge.exit_status import EXIT_DONE, EXIT_FAILED


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    history = commands.add_parser("history", help="show events and summaries of the last weeks, or send them again")
    moment = "2026-11-01, 2026-11-01T06:30:00Z (UTC without an offset) or -2h (s, m, h, d, w)"
    history.add_argument("--from", dest="begin", metavar="TIME", default=None, help="not before: " + moment)
    history.add_argument("--to", dest="end", metavar="TIME", default=None, help="before; a day is meant up to its end")
    history.add_argument("--source", default=None, help="of this source only")
    history.add_argument("--type", default=None, help="event, summary, ... only")
    history.add_argument("--label", default=None, help="of this class only")
    history.add_argument("--json", action="store_true", help="one JSON object a line")
    history.add_argument(
        "--republish", action="store_true", help="have the daemon send them once more; needs --from, shows nothing"
    )
    add_config(history)
    add_state_dir(history)
    history.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.history import Wanted, acting_as_owner, moment_from_text, republish, write_history
    from edge.installation import find_service_state_directory

    now_s, given = time.time(), (arguments.begin, arguments.end)
    begin, end = (
        None if text is None else moment_from_text(text, now_s, is_end=is_end)
        for text, is_end in zip(given, (False, True))
    )
    wanted = Wanted(begin, end, arguments.source, arguments.type, arguments.label)
    if arguments.republish and begin is None:
        raise ConfigError("--republish without --from; expected from when on, for instance --from -2h")
    directory = find_service_state_directory(arguments.state_dir)
    with acting_as_owner(directory):
        if arguments.republish:
            count = republish(directory, wanted)
            said = '{"republished":%d}' if arguments.json else "%d messages: the daemon sends them again, as replayed"
            sys.stdout.write(said % count + "\n")
        else:
            count = write_history(directory, wanted, sys.stdout, as_json=arguments.json)
    return EXIT_DONE if count else EXIT_FAILED
