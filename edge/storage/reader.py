"""The connection that reads while another one writes."""

import itertools
import threading
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Tuple

from edge.storage.database import Database, Entry
from edge.storage.faults import DamagedError, DiskError
from edge.storage.spans import Span

_CHUNK = 500


class Reader:
    """Reads messages of a file, opened when they are wanted.  May be used from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._database: Optional[Database] = None

    def read(self, ids: Iterable[int]) -> List[Entry]:
        """The messages of these ids that are there; ids in order.  Raises DamagedError, DiskError."""
        entries: List[Entry] = []
        with self._lock:
            try:
                for first, last in _runs(ids):
                    if self._database is None:
                        self._database = Database(self._directory).open_for_reading()
                    entries += self._database.read_range(first, last, last - first + 1)
            except (DamagedError, DiskError):
                self._close()
                raise
        return entries

    def read_keepsakes(self, owner: str) -> List[Tuple[int, bytes]]:
        """What an owner keeps, with the messages' ids, oldest first.  Raises DamagedError, DiskError."""
        with self._lock:
            try:
                if self._database is None:
                    self._database = Database(self._directory).open_for_reading()
                return self._database.keepsakes.read(owner)
            except (DamagedError, DiskError):
                self._close()
                raise

    def close(self) -> None:
        """Let the file go; the next reading opens what is there then."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def entries_from(database: Database, first_id: int, last_id: int) -> Iterator[Entry]:
    """All messages from one id to another, a handful at a time, so that nobody who writes waits for long."""
    while first_id <= last_id:
        entries = database.read_range(first_id, last_id, _CHUNK)
        if not entries:
            return
        for entry in entries:
            yield entry
        first_id = entries[-1].id + 1


def _runs(ids: Iterable[int]) -> Iterator[Span]:
    for _, run in itertools.groupby(enumerate(ids), lambda item: item[1] - item[0]):
        members = [each for _, each in run]
        yield members[0], members[-1]
