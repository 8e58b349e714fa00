"""One process at a time in a run's folder; one that dies lets go of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import TrainerError

_LOCK_NAME = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[bool]:
    """Hold a run's folder, made where it is not there, while it is worked on.  Yields whether nobody else does.

    Raises:
        TrainerError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / _LOCK_NAME, "w", encoding="utf-8")  # noqa: SIM115  # the errors of the work are its own
    except OSError as error:
        raise TrainerError("%s cannot be written to (%s); give another folder" % (folder, error.strerror)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
