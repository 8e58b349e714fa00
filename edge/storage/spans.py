"""Which rows are meant, as few stretches of whole numbers: a million rows that wait in order are one of them."""

import bisect
from typing import Iterable, Iterator, List, Tuple

Span = Tuple[int, int]  # first and last, both in it


class RowSpans:
    """A set of row numbers.  Made for sets that are mostly without holes.

    Args:
        spans: that do not touch each other, in order.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        spans = list(spans)
        self._firsts = [first for first, _ in spans]
        self._lasts = [last for _, last in spans]
        self._count = sum(last - first + 1 for first, last in spans)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, row: int) -> bool:
        at = bisect.bisect_right(self._firsts, row) - 1
        return at >= 0 and row <= self._lasts[at]

    @property
    def spans(self) -> List[Span]:
        """All stretches, in order."""
        return list(zip(self._firsts, self._lasts))

    def add(self, row: int) -> None:
        """Take one row in."""
        if row in self:
            return
        at = bisect.bisect_right(self._firsts, row)
        joins_left = at > 0 and self._lasts[at - 1] == row - 1
        joins_right = at < len(self._firsts) and self._firsts[at] == row + 1
        if joins_left and joins_right:
            self._lasts[at - 1] = self._lasts[at]
            del self._firsts[at], self._lasts[at]
        elif joins_left:
            self._lasts[at - 1] = row
        elif joins_right:
            self._firsts[at] = row
        else:
            self._firsts.insert(at, row)
            self._lasts.insert(at, row)
        self._count += 1

    def remove(self, row: int) -> bool:
        """Take one row out.  Returns whether it was in."""
        at = bisect.bisect_right(self._firsts, row) - 1
        if at < 0 or row > self._lasts[at]:
            return False
        first, last = self._firsts[at], self._lasts[at]
        kept = [span for span in ((first, row - 1), (row + 1, last)) if span[0] <= span[1]]
        self._firsts[at : at + 1] = [span[0] for span in kept]
        self._lasts[at : at + 1] = [span[1] for span in kept]
        self._count -= 1
        return True

    def remove_through(self, row: int) -> int:
        """Take out every row up to this one.  Returns how many were in."""
        before = self._count
        while self._firsts and self._firsts[0] <= row:
            if self._lasts[0] <= row:
                self._count -= self._lasts.pop(0) - self._firsts.pop(0) + 1
            else:
                self._count -= row + 1 - self._firsts[0]
                self._firsts[0] = row + 1
        return before - self._count

    def after(self, row: int) -> Iterator[int]:
        """The rows beyond this one, in order.  The set must not change meanwhile."""
        at = max(0, bisect.bisect_right(self._firsts, row) - 1)
        for first, last in zip(self._firsts[at:], self._lasts[at:]):
            for each in range(max(first, row + 1), last + 1):
                yield each
