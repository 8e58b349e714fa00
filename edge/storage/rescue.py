"""What is done with a file that cannot be read: it is kept for who wants to look, and what can be saved is saved."""

import logging
import os
import re
import time
from pathlib import Path
from typing import List, Optional, Sequence

from edge.records import Keepsake
from edge.storage.database import NAME, Database, Entry
from edge.storage.faults import DamagedError, DiskError, fault_from
from edge.storage.spans import Span
from engines.whole_file import sync

_LOGGER = logging.getLogger(__name__)
_SUFFIX = ".damaged-%Y%m%dT%H%M%SZ"
_ASIDE = re.compile(re.escape(NAME) + r"\.damaged-[0-9TZ]+(-[0-9]+)?\Z")
_KEPT = 2  # files; a card that dies makes one after the other
_PATIENCE_S = 10.0
_CHUNK = 50
_MOST = 5000  # messages
_MOST_KEEPSAKES = 10000


def move_aside(directory: Path) -> Path:
    """Move the file and its logs out of the way; the oldest of those moved before goes.  Raises DiskError."""
    suffix = time.strftime(_SUFFIX, time.gmtime())
    number = 1
    while (directory / (NAME + suffix)).exists():
        number += 1
        suffix = time.strftime(_SUFFIX, time.gmtime()) + "-%d" % number
    path, aside = directory / NAME, directory / (NAME + suffix)
    try:
        for ending in ("-wal", "-shm", ""):  # the file itself last: its log must never meet the new file
            if Path(str(path) + ending).exists():
                os.replace(str(path) + ending, str(aside) + ending)
        sync(directory)
        _remove_old(directory, aside)
    except OSError as error:
        raise fault_from(error, directory) from error
    return aside


def rescue(path: Path, spans: Optional[Sequence[Span]]) -> List[Entry]:
    """The newest messages of a damaged file that are still to be sent, as far as they can be read.

    Args:
        spans: ids of what waits; as the file itself says where None.
    """
    entries: List[Entry] = []
    until_s = time.monotonic() + _PATIENCE_S
    try:
        with Database(path.parent, path.name).open_damaged() as database:
            for first, last in reversed(_waiting_in(database) if spans is None else list(spans)):
                for start in range(last - (last - first) % _CHUNK, first - 1, -_CHUNK):
                    if time.monotonic() > until_s or len(entries) >= _MOST:
                        return sorted(entries)
                    entries += _read_what_can_be(database, start, min(start + _CHUNK - 1, last))
    except (DamagedError, DiskError) as error:
        _LOGGER.warning("store: nothing more can be read of %s: %s", path, error)
    return sorted(entries)


def rescue_keepsakes(path: Path) -> List[Keepsake]:
    """What a damaged file still gives of what was kept, oldest first."""
    found: List[Keepsake] = []
    until_s = time.monotonic() + _PATIENCE_S
    try:
        with Database(path.parent, path.name).open_damaged() as database:
            first, last = database.keepsakes.ends() or (1, 0)
            for start in range(last - (last - first) % _CHUNK, first - 1, -_CHUNK):
                if time.monotonic() > until_s or len(found) >= _MOST_KEEPSAKES:
                    break
                found = _read_keepsakes(database, start, min(start + _CHUNK - 1, last)) + found
    except (DamagedError, DiskError) as error:
        _LOGGER.warning("store: no more of what was kept can be read of %s: %s", path, error)
    return found


def _read_keepsakes(database: Database, first: int, last: int) -> List[Keepsake]:
    try:
        return database.keepsakes.read_between(first, last)
    except DamagedError:
        return []


def _waiting_in(database: Database) -> List[Span]:
    bookmark, ends = database.read_bookmark(), database.first_and_last_id()
    spans = list(bookmark.waiting)
    if ends is not None and ends[1] > bookmark.known_id:
        spans.append((bookmark.known_id + 1, ends[1]))
    return spans


def _read_what_can_be(database: Database, first: int, last: int) -> List[Entry]:
    try:
        return database.read_range(first, last, last - first + 1)
    except DamagedError:
        if first == last:
            return []
        middle = (first + last) // 2
        return _read_what_can_be(database, first, middle) + _read_what_can_be(database, middle + 1, last)


def _remove_old(directory: Path, newest: Path) -> None:
    asides = [path for path in directory.iterdir() if _ASIDE.match(path.name) and path != newest]
    for path in sorted(asides, key=lambda each: each.stat().st_mtime)[: max(0, len(asides) + 1 - _KEPT)]:
        for ending in ("", "-wal", "-shm"):
            part = Path(str(path) + ending)
            if part.exists():
                part.unlink()
