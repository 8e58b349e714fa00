"""Durable messages in an SQLite file.

Whoever puts a message only takes a lock for an instant: it goes to memory, and the thread `store-writer` writes what
has come meanwhile in one transaction. That thread alone owns the connection that writes; reading has another one,
under a lock of its own. What the disk does not take stays in memory, is sent from there, and is written when the disk
can do so again.
"""

import itertools
import logging
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Set, TypeVar

from edge.clock import SystemClock
from edge.config import StoreConfig
from edge.records import Message
from edge.storage.database import Entry
from edge.storage.faults import DamagedError, DiskError
from edge.storage.ledger import Ledger
from edge.storage.reader import Reader
from edge.storage.writer import Rhythm, Writer
from edge.store import OpenEvent, Store, StoreCounts, StoredRow

_LOGGER = logging.getLogger(__name__)
_MEMORY_ROWS = 10000
_CLOSE_S = 2.0
_NEW_FILE_S = 20.0  # to save what can be saved of a damaged file, and to begin another
_T = TypeVar("_T")


class SqliteStore(Store):
    """A store that outlives the process, a kill and a power cut.

    Args:
        directory: the installation's state directory.
        memory_rows: so many are kept in memory while the disk does not take them.
        clock: the machine's.
    """

    def __init__(
        self,
        directory: Path,
        config: Optional[StoreConfig] = None,
        rhythm: Optional[Rhythm] = None,
        memory_rows: int = _MEMORY_ROWS,
        clock: Optional[SystemClock] = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._condition = threading.Condition()  # held around every use of the ledger, never around one of the disk
        self._ledger = Ledger(memory_rows)
        self._reader = Reader(directory)
        self._writer = Writer(
            directory,
            config or StoreConfig(),
            rhythm or Rhythm(),
            self._ledger,
            self._condition,
            self._reader,
            self._clock,
        )

    def open(self) -> "SqliteStore":
        """Take hold of the file; a disk that fails is not fatal.  Raises ConfigError: another process has it."""
        self._writer.open()
        return self

    def put(self, message: Message) -> int:
        """See Store."""
        now = self._clock.now()
        with self._condition:
            row = self._ledger.put(message, int(round(1000 * now.epoch_s)), now.synced, time.monotonic())
            self._condition.notify_all()
            return row

    @property
    def sendable_row(self) -> int:
        """See Store."""
        with self._condition:
            return self._writer.sendable_row()

    def call_when_sendable(self, callback: Callable[[], None]) -> None:
        """See Store."""
        self._writer.callback = callback

    def peek(self, limit: int, after: int = 0) -> List[StoredRow]:
        """See Store.  What cannot be read is left out, and the writer is told."""
        with self._condition:
            ledger, last_row = self._ledger, self._writer.sendable_row()
            beyond = itertools.islice(ledger.waiting.after(after), limit)
            rows = list(itertools.takewhile(lambda row: row <= last_row, beyond))
            pending = [ledger.pending[row] for row in rows if row in ledger.pending]
            row_of = {ledger.id_of(row): row for row in rows if row not in ledger.pending}
            once_more = {row for row in rows if row in ledger.once_more}
            set_aside = self._writer.set_aside
        found = [StoredRow(each.row, each.message, each.put_ms) for each in pending]
        entries = self._read(sorted(row_of), set_aside)
        if entries is None:
            entries = []
        elif len(entries) < len(row_of):
            self._drop_missing(set(row_of.values()) - {row_of[entry.id] for entry in entries}, set_aside)
        found += [StoredRow(row_of[entry.id], entry.message, entry.put_ms) for entry in entries]
        return [stored._replace(put_ms=0) if stored.row in once_more else stored for stored in sorted(found)]

    def ack(self, row: int) -> None:
        """See Store."""
        with self._condition:
            if self._ledger.ack(row):
                self._writer.note_acknowledged()

    def flush(self, timeout_s: float) -> bool:
        """See Store."""
        with self._condition:
            wanted = self._ledger.last_row
            with self._writer.hurrying():
                return self._condition.wait_for(lambda: self._writer.sendable_row() >= wanted, timeout_s)

    def open_events(self) -> List[OpenEvent]:
        """See Store."""
        with self._condition:
            return list(self._writer.left_open)

    def keepsakes(self, owner: str) -> Optional[List[bytes]]:
        """See Store.  What cannot be read is left out, and the writer is told."""
        with self._condition:
            self._condition.wait_for(lambda: not self._writer.is_beginning_anew, _NEW_FILE_S)
            pending = [
                (each.row, each.message.keepsake.content)
                for each in self._ledger.pending.values()
                if each.message.keepsake is not None and each.message.keepsake.owner == owner
            ]
            set_aside = self._writer.set_aside
        written = self._attempt_reading(lambda: self._reader.read_keepsakes(owner), set_aside) or []
        with self._condition:  # one of them may have been written meanwhile
            rows = {row for row, _ in pending}
            older = [content for each, content in written if self._ledger.row_of(each) not in rows]
        return older + [content for _, content in pending]

    def counts(self) -> StoreCounts:
        """See Store."""
        oldest = self.peek(1)
        age_s = max(0.0, self._clock.now().epoch_s - oldest[0].put_ms / 1000.0) if oldest else None
        with self._condition:
            ledger, writer = self._ledger, self._writer
            return StoreCounts(
                waiting=len(ledger.waiting),
                dropped=ledger.dropped,
                state=writer.state(),
                rows=ledger.rows,
                bytes=writer.used_bytes,
                oldest_s=age_s,
                set_aside=writer.set_aside,
            )

    def close(self) -> None:
        """See Store.  What memory holds is written, if the disk takes it within some seconds."""
        self._writer.close(_CLOSE_S)

    def _drop_missing(self, rows: Set[int], set_aside: int) -> None:
        """These are said to wait and are not there: later ones would wait behind them for ever."""
        with self._condition:
            if set_aside == self._writer.set_aside:
                lost = sum(self._ledger.ack(row) for row in rows)
                self._ledger.dropped += lost
                if lost:
                    self._writer.note_acknowledged()
                    _LOGGER.error("store: %d messages that waited are not in the file, and are given up", lost)

    def _read(self, ids: List[int], set_aside: int) -> Optional[List[Entry]]:
        """Messages of the file that was there when so many had been set aside; None where it cannot be read."""
        return self._attempt_reading(lambda: self._reader.read(ids), set_aside)

    def _attempt_reading(self, read: Callable[[], List[_T]], set_aside: int) -> Optional[List[_T]]:
        found: Optional[List[_T]] = None
        try:
            found = read()
        except DamagedError as error:
            with self._condition:
                self._writer.note_damage(str(error), set_aside)
        except DiskError as error:
            _LOGGER.warning("store: %s", error)
        with self._condition:
            return found if set_aside == self._writer.set_aside else None
