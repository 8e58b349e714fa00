"""`soundclr-edge page`"""

import argparse
import sys
import threading
from pathlib import Path
from typing import Tuple

from edge.commands.options import Commands, positive
from edge.config import address_from_listen
from edge.exit_status import EXIT_DONE


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    page = commands.add_parser("page", help="the live page: where its files are, copy them, or serve them")
    what = page.add_mutually_exclusive_group()
    what.add_argument(
        "--copy", type=Path, metavar="DIR", help="put the files there, for a broker or web server to serve"
    )
    what.add_argument(
        "--listen",
        type=_address,
        metavar="[ADDRESS:]PORT",
        help="serve it over HTTP until stopped; the port alone: for this machine only",
    )
    page.add_argument(
        "--broker",
        default="",
        metavar="URL",
        help="with --listen: the broker's websockets, ws://HOST:PORT (default: what the page is served from)",
    )
    page.add_argument("--root", default="", help="with --listen: first level of the topics (default: soundclr)")
    page.add_argument("--duration-s", type=positive, default=None, help="with --listen: stop by itself after this time")
    page.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.page_server import PAGE_FOLDER, PageServer, copy_page, page_address

    if arguments.copy is not None:
        sys.stdout.write("%d files in %s\n" % (copy_page(arguments.copy), arguments.copy))
    elif arguments.listen is not None:
        host, port = arguments.listen
        with PageServer(port, host) as server:
            sys.stdout.write("%s\n" % page_address(host, server.port, arguments.broker, arguments.root))
            sys.stdout.flush()
            threading.Event().wait(arguments.duration_s)
    else:
        sys.stdout.write("%s\n" % PAGE_FOLDER)
    return EXIT_DONE


def _address(text: str) -> Tuple[str, int]:
    address = address_from_listen(text)
    if address is None:
        raise argparse.ArgumentTypeError("%s; expected ADDRESS:PORT or PORT, as 127.0.0.1:8080" % text)
    return address
