"""Where durable messages wait until the broker has acknowledged them."""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, List, NamedTuple, Tuple

from edge.records import Message


class StoreCounts(NamedTuple):
    """What a store holds and has seen."""

    waiting: int  # rows put and not yet acknowledged
    dropped: int  # rows lost unacknowledged since the store was opened, because it was full


class Store(ABC):
    """Durable messages in the order in which they came.  All methods may be called from several threads."""

    @abstractmethod
    def put(self, message: Message) -> int:
        """Keep one message.  Returns its row: ever rising, never used again."""

    @abstractmethod
    def peek(self, limit: int) -> List[Tuple[int, Message]]:
        """At most so many rows that are not acknowledged, oldest first.  They stay."""

    @abstractmethod
    def ack(self, row: int) -> None:
        """The broker has this row.  A row that is not there any more is no error."""

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


class MemoryStore(Store):
    """A store that dies with the process.

    Args:
        max_rows: when there would be more, the oldest is dropped and counted.
    """

    def __init__(self, max_rows: int = 10000) -> None:
        if max_rows < 1:
            raise ValueError("max_rows is %d; expected at least 1" % max_rows)
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._rows = OrderedDict()  # type: OrderedDict[int, Message]
        self._last_row = 0
        self._dropped = 0

    def put(self, message: Message) -> int:
        """See Store."""
        with self._lock:
            self._last_row += 1
            self._rows[self._last_row] = message
            if len(self._rows) > self._max_rows:
                self._rows.popitem(last=False)
                self._dropped += 1
            return self._last_row

    def peek(self, limit: int) -> List[Tuple[int, Message]]:
        """See Store."""
        with self._lock:
            return [item for item, _ in zip(self._rows.items(), range(limit))]

    def ack(self, row: int) -> None:
        """See Store."""
        with self._lock:
            self._rows.pop(row, None)

    def counts(self) -> StoreCounts:
        """See Store."""
        with self._lock:
            return StoreCounts(len(self._rows), self._dropped)

    def close(self) -> None:
        """See Store."""
