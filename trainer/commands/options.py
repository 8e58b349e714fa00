"""What several commands share: the options that name data, and the progress bar."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from trainer.errors import TrainerError

# argparse names this type only privately
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_data(parser: argparse.ArgumentParser) -> None:
    """The options that name data sets."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="UrbanSound8K, ESC-50 (ESC-50#esc10) or own recordings: the classes to be known",
    )
    parser.add_argument("--foreign", type=Path, default=None, help="another data set: sound that is none of them")


def progress_bar() -> Progress:
    """A bar on stderr, with the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def advance(bar: Progress, task: TaskID, done: int) -> None:
    """So much of a task is done."""
    bar.update(task, completed=done)


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy's generators do not take.  Raises TrainerError."""
    if seed < 0:
        raise TrainerError("--seed %d; expected a whole number from 0" % seed)


def read_numbers(text: str) -> list[int]:
    """Whole numbers parted by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError("%r; expected whole numbers parted by commas" % text) from error
