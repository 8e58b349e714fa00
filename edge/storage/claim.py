"""One daemon a state directory."""

import fcntl
import os
from pathlib import Path
from typing import Any, Optional

from edge.errors import ConfigError
from edge.storage.faults import fault_from

_NAME = "store.lock"


class Claim:
    """Holds a directory for this process until it ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: Optional[Any] = None

    def take(self) -> None:
        """Claim it; once more is no error.

        Raises:
            ConfigError: another process has it.
            DiskError: the lock file cannot be made or read.
        """
        if self._file is not None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            file = _open(self._directory / _NAME)
        except OSError as error:
            raise fault_from(error, self._directory) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read(32).strip()
            file.close()
            raise ConfigError(
                "state directory %s is in use by another soundclr-edge%s; stop that one, or give this one a "
                "directory of its own with --state-dir" % (self._directory, ", process " + holder if holder else "")
            ) from error
        self._file = file
        try:
            file.truncate(0)
            file.write("%d\n" % os.getpid())
            file.flush()
        except (OSError, ValueError):
            return  # a full or read-only disk: the lock holds, it only does not say whose it is

    def release(self) -> None:
        """Let it go.  Twice is no error."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return  # what could not be written was but our number


def _open(path: Path) -> Any:
    try:
        return os.fdopen(os.open(str(path), os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii", errors="replace")
    except OSError:
        if not path.exists():
            raise
        return open(str(path), encoding="ascii", errors="replace")
