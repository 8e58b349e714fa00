"""What the store knows without asking the disk.  Not for several threads: the store holds a lock around it."""

import bisect
import re
from collections import OrderedDict
from typing import Iterable, List, NamedTuple, Optional, Tuple

from edge.records import Message
from edge.storage.database import Bookmark, Entry
from edge.storage.open_events import OpenEvents
from edge.storage.spans import RowSpans, Span

_FIRST_ROW_WITHOUT_FILE = 1 << 40  # beyond every row of a file that shows up later
_PATIENT = re.compile(r".*/summary(/[a-z]+)?\Z")  # topics whose messages may wait for company


class Pending(NamedTuple):
    """A message that is not on the disk yet."""

    row: int
    message: Message
    put_ms: int
    synced: bool
    put_at_s: float  # monotonic


class Ledger:
    """Rows: which are written, which wait for the disk, which for the broker.

    A row's number lives with the process and is never used again; its id in the file is dense, and a fresh file begins
    anew. Stretches of rows whose ids run along are noted as one.

    Args:
        memory_rows: so many may wait for the disk; beyond that the oldest is dropped and counted.
    """

    def __init__(self, memory_rows: int) -> None:
        self._memory_rows = memory_rows
        self.pending = OrderedDict()  # type: OrderedDict[int, Pending]
        self.waiting = RowSpans()  # for the broker
        self.once_more = RowSpans()  # of them: asked for by hand
        self.open_events = OpenEvents()
        self.last_row = _FIRST_ROW_WITHOUT_FILE - 1
        self.written_row = 0
        self.next_id = 1
        self.first_id = 1
        self.dropped = 0
        self._urgent_row = 0  # the last put that is to be written at once
        self._stretches: List[Tuple[int, int]] = []  # (row, id) where each begins

    def adopt(self, ends: Optional[Span], bookmark: Bookmark) -> None:
        """A file was found: what it holds is older than every row put so far."""
        last_id = max(bookmark.known_id, ends[1] if ends is not None else 0)
        spans = list(bookmark.waiting)
        if last_id > bookmark.known_id:
            spans.append((bookmark.known_id + 1, last_id))
        spans += self.waiting.spans
        self.waiting = RowSpans(spans)
        self.first_id = ends[0] if ends is not None else last_id + 1
        self.next_id = last_id + 1
        self._stretches = [(1, 1)]
        self.written_row = last_id
        if not self.pending and self.last_row == _FIRST_ROW_WITHOUT_FILE - 1:
            self.last_row = last_id

    def replace_file(self, saved: Iterable[Entry], now_s: float) -> None:
        """The file is gone and a fresh one begins; this was saved of what waited in it."""
        self.dropped += self.waiting.remove_through(self.written_row)
        self.once_more = RowSpans()
        self.open_events = OpenEvents()
        self._stretches, self.next_id, self.first_id = [], 1, 1
        for entry in saved:
            self.put(entry.message, entry.put_ms, entry.synced, now_s)
            self.dropped = max(0, self.dropped - 1)

    @property
    def rows(self) -> int:
        """How many there are, on the disk and on the way there."""
        return self.next_id - self.first_id + len(self.pending)

    @property
    def is_urgent(self) -> bool:
        """Whether something is to be written at once."""
        return self._urgent_row in self.pending

    @property
    def oldest_put_at_s(self) -> float:
        """Monotonic time at which the first of what is to be written came."""
        return next(iter(self.pending.values())).put_at_s

    def put(self, message: Message, put_ms: int, synced: bool, put_at_s: float) -> int:
        """Take a message in.  Returns its row."""
        self.last_row += 1
        self.pending[self.last_row] = Pending(self.last_row, message, put_ms, synced, put_at_s)
        self.waiting.add(self.last_row)
        if not _PATIENT.match(message.topic):
            self._urgent_row = self.last_row
        if len(self.pending) > self._memory_rows:
            row, _ = self.pending.popitem(last=False)
            self.dropped += self.waiting.remove(row)
        return self.last_row

    def ack(self, row: int) -> bool:
        """The broker has it.  Returns whether that was news."""
        self.once_more.remove(row)
        return self.waiting.remove(row)

    def send_once_more(self, ids: Iterable[int]) -> None:
        """Messages of the file wait again."""
        for message_id in ids:
            if self.first_id <= message_id < self.next_id:
                row = self.row_of(message_id)
                self.waiting.add(row)
                self.once_more.add(row)

    def batch(self, limit: int) -> List[Pending]:
        """What is to be written next."""
        return [pending for pending, _ in zip(self.pending.values(), range(limit))]

    def entries_for(self, batch: List[Pending]) -> List[Entry]:
        """The same with the ids that they get."""
        return [
            Entry(message_id, pending.put_ms, pending.synced, pending.message)
            for message_id, pending in enumerate(batch, start=self.next_id)
        ]

    def note_written(self, batch: List[Pending]) -> None:
        """These are on the disk now."""
        for message_id, pending in enumerate(batch, start=self.next_id):
            self.pending.pop(pending.row, None)
            if not self._stretches or self.id_of(pending.row) != message_id:
                self._stretches.append((pending.row, message_id))
            self.open_events.follow(message_id, pending.message)
            self.written_row = pending.row
        self.next_id += len(batch)

    def note_deleted(self, last_id: int) -> int:
        """Messages up to this id were dropped from the file.  Returns how many of them waited."""
        self.first_id = last_id + 1
        lost = self.waiting.remove_through(self.row_of(last_id))
        self.once_more.remove_through(self.row_of(last_id))
        self.dropped += lost
        return lost

    def bookmark_after(self, batch: List[Pending]) -> Bookmark:
        """What is worth writing beside these."""
        ids = {pending.row: message_id for message_id, pending in enumerate(batch, start=self.next_id)}
        spans: List[Span] = []
        for first, last in self.waiting.spans:
            if first <= self.written_row:
                spans.append((self.id_of(first), self.id_of(min(last, self.written_row))))
        spans += [(ids[row], ids[row]) for row in ids if row in self.waiting]
        known_id = self.next_id + len(batch) - 1
        return Bookmark(known_id, self.open_events.first_id(self.next_id), _joined(spans))

    def is_noted(self, bookmark: Bookmark) -> bool:
        """Whether nothing was acknowledged since that bookmark."""
        return self.bookmark_after([]).waiting == bookmark.waiting

    def id_of(self, row: int) -> int:
        """A written row's id in the file."""
        at = max(0, bisect.bisect_right(self._stretches, (row, 1 << 62)) - 1)
        first_row, first_id = self._stretches[at]
        return first_id + row - first_row

    def row_of(self, message_id: int) -> int:
        """The row that has this id in the file; the id itself, below every row, in a file that was not taken up."""
        if not self._stretches:
            return message_id
        stretches = [(first_id, first_row) for first_row, first_id in self._stretches]
        at = max(0, bisect.bisect_right(stretches, (message_id, 1 << 62)) - 1)
        first_id, first_row = stretches[at]
        return first_row + message_id - first_id


def _joined(spans: List[Span]) -> Tuple[Span, ...]:
    joined: List[Span] = []
    for first, last in spans:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
