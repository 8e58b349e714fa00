"""What went wrong with a database file, told apart by what is to be done.

Python before 3.11 gives no error code, so SQLite's own words decide; they have not changed since 3.7 but for one.
"""

import os
import sqlite3
from pathlib import Path
from typing import Optional

_FULL_BELOW_BYTES = 256 * 1024  # a file system with less to spare cannot take a write-ahead log
_DAMAGED = (
    "malformed",
    "not a database",
    "no such table",
    "no such column",
    "unsupported file format",
    "Could not decode",
)


class DamagedError(Exception):
    """The file is no store of ours, or not any more: it is moved out of the way."""


class DiskError(Exception):
    """The disk does not take or give what it should; it may again.

    Args:
        state: of `store_state`: full, read_only or failing.
    """

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


def fault_from(error: Exception, directory: Path) -> Exception:
    """DamagedError or DiskError for what sqlite3 or the system raised; either of the two is given back as it is."""
    if isinstance(error, (DamagedError, DiskError)):
        return error
    text = str(error)
    is_operational = isinstance(error, (sqlite3.OperationalError, OSError))
    if isinstance(error, sqlite3.Error) and (not is_operational or any(word in text for word in _DAMAGED)):
        return DamagedError(text)
    return DiskError(text, _state_of(text, directory))


def _state_of(text: str, directory: Path) -> str:
    try:
        disk: Optional[os.statvfs_result] = os.statvfs(str(directory))
    except OSError:
        disk = None
    if disk is not None and disk.f_flag & os.ST_RDONLY:
        return "read_only"
    is_full = disk is not None and disk.f_bavail * disk.f_frsize < _FULL_BELOW_BYTES
    if "full" in text or "No space" in text or "quota" in text or is_full:
        return "full"
    return "read_only" if "readonly" in text or "Read-only" in text or "denied" in text else "failing"
