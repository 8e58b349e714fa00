"""The command line: `soundclr-train` or `python -m trainer`.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 what was checked is not right, 2 unusable
input (one line, no traceback), 70 a fault inside, 130 interrupted (what was trained is kept: the same command goes on
from there).
"""

from __future__ import annotations

import argparse
import logging
import sys

import torch

from engines.errors import EngineError
from trainer.allocator import keep_freed_memory
from trainer.commands import COMMANDS
from trainer.errors import TrainerError

_LOGGER = logging.getLogger(__name__)
EXIT_UNUSABLE, EXIT_FAULT, EXIT_INTERRUPTED = 2, 70, 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="soundclr-train", description="Train SoundCLR models, evaluate them honestly, export bundles."
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda, cuda:1 (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.  Returns the exit status."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        status: int = arguments.execute(arguments)
    except (TrainerError, EngineError) as error:
        print("soundclr-train: %s" % error, file=sys.stderr)
        return EXIT_UNUSABLE
    except torch.cuda.OutOfMemoryError:
        print("soundclr-train: the GPU's memory is full; lower --batch", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("soundclr-train: interrupted; the same command goes on after the last whole epoch", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:  # the boundary: everything that nobody expected, with its traceback for the log
        _LOGGER.exception("a fault inside; please report the lines above")
        return EXIT_FAULT
    return status
