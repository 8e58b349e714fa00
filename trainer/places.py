"""Where results are to be written, looked at before the work: hours of it must not end at a path that takes none."""

from __future__ import annotations

import os
from pathlib import Path

from trainer.errors import TrainerError


def check_folder(option: str, path: Path) -> None:
    """Refuse a folder to write to that is something else, or could not be made.

    Args:
        option: that names it, for the message.

    Raises:
        TrainerError: with what stands in the way.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise TrainerError("%s %s: %s is no folder; give another one" % (option, path, there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise TrainerError("%s %s: %s may not be written to; give another folder" % (option, path, there))


def check_file(option: str, path: Path) -> None:
    """Refuse a file to write that is a folder, or that lies in none.  Raises TrainerError; see `check_folder`."""
    if path.is_dir():
        raise TrainerError("%s %s is a folder; expected the name of a file in it" % (option, path))
    if not path.absolute().parent.is_dir():
        raise TrainerError("%s %s: there is no folder %s; make it, or give another" % (option, path, path.parent))
    place = path if path.exists() else path.absolute().parent
    if not os.access(place, os.W_OK):
        raise TrainerError("%s %s: %s may not be written to; give another" % (option, path, place))
