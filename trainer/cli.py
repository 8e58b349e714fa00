"""The command line: `soundclr-train` or `python -m trainer`.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 what was checked is not right, 2 unusable
input (one line, no traceback), 70 a fault inside, 130 interrupted (whole epochs are kept: the same command goes on from
there, and a line says what is left).
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
from trainer.hardware import check_device, check_threads

_LOGGER = logging.getLogger(__name__)
EXIT_UNUSABLE, EXIT_FAULT, EXIT_INTERRUPTED = 2, 70, 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="soundclr-train", description="Train SoundCLR models, evaluate them honestly, export bundles."
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default, and 0: all cores)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda, cuda:1 (default: %(default)s)",
    )
    # what an interrupt leaves behind; who trains has words of its own
    parser.set_defaults(describe_left=_describe_left)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.  Returns the exit status."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    keep_freed_memory()
    try:
        check_device(arguments.device)
        check_threads(arguments.threads)
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        status: int = arguments.execute(arguments)
    except (TrainerError, EngineError) as error:
        return _refuse(str(error))
    except torch.cuda.OutOfMemoryError:
        return _refuse("the GPU's memory is full; lower --batch")
    except MemoryError as error:  # NumPy's; of torch's `trainer.training_faults` tells
        return _refuse("memory is full (%s); lower --batch, --views or --workers" % error)
    except KeyboardInterrupt:
        print("soundclr-train: interrupted; %s" % arguments.describe_left(arguments), file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:  # the boundary: everything that nobody expected, with its traceback for the log
        if isinstance(error, OSError) and error.errno:  # a path that went away meanwhile, a full disk, a closed pipe
            return _refuse("%s; see that the path is there and may be used, and that its disk has room" % error)
        _LOGGER.exception("a fault inside; please report the lines above")
        return EXIT_FAULT
    return status


def _refuse(reason: str) -> int:
    print("soundclr-train: %s" % " ".join(reason.split()), file=sys.stderr)
    return EXIT_UNUSABLE


def _describe_left(_: argparse.Namespace) -> str:
    """Of a command that trains nothing: its results are written at the end."""
    return "the same command begins again"
