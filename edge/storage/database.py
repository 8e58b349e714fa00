"""The database file itself: its tables and every statement.  SQL that SQLite 3.22 knows; one thread at a time.

Little is written, because a memory card wears out by writing: small pages, no index, and payloads compressed against
the first one of their topic, which nearly all of them resemble. Which rows wait is kept as stretches of row numbers
and written now and then; a stretch that is out of date sends some messages twice.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any, Iterable, List, NamedTuple, Optional, Tuple

from edge.records import Dating, Message
from edge.storage.faults import DamagedError, DiskError, fault_from
from edge.storage.keepsake_table import KeepsakeTable, Statement
from edge.storage.spans import Span
from edge.storage.topics import Topics
from engines.whole_file import sync

NAME = "store.sqlite3"
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x53434E44
_BUSY_S = 10.0  # `history --republish` writes too, in an instant
_PAGE_BYTES = 512
_CHECKPOINT_PAGES = 2000
_LOG_BYTES = 4 << 20
_MOST_ID = 1 << 40
_MOST_S = 1e12  # of a time
_LEAST_ROW_BYTES = 16

_SCHEMA = (
    # where messages went; `payload` is the first of them, by which the others are compressed
    "CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, "
    "payload BLOB NOT NULL)",
    # put_ms: wall clock when it came, and whether a time server had set it; the last two date it again
    "CREATE TABLE message (id INTEGER PRIMARY KEY, put_ms INTEGER NOT NULL, synced INTEGER NOT NULL, "
    "topic INTEGER NOT NULL, payload BLOB NOT NULL, machine_boot_id TEXT, monotonic_s REAL)",
    # messages up to known_id wait if `waiting` says so, all later ones do; what has begun since open_from may last
    "CREATE TABLE bookmark (known_id INTEGER NOT NULL, open_from INTEGER NOT NULL)",
    "CREATE TABLE waiting (first INTEGER PRIMARY KEY, last INTEGER NOT NULL)",
    "CREATE TABLE again (id INTEGER PRIMARY KEY)",  # asked for by `history --republish`
    "INSERT INTO bookmark VALUES (0, 1)",
    "PRAGMA application_id = %d" % _APPLICATION_ID,
    "PRAGMA user_version = %d" % SCHEMA_VERSION,
)
_COLUMNS = "id, put_ms, synced, topic, payload, machine_boot_id, monotonic_s"


class Entry(NamedTuple):
    """One message in the file."""

    id: int
    put_ms: int
    synced: bool
    message: Message


class Bookmark(NamedTuple):
    """What is written now and then."""

    known_id: int
    open_from: int
    waiting: Tuple[Span, ...]


class Database:
    """One connection.  Every method may raise DamagedError or DiskError; after either the connection is to be closed.

    Args:
        directory: where the file is, or shall be.
    """

    def __init__(self, directory: Path, name: str = NAME) -> None:
        self._directory, self._path = directory, directory / name
        self._topics = Topics()
        self._written_waiting: Tuple[Span, ...] = ()
        self._connection: Optional[sqlite3.Connection] = None
        self.keepsakes = KeepsakeTable(self._read, self._write)

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def open_for_writing(self) -> "Database":
        """Open the file, or begin a new one."""
        try:
            if not self._path.exists():  # made here for its mode, which the log files take from it
                os.close(os.open(str(self._path), os.O_CREAT | os.O_WRONLY, 0o600))
            _check_format(self._path)
            self._connect()
            is_new = self._is_new()
            if not is_new:
                self._check_schema()  # before anything is changed in it
            for pragma in (
                "page_size = %d" % _PAGE_BYTES,
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = OFF",
                "wal_autocheckpoint = %d" % _CHECKPOINT_PAGES,
                "journal_size_limit = %d" % _LOG_BYTES,
            ):
                self._cursor.execute("PRAGMA " + pragma).fetchall()
            if is_new:
                self._write([(statement, ()) for statement in _SCHEMA])
                sync(self._directory)
            self.keepsakes.begin()
            self._check()
            self._written_waiting = self.read_bookmark().waiting
        except (sqlite3.Error, OSError, DamagedError, DiskError) as error:
            self.close()
            raise fault_from(error, self._directory) from error
        return self

    def open_for_reading(self) -> "Database":
        """Open a file that is there; nothing is written to it."""
        self.open_damaged()
        try:
            self._check()
        except (sqlite3.Error, DamagedError, DiskError) as error:
            self.close()
            raise fault_from(error, self._directory) from error
        return self

    def open_damaged(self) -> "Database":
        """Open a file for reading without a look at it."""
        try:
            self._connect()
            self._cursor.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            self.close()
            raise fault_from(error, self._directory) from error
        return self

    def close(self) -> None:
        """Give the file back.  Closing twice is no error."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except sqlite3.Error as error:
            raise fault_from(error, self._directory) from error

    def append(self, entries: Iterable[Entry], bookmark: Optional[Bookmark] = None) -> None:
        """Write messages, and a bookmark where there is one, at once or not at all; on the disk when this returns."""
        statements = [statement for entry in entries for statement in self._statements_for(entry)]
        self._write_with_bookmark(statements, bookmark)

    def ask_again(self, ids: Iterable[int]) -> None:
        """Leave word for whoever sends that these are to be sent once more."""
        self._write([("INSERT OR IGNORE INTO again VALUES (?)", (each,)) for each in ids])

    def read_again(self) -> List[int]:
        """What is to be sent once more."""
        return [each for (each,) in self._read("SELECT id FROM again ORDER BY id")]

    def forget_again(self, ids: Iterable[int], bookmark: Bookmark) -> None:
        """These are now in the bookmark."""
        self._write_with_bookmark([("DELETE FROM again WHERE id = ?", (each,)) for each in ids], bookmark)

    def delete_through(self, last_id: int, bookmark: Bookmark) -> None:
        """Drop every message up to this one."""
        self._write_with_bookmark([("DELETE FROM message WHERE id <= ?", (last_id,))], bookmark)

    def read_range(self, first_id: int, last_id: int, limit: int) -> List[Entry]:
        """At most so many messages from one id to another, oldest first."""
        rows = self._read(
            "SELECT %s FROM message WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?" % _COLUMNS, (first_id, last_id, limit)
        )
        return [self._entry_from(row) for row in rows]

    def read_bookmark(self) -> Bookmark:
        """Which messages wait, as far as written."""
        found = self._read("SELECT known_id, open_from FROM bookmark")
        if len(found) != 1:
            raise DamagedError("%d bookmarks" % len(found))
        spans = tuple((first, last) for first, last in self._read("SELECT first, last FROM waiting ORDER BY first"))
        ends = [end for span in spans for end in span]
        if not all(_is_id(end) for end in ends + list(found[0])) or ends != sorted(ends):
            raise DamagedError("waiting rows out of order")
        return Bookmark(found[0][0], found[0][1], spans)

    def first_and_last_id(self) -> Optional[Span]:
        """Of the messages there are; None without any."""
        first, last = self._read("SELECT (SELECT min(id) FROM message), (SELECT max(id) FROM message)")[0]
        return None if first is None else (first, last)

    def last_id_put_before(self, put_ms: int) -> Optional[int]:
        """The last message that is known to have come before that time, and before every later one's; None if none.

        What came while the clock was not set has no time of its own: it goes with what came after it.
        """
        young = self._read("SELECT id FROM message WHERE synced AND put_ms >= ? ORDER BY id LIMIT 1", (put_ms,))
        old = self._read(
            "SELECT id FROM message WHERE synced AND id < ? ORDER BY id DESC LIMIT 1",
            (young[0][0] if young else 1 << 62,),
        )
        return old[0][0] if old else None

    def used_bytes(self) -> int:
        """What the messages take up in the file, which itself does not shrink."""
        (pages,), (free,) = self._read("PRAGMA page_count")[0], self._read("PRAGMA freelist_count")[0]
        return int(pages - free) * _PAGE_BYTES

    def data_version(self) -> int:
        """Changes when another process has written."""
        return int(self._read("PRAGMA data_version")[0][0])

    @property
    def _cursor(self) -> sqlite3.Cursor:
        if self._connection is None:
            raise sqlite3.OperationalError("closed")
        return self._connection.cursor()

    def _connect(self) -> None:
        uri = self._path.absolute().as_uri() + "?mode=rw"
        # the thread may change, as from the one that opens to the one that writes; there is one at a time
        self._connection = sqlite3.connect(
            uri, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=True
        )
        self._cursor.execute("PRAGMA cache_size = -512")

    def _is_new(self) -> bool:
        tables, version = self._cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()[0], self._version()
        return bool(tables == 0 and version == 0)

    def _version(self) -> int:
        return int(self._cursor.execute("PRAGMA user_version").fetchone()[0])

    def _check(self) -> None:
        """See that it is ours, and that both ends can be read; a hole in the middle shows when it is read."""
        self._check_schema()
        bookmark = self.read_bookmark()
        self.read_again()
        ends = self.first_and_last_id()
        self._check_range(ends, bookmark)
        if ends is not None:
            self.read_range(ends[0], ends[1], 10)
            self.read_range(ends[1] - 10, ends[1], 10)

    def _check_range(self, ends: Optional[Span], bookmark: Bookmark) -> None:
        """Ids are dense: more of them than the file has room for, or waiting ones beyond them, are none of ours."""
        first, last = ends if ends is not None else (1, 0)
        (pages,), (page_bytes,) = self._read("PRAGMA page_count")[0], self._read("PRAGMA page_size")[0]
        is_beyond = any(span[0] < first or span[1] > last for span in bookmark.waiting)
        if not _is_id(first) or not _is_id(last) or (last - first) * _LEAST_ROW_BYTES > pages * page_bytes or is_beyond:
            raise DamagedError("messages %d to %d of which %r wait" % (first, last, bookmark.waiting[:10]))

    def _check_schema(self) -> None:
        application_id = self._cursor.execute("PRAGMA application_id").fetchone()[0]
        if (application_id, self._version()) != (_APPLICATION_ID, SCHEMA_VERSION):
            raise DamagedError("schema %d of application %d" % (self._version(), application_id))

    def _read(self, sql: str, values: tuple = ()) -> List[tuple]:
        try:
            return self._cursor.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise fault_from(error, self._directory) from error

    def _write(self, statements: Iterable[Statement]) -> None:
        try:
            cursor = self._cursor
            cursor.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                cursor.execute(sql, values)
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            raise fault_from(error, self._directory) from error

    def _write_with_bookmark(self, statements: List[Statement], bookmark: Optional[Bookmark]) -> None:
        self._write(statements + (self._statements_for_bookmark(bookmark) if bookmark is not None else []))
        if bookmark is not None:
            self._written_waiting = bookmark.waiting

    def _statements_for(self, entry: Entry) -> List[Statement]:
        message = entry.message
        if not self._topics.knows(message):
            self._read_topics()
        statements: List[Statement] = []
        if not self._topics.knows(message):
            statements.append(("INSERT INTO topic VALUES (?, ?, ?, ?, ?)", self._topics.add(message)))
        topic_id, payload = self._topics.encode(message)
        values = (entry.id, entry.put_ms, int(entry.synced), topic_id, payload) + tuple(message.dating or (None, None))
        # or replace: a write that failed may have come through after all
        statements.append(("INSERT OR REPLACE INTO message (%s) VALUES (?, ?, ?, ?, ?, ?, ?)" % _COLUMNS, values))
        if message.keepsake is not None:
            statements.append(self.keepsakes.statement_for(entry.id, message.keepsake))
        return statements

    def _statements_for_bookmark(self, bookmark: Bookmark) -> List[Statement]:
        written, wanted = set(self._written_waiting), set(bookmark.waiting)
        statements: List[Statement] = [
            ("DELETE FROM waiting WHERE first = ?", (first,)) for first, _ in sorted(written - wanted)
        ]
        statements += [("INSERT INTO waiting VALUES (?, ?)", span) for span in sorted(wanted - written)]
        statements.append(("UPDATE bookmark SET known_id = ?, open_from = ?", (bookmark.known_id, bookmark.open_from)))
        return statements

    def _entry_from(self, row: tuple) -> Entry:
        each, put_ms, synced, topic_id, payload, machine_boot_id, monotonic_s = row
        is_dated = isinstance(machine_boot_id, str) and isinstance(monotonic_s, float) and abs(monotonic_s) < _MOST_S
        is_sound = isinstance(put_ms, int) and abs(put_ms) < 1000 * _MOST_S and synced in (0, 1)
        if not is_sound or not isinstance(payload, bytes) or not (machine_boot_id is None or is_dated):
            raise DamagedError("message %s is not as it was written" % each)
        if not self._topics.knows_id(topic_id):
            self._read_topics()
        dating = None if machine_boot_id is None else Dating(machine_boot_id, monotonic_s)
        return Entry(each, put_ms, bool(synced), self._topics.decode(topic_id, payload)._replace(dating=dating))

    def _read_topics(self) -> None:
        self._topics.learn(self._read("SELECT id, name, qos, retain, payload FROM topic"))


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _MOST_ID


def _check_format(path: Path) -> None:
    """SQLite would take a file of a later format for one that nobody may write, and for ever."""
    with open(str(path), "rb") as file:
        versions = file.read(20)[18:]
    if versions and max(versions) > 2:
        raise DamagedError("a file format that SQLite does not write")
