"""The command line: `soundclr-edge` or `python -m edge`.

Results go to stdout, logs to stderr. Exit status: 0 done, 1 the thing asked for failed, 2 unusable input or
configuration (one line, no traceback), 70 a fault inside, 130 interrupted.
"""

import argparse
import logging
import os
import sys
from typing import List, Optional

from edge import __version__
from edge.commands import COMMANDS
from edge.errors import EdgeError, complaint
from edge.exit_status import EXIT_FAILED, EXIT_FAULT, EXIT_UNUSABLE
from edge.journal import log_formatter
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="soundclr-edge",
        description="A microphone on a street corner that says what it hears, honestly, to anyone's dashboard.",
    )
    parser.add_argument("--version", action="version", version="%(prog)s " + __version__)
    parser.add_argument(
        "--log-level",
        default="info",
        choices=["debug", "info", "warning", "error"],
        help="least severe log line on stderr (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command.  Returns the exit status."""
    from edge.history import joined_times

    arguments = build_parser().parse_args(joined_times(sys.argv[1:] if argv is None else argv))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(log_formatter())
    logging.basicConfig(level=arguments.log_level.upper(), handlers=[handler])
    try:
        return int(arguments.execute(arguments))
    except (EdgeError, EngineError) as error:
        sys.stderr.write(complaint(error))
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our results has gone (head, less): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception:  # the boundary: everything that nobody expected, with its traceback for the log
        _LOGGER.exception("a fault inside; please report the lines above")
        return EXIT_FAULT
