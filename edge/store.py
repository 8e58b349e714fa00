"""Where durable messages wait until the broker has acknowledged them."""

import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from edge.messages import time_ms_of
from edge.records import Message

NEWS_S = 30.0  # what is sent later than this after its time is history and says `replayed`


class StoredRow(NamedTuple):
    """A durable message in the store."""

    row: int
    message: Message
    put_ms: int  # wall clock when it came, milliseconds since the epoch; 0 for what is to be sent once more

    def is_late(self, wall_s: float) -> bool:
        """Whether it is history at this wall clock time.  So it is as well where that time cannot be true."""
        return abs(wall_s - self._news_from_ms / 1000.0) > NEWS_S

    @property
    def _news_from_ms(self) -> int:
        """Its own time; when it came, where it tells of another day: a recording is news while it is being played."""
        time_ms = time_ms_of(self.message.payload)
        return self.put_ms if time_ms is None or not 0 <= self.put_ms - time_ms <= 1000 * NEWS_S else time_ms


class StoreCounts(NamedTuple):
    """What a store holds and has seen."""

    waiting: int  # rows put and not yet acknowledged
    dropped: int  # rows lost unacknowledged since the store was opened, because it was full
    state: str = "memory"  # see `store_state` in edge.message_types
    rows: int = 0  # the acknowledged ones that are kept as well
    bytes: int = 0
    oldest_s: Optional[float] = None  # age of the oldest row that waits; None where none does
    set_aside: int = 0  # files that could not be read and were moved out of the way, since the store was opened


class OpenEvent(NamedTuple):
    """An event that was begun and not ended."""

    message: Message  # the last that told of it
    known_ms: int  # UTC, milliseconds since the epoch: it is known to have lasted until then


class Store(ABC):
    """Durable messages in the order in which they came.  All methods may be called from several threads."""

    @abstractmethod
    def put(self, message: Message) -> int:
        """Keep one message, without waiting for a disk.  Returns its row: ever rising, never used again."""

    @property
    @abstractmethod
    def sendable_row(self) -> int:
        """Rows up to this one may be sent: they are on the disk, or the disk fails and memory is all there is."""

    @abstractmethod
    def call_when_sendable(self, callback: Callable[[], None]) -> None:
        """Have this called, from any thread, whenever rows become sendable after `put` has returned."""

    @abstractmethod
    def peek(self, limit: int, after: int = 0) -> List[StoredRow]:
        """At most so many sendable rows beyond `after` that are not acknowledged, oldest first.  They stay."""

    @abstractmethod
    def ack(self, row: int) -> None:
        """The broker has this row.  A row that is not there any more is no error."""

    @abstractmethod
    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is sendable.  Returns whether it is."""

    @abstractmethod
    def open_events(self) -> List[OpenEvent]:
        """The events that earlier starts of the daemon began and did not end, oldest first."""

    @abstractmethod
    def keepsakes(self, owner: str) -> Optional[List[bytes]]:
        """What messages brought with them for this owner to keep, oldest first, from the newest of them back as far as
        days; None: nothing outlives the process here."""

    @abstractmethod
    def counts(self) -> StoreCounts:
        """What it holds."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds open.  Closing twice is no error."""

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def health_of_store(counts: StoreCounts) -> Dict[str, Any]:
    """The fields of `health` that tell of the store."""
    return {"store_" + name: value for name, value in counts._asdict().items()}


class MemoryStore(Store):
    """A store that dies with the process.  What is acknowledged is gone.

    Args:
        max_rows: when there would be more, the oldest is dropped and counted.
    """

    def __init__(self, max_rows: int = 10000, wall_s: Callable[[], float] = time.time) -> None:
        if max_rows < 1:
            raise ValueError("max_rows is %d; expected at least 1" % max_rows)
        self._max_rows, self._wall_s = max_rows, wall_s
        self._lock = threading.Lock()
        self._rows = OrderedDict()  # type: OrderedDict[int, StoredRow]
        self._last_row = 0
        self._dropped = self._bytes = 0

    def put(self, message: Message) -> int:
        """See Store."""
        with self._lock:
            self._last_row += 1
            kept = message._replace(keepsake=None)
            self._rows[self._last_row] = StoredRow(self._last_row, kept, int(1000 * self._wall_s()))
            self._bytes += len(message.payload)
            if len(self._rows) > self._max_rows:
                self._remove(next(iter(self._rows)))
                self._dropped += 1
            return self._last_row

    @property
    def sendable_row(self) -> int:
        """See Store: memory is at hand at once."""
        return self._last_row

    def call_when_sendable(self, callback: Callable[[], None]) -> None:
        """See Store: rows are sendable when `put` returns."""

    def peek(self, limit: int, after: int = 0) -> List[StoredRow]:
        """See Store."""
        with self._lock:
            beyond = (stored for row, stored in self._rows.items() if row > after)
            return [stored for stored, _ in zip(beyond, range(limit))]

    def ack(self, row: int) -> None:
        """See Store."""
        with self._lock:
            self._remove(row)

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 - its contract
        """See Store: there is nothing to wait for."""
        return True

    def open_events(self) -> List[OpenEvent]:
        """See Store: of earlier starts nothing is known."""
        return []

    def keepsakes(self, owner: str) -> Optional[List[bytes]]:  # noqa: ARG002 - its contract
        """See Store."""
        return None

    def counts(self) -> StoreCounts:
        """See Store."""
        with self._lock:
            oldest = next(iter(self._rows.values()), None)
            age_s = None if oldest is None else max(0.0, self._wall_s() - oldest.put_ms / 1000.0)
            return StoreCounts(len(self._rows), self._dropped, rows=len(self._rows), bytes=self._bytes, oldest_s=age_s)

    def close(self) -> None:
        """See Store."""

    def _remove(self, row: int) -> None:
        stored = self._rows.pop(row, None)
        if stored is not None:
            self._bytes -= len(stored.message.payload)
