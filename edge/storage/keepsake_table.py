"""What the node keeps for itself of the messages in a file, by their ids: written in their transaction."""

from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from edge.records import Keepsake
from edge.storage.faults import DamagedError
from edge.storage.spans import Span

Statement = Tuple[str, tuple]

_CREATE = "CREATE TABLE keepsake (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, content BLOB NOT NULL)"
_INSERT = "INSERT OR REPLACE INTO keepsake VALUES (?, ?, ?)"
_SLACK = 4  # dropped are those of a fourth at once: the fewer times, the less is written


class KeepsakeTable:
    """One table of a file.  Every method may raise DamagedError or DiskError.

    Args:
        read, write: of the connection: what a query gives; statements done at once or not at all.
    """

    def __init__(self, read: Callable[..., List[tuple]], write: Callable[[Iterable[Statement]], None]) -> None:
        self._do_read, self._do_write = read, write

    def begin(self) -> None:
        """Make it where it is not there yet, as in files of earlier versions."""
        if not self._is_there():
            self._do_write([(_CREATE, ())])

    def statement_for(self, message_id: int, keepsake: Keepsake) -> Statement:
        """To be done with the message's own."""
        return _INSERT, (message_id,) + tuple(keepsake)

    def read(self, owner: str) -> List[Tuple[int, bytes]]:
        """What one owner keeps, with the ids of the messages, oldest first."""
        if not self._is_there():
            return []
        rows = self._do_read("SELECT id, content FROM keepsake WHERE owner = ? ORDER BY id", (owner,))
        if not all(isinstance(each, int) and isinstance(content, bytes) for each, content in rows):
            raise DamagedError("keepsakes of %r are not as they were written" % owner)
        return [(each, content) for each, content in rows]

    def ends(self) -> Optional[Span]:
        """First and last id; None without any."""
        first, last = self._do_read("SELECT (SELECT min(id) FROM keepsake), (SELECT max(id) FROM keepsake)")[0]
        return None if first is None else (first, last)

    def read_between(self, first_id: int, last_id: int) -> List[Keepsake]:
        """Everybody's from one id to another, as far as they are any; oldest first."""
        sql = "SELECT owner, content FROM keepsake WHERE id BETWEEN ? AND ? ORDER BY id"
        rows = self._do_read(sql, (first_id, last_id))
        return [Keepsake(*row) for row in rows if isinstance(row[0], str) and isinstance(row[1], bytes)]

    def write_old(self, keepsakes: Sequence[Keepsake]) -> None:
        """Put these before all others: a file begins with them, and no message of it brought them."""
        self._do_write(self.statement_for(each, one) for each, one in enumerate(keepsakes, start=-len(keepsakes)))

    def drop_old(self, of_each: int, in_all: int) -> None:
        """Of each owner's keep so many, or its share of the whole, once there is a good deal more than that."""
        counts = self._do_read("SELECT owner, count(*) FROM keepsake GROUP BY owner")
        kept = min(of_each, in_all // max(1, len(counts)))
        for owner, count in counts:
            if count > kept + kept // _SLACK:
                newest = "SELECT id FROM keepsake WHERE owner = ? ORDER BY id DESC LIMIT ?"
                sql = "DELETE FROM keepsake WHERE owner = ? AND id NOT IN (%s)" % newest
                self._do_write([(sql, (owner, owner, kept))])

    def _is_there(self) -> bool:
        return bool(self._do_read("SELECT count(*) FROM sqlite_master WHERE name = 'keepsake'")[0][0])
