"""Which durable message is sent next, and which are on their way.

Messages of the last half minute go first and in order; older ones are the backlog, go at a bounded rate in a part of
the room, in order among themselves, and say `replayed`.  A row is sent once in a connection.
"""

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Optional

from edge.messages import mark_replayed, time_ms_of
from edge.pace import Pace
from edge.records import Message
from edge.redating import Redater
from edge.store import NEWS_S, Store, StoredRow


class _Row(NamedTuple):
    row: int
    message: Message
    news_from_s: Optional[float]  # monotonic; None for rows of the backlog
    sent_at_s: float = 0.0  # monotonic; of those that are on their way


class Outbox:
    """The store's way to the broker.  `add` may be called from any thread, the rest from the sender's alone.

    Args:
        window: rows on their way at once; the backlog takes no more than half of it, so that news find room.
        redater: gives true times to what was recorded before the machine knew the time.
        remembered: so many new rows are known to be new; where more come in half a minute, the oldest of them count as
            backlog, and the order breaks there.
        replay_rate_hz: rows of the backlog a second, so that no reader is overrun.
    """

    def __init__(
        self,
        store: Store,
        window: int = 20,
        remembered: int = 10000,
        replay_rate_hz: float = 50.0,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        redater: Optional[Redater] = None,
    ) -> None:
        self._redater = redater or Redater()
        self._store, self._window, self._remembered = store, window, remembered
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        self._lock = threading.Lock()
        self._fresh: Deque[_Row] = deque()
        self._backlog: Deque[StoredRow] = deque()  # what was last peeked of it
        self._has_backlog = True  # until the store says otherwise
        self._in_flight: Dict[int, _Row] = {}  # by the connection's message id
        self._pace = Pace(replay_rate_hz, max(1, window // 2))

    @property
    def in_flight(self) -> int:
        """Rows sent and not yet acknowledged."""
        return len(self._in_flight)

    def add(self, message: Message) -> None:
        """Keep a new message in the store, to be sent soon."""
        with self._lock:
            self._fresh.append(_Row(self._store.put(message), message, self._news_from_s(message)))
            if len(self._fresh) > self._remembered:
                self._fresh.popleft()
                self._has_backlog = True
            self._age()  # here too: while there is no connection nobody takes any

    def due_in_s(self) -> Optional[float]:
        """Seconds until the next row may be sent; None: not before something is added or acknowledged."""
        if len(self._in_flight) >= self._window:
            return None
        with self._lock:
            if self._has_news:
                return 0.0
            return self._pace.due_in_s(self._monotonic_s()) if self._backlog or self._has_backlog else None

    def oldest_in_flight_s(self) -> float:
        """How long the row that has waited longest for the broker's word has done so; 0 where none waits."""
        sent_at_s = [sent.sent_at_s for sent in self._in_flight.values()]
        return self._monotonic_s() - min(sent_at_s) if sent_at_s else 0.0

    def look_again(self) -> None:
        """The store has rows to send that nobody added here, or has written some that were."""
        with self._lock:
            self._has_backlog = True

    def send_next(self, send: Callable[[Message], int]) -> bool:
        """Send one row, if there is one and room for it.

        Args:
            send: hands a message to the connection and returns its id there. If it raises, the row stays unsent.

        Returns:
            Whether a row was sent.
        """
        if len(self._in_flight) >= self._window:
            return False
        with self._lock:
            chosen = self._take()
        if chosen is None:
            return False
        try:
            message_id = send(self._redater.correct(chosen.message))
        except Exception:
            with self._lock:
                self._put_back([chosen])
            raise
        now_s = self._monotonic_s()
        if chosen.news_from_s is None:
            self._pace.note_sent(now_s)
        self._in_flight[message_id] = chosen._replace(sent_at_s=now_s)
        return True

    def acknowledge(self, message_id: int) -> None:
        """The broker has what was sent under this id.  Ids of other messages are ignored."""
        sent = self._in_flight.pop(message_id, None)
        if sent is None:
            return
        if sent.news_from_s is None:
            self._pace.note_acknowledged(self._monotonic_s() - sent.sent_at_s)
        self._store.ack(sent.row)

    def forget_connection(self) -> None:
        """The connection is gone: what it had not acknowledged is unsent again."""
        with self._lock:
            self._put_back(sorted(self._in_flight.values()))
        self._in_flight.clear()
        self._pace.begin_connection()

    def _put_back(self, rows: List[_Row]) -> None:
        known = [row for row in rows if row.news_from_s is not None]
        self._fresh = deque(sorted(known + list(self._fresh)))
        self._backlog.clear()
        self._has_backlog = True

    def _take(self) -> Optional[_Row]:
        self._age()
        if self._has_news:
            return self._fresh.popleft()
        if self._pace.due_in_s(self._monotonic_s()) != 0.0:
            return None
        if not self._backlog and self._has_backlog:
            self._peek()
        if self._backlog:
            stored = self._backlog.popleft()
            message = stored.message
            if stored.is_late(self._wall_s()):
                message = message._replace(payload=mark_replayed(message.payload))
            return _Row(stored.row, message, None)
        return None

    @property
    def _has_news(self) -> bool:
        return bool(self._fresh) and self._fresh[0].row <= self._store.sendable_row

    def _age(self) -> None:
        now_s = self._monotonic_s()
        while self._fresh and now_s - (self._fresh[0].news_from_s or 0.0) > NEWS_S:
            self._fresh.popleft()
            self._has_backlog = True

    def _peek(self) -> None:
        taken = {sent.row for sent in self._in_flight.values()}
        taken.update(known.row for known in self._fresh)  # not written a moment ago, perhaps by now
        self._backlog.extend(stored for stored in self._store.peek(3 * self._window) if stored.row not in taken)
        self._has_backlog = bool(self._backlog)

    def _news_from_s(self, message: Message) -> float:
        """Monotonic time of what a message tells; of now, where that is another day: a recording's."""
        time_ms = time_ms_of(message.payload)
        since_s = 0.0 if time_ms is None else self._wall_s() - time_ms / 1000.0
        return self._monotonic_s() - (since_s if 0 <= since_s <= NEWS_S else 0.0)
