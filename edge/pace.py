"""How fast stored messages go out: history gives way to news, to slow links and to slow readers."""

from typing import Optional

_BURST_S = 0.1  # what a late turn of the sender may catch up with
_QUICK_S, _SLOW_S = 0.25, 1.0  # queueing on the way, as the acknowledgements show it


class Pace:
    """When the next stored message may go: at most so many a second, and no more on their way than stay short.

    What is on its way cannot be overtaken any more, so a new message waits behind it. How many that are follows the
    time that acknowledgements take beyond the quickest one of the connection: one more for each quick answer, half of
    them after a slow one (additive increase, multiplicative decrease, as TCP does since Jacobson 1988; the delay as
    the sign of a queue is Brakmo's, TCP Vegas 1994).

    Args:
        rate_hz: messages a second.
        most: messages on their way at once, where the link is quick.
    """

    def __init__(self, rate_hz: float, most: int) -> None:
        self._rate_hz, self._most = rate_hz, most
        self._burst = max(1.0, rate_hz * _BURST_S)
        self._tokens = self._burst
        self._filled_at_s: Optional[float] = None
        self._limit, self._best_s = 1, float("inf")
        self._on_their_way = 0

    def due_in_s(self, now_s: float) -> Optional[float]:
        """Seconds until the next one may go; None: not before an acknowledgement."""
        if self._on_their_way >= self._limit:
            return None
        self._fill(now_s)
        return max(0.0, (1.0 - self._tokens) / self._rate_hz)

    def note_sent(self, now_s: float) -> None:
        """One is on its way."""
        self._fill(now_s)
        self._tokens -= 1.0
        self._on_their_way += 1

    def note_acknowledged(self, took_s: float) -> None:
        """The broker has one; so long after it was sent."""
        self._on_their_way -= 1
        self._best_s = min(self._best_s, took_s)
        queued_s = took_s - self._best_s
        if queued_s > _SLOW_S:
            self._limit = max(1, self._limit // 2)
        elif queued_s < _QUICK_S:
            self._limit = min(self._most, self._limit + 1)

    def begin_connection(self) -> None:
        """Nothing is on its way, and nothing is known of the link; the rate goes on."""
        self._limit, self._best_s, self._on_their_way = 1, float("inf"), 0

    def _fill(self, now_s: float) -> None:
        if self._filled_at_s is not None:
            earned = (now_s - self._filled_at_s) * self._rate_hz
            self._tokens = min(self._burst, self._tokens + max(0.0, earned))
        self._filled_at_s = now_s
