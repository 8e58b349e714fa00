"""The thread that writes: when, how much at once, and what it does when the disk fails."""

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional

from edge.clock import SystemClock
from edge.config import StoreConfig
from edge.errors import ConfigError
from edge.storage.claim import Claim
from edge.storage.database import Database
from edge.storage.faults import DamagedError, DiskError
from edge.storage.ledger import Ledger
from edge.storage.reader import Reader, entries_from
from edge.storage.rescue import move_aside, rescue, rescue_keepsakes
from edge.storage.retention import drop_old
from edge.store import OpenEvent

_LOGGER = logging.getLogger(__name__)
_BATCH = 500
_LONGEST_WAIT_S = 60.0


class Rhythm(NamedTuple):
    """When the writer does what, seconds."""

    patience_s: float = 15.0  # a summary waits so long for an event to be written with
    acknowledged_s: float = 60.0  # what the broker has is noted with the next message after this time,
    acknowledged_alone_s: float = 300.0  # or by itself after this; a crash before sends it once more
    retry_s: float = 5.0  # after a disk has failed
    stalled_s: float = 10.0  # a write that takes longer is a disk that fails
    look_s: float = 5.0  # for what `history --republish` asks
    tidy_s: float = 3600.0  # for what is too old


class Writer:
    """Owns the connection that writes, and the directory.

    Args:
        ledger: of what is to be written.
        condition: held around every use of the ledger, and by callers of every method but open and close.
        reader: closed when the file is replaced.
    """

    def __init__(
        self,
        directory: Path,
        config: StoreConfig,
        rhythm: Rhythm,
        ledger: Ledger,
        condition: threading.Condition,
        reader: Reader,
        clock: SystemClock,
    ) -> None:
        self._directory, self._config, self._rhythm, self._clock = directory, config, rhythm, clock
        self._ledger, self._condition, self._reader = ledger, condition, reader
        self._claim = Claim(directory)
        self._database: Optional[Database] = None
        self._data_version = -1
        self._is_adopted = self._is_hurrying = self._is_closing = False
        self._fault = ""  # state of the disk, where it fails
        self._damage = ""  # found by who reads
        self._working_since_s: Optional[float] = None
        self._unnoted_since_s: Optional[float] = None  # acknowledgements that are not on the disk
        self._retry_at_s = self._look_at_s = self._tidy_at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.callback: Callable[[], None] = lambda: None
        self.left_open: List[OpenEvent] = []
        self.used_bytes = self.set_aside = 0
        self.is_beginning_anew = False  # a file that is being made looks damaged to who reads it now

    def open(self) -> None:
        """Try the file, and begin to write.  Raises ConfigError: another process has it."""
        self._attempt(lambda: self._open_file())
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Write what is left and give everything back; a disk that hangs is left behind.  Twice is no error."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOGGER.error("store: the disk did not let go within %g s; left behind", timeout_s)
            return
        self._close_files()
        self._claim.release()

    def state(self) -> str:
        """Of `store_state`."""
        if self._fault:
            return self._fault
        since_s = self._working_since_s
        return "stalled" if since_s is not None and time.monotonic() - since_s > self._rhythm.stalled_s else "ok"

    def sendable_row(self) -> int:
        """What is written; all there is, where the disk does not take it."""
        return self._ledger.written_row if self.state() == "ok" else self._ledger.last_row

    def note_acknowledged(self) -> None:
        """Something that waited does so no more."""
        if self._unnoted_since_s is None:
            self._unnoted_since_s = time.monotonic()

    def note_damage(self, text: str, set_aside: int) -> None:
        """Somebody could not read the file that was there when so many had been set aside; not the one after it."""
        if set_aside == self.set_aside:
            self._damage = text
            self._condition.notify_all()

    @contextlib.contextmanager
    def hurrying(self) -> Iterator[None]:
        """As long as this lasts nothing waits for company."""
        self._is_hurrying = True
        self._condition.notify_all()
        try:
            yield
        finally:
            self._is_hurrying = False

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(
                    self._is_due, max(0.0, min(self._due_at_s() - time.monotonic(), _LONGEST_WAIT_S))
                )
                is_last = self._is_closing
                if not self._is_due():
                    continue
            went_well = self._attempt(self._work)
            if is_last and not (went_well and self._ledger.pending):
                return

    def _is_due(self) -> bool:
        return self._is_closing or time.monotonic() >= self._due_at_s()

    def _due_at_s(self) -> float:
        if self._fault:
            return self._retry_at_s
        if self._damage:
            return 0.0
        due_at_s = min(self._look_at_s, self._tidy_at_s)
        if self._unnoted_since_s is not None:
            due_at_s = min(due_at_s, self._unnoted_since_s + self._rhythm.acknowledged_alone_s)
        return min(due_at_s, self._pending_due_at_s())

    def _pending_due_at_s(self) -> float:
        ledger = self._ledger
        if not ledger.pending:
            return float("inf")
        is_urgent = self._is_hurrying or self._is_closing or ledger.is_urgent or len(ledger.pending) >= _BATCH
        return 0.0 if is_urgent else ledger.oldest_put_at_s + self._rhythm.patience_s

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Do something with the disk.  Returns whether it went well; if not, it is done again after a while."""
        with self._condition:
            before = (self._fault, self.sendable_row(), len(self._ledger.once_more))
            self._working_since_s = time.monotonic()
        fault: Optional[DiskError] = None
        try:
            try:
                work()
            except DamagedError as error:
                self.is_beginning_anew = True
                self._begin_anew(error)
        except DiskError as error:
            fault = error
        except DamagedError as error:
            fault = DiskError("a fresh file is damaged as well: %s" % error, "failing")
        except ConfigError:
            raise
        except Exception as error:  # the thread's boundary: a silent writer would look alive
            _LOGGER.exception("store: a fault inside the writer; it begins anew")
            fault = DiskError(str(error), "failing")
        self._conclude(fault)
        with self._condition:
            has_news = before != (self._fault, self.sendable_row(), len(self._ledger.once_more))
        if has_news:
            self.callback()
        return fault is None

    def _conclude(self, fault: Optional[DiskError]) -> None:
        with self._condition:
            was, self._fault = self._fault, fault.state if fault is not None else ""
            self._retry_at_s = time.monotonic() + self._rhythm.retry_s
            self._working_since_s, self.is_beginning_anew = None, False
            self._condition.notify_all()
        if fault is not None:
            level = logging.DEBUG if was == fault.state else logging.ERROR
            _LOGGER.log(level, "store: %s: %s; messages stay in memory until it is mended", self._directory, fault)
            self._close_files()
        elif was:
            _LOGGER.warning("store: %s takes messages again", self._directory)

    def _work(self) -> None:
        if self._damage:
            raise DamagedError(self._damage)
        try:
            database = self._open_file()
        except ConfigError as error:  # found out late, because the disk failed at the start
            raise DiskError(str(error), "failing") from error
        self._write(database)
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + self._rhythm.look_s
            self._look(database)
        if now_s >= self._tidy_at_s or self.used_bytes > self._config.max_bytes:
            self._tidy_at_s = now_s + self._rhythm.tidy_s
            drop_old(database, self._config, self._ledger, self._condition, self._clock.now())
            self.used_bytes = database.used_bytes()

    def _open_file(self) -> Database:
        if self._database is None:
            self._claim.take()
            database = Database(self._directory).open_for_writing()
            try:
                if not self._is_adopted:
                    self._adopt(database)
                self.used_bytes, self._data_version = database.used_bytes(), -1
            except (DamagedError, DiskError):
                database.close()
                raise
            self._database = database
        return self._database

    def _adopt(self, database: Database) -> None:
        ends, bookmark = database.first_and_last_id(), database.read_bookmark()
        entries = list(entries_from(database, bookmark.open_from, ends[1])) if ends is not None else []
        with self._condition:
            for entry in entries:
                self._ledger.open_events.follow(entry.id, entry.message)
            self._ledger.adopt(ends, bookmark)
            self.left_open = self._ledger.open_events.events()
        self._is_adopted = True

    def _write(self, database: Database) -> None:
        now_s = time.monotonic()
        with self._condition:
            batch = self._ledger.batch(_BATCH) if now_s >= self._pending_due_at_s() else []
            since_s = self._unnoted_since_s
            patience_s = self._rhythm.acknowledged_s if batch else self._rhythm.acknowledged_alone_s
            is_due = self._is_closing or (since_s is not None and now_s - since_s >= patience_s)
            bookmark = self._ledger.bookmark_after(batch) if is_due else None
            entries = self._ledger.entries_for(batch)
        if not entries and bookmark is None:
            return
        database.append(entries, bookmark)
        used_bytes = database.used_bytes()
        with self._condition:
            self.used_bytes = used_bytes
            self._ledger.note_written(batch)
            if bookmark is not None:  # what was acknowledged meanwhile is noted a little later than it might be
                self._unnoted_since_s = None if self._ledger.is_noted(bookmark) else now_s

    def _look(self, database: Database) -> None:
        """Whether somebody wants something sent once more."""
        version = database.data_version()
        wanted = database.read_again() if version != self._data_version else []
        self._data_version = version
        if wanted:
            with self._condition:
                self._ledger.send_once_more(wanted)
                bookmark = self._ledger.bookmark_after([])
            database.forget_again(wanted, bookmark)
            _LOGGER.info("store: %d messages are sent once more, by request", len(wanted))

    def _begin_anew(self, damage: DamagedError) -> None:
        """The file cannot be read: move it away and save from it what can be read and no broker has."""
        _LOGGER.error("store: %s is damaged: %s", self._directory, damage)
        self._close_files()
        with self._condition:
            spans = self._ledger.bookmark_after([]).waiting if self._is_adopted else None
        aside = move_aside(self._directory)
        self._reader.close()  # it may have been opened once more, and would go on in the old file
        saved, kept = rescue(aside, spans), rescue_keepsakes(aside)
        with self._condition:
            self._ledger.replace_file(saved, time.monotonic())
            self.set_aside += 1
            self._damage = ""
        _LOGGER.error("store: moved to %s; %d unsent messages saved from it; a new file is begun", aside, len(saved))
        self._open_file().keepsakes.write_old(kept)

    def _close_files(self) -> None:
        database, self._database = self._database, None
        try:
            self._reader.close()
            if database is not None:
                database.close()
        except (DamagedError, DiskError) as error:
            _LOGGER.warning("store: %s", error)
