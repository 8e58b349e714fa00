"""When a microphone that failed is tried again: after a pause that grows, or soon after a sound card came or went."""

import time
from typing import Callable, Tuple

_LOOK_S = 0.25  # how often the kernel's list of sound cards is looked at while there is no microphone
_SETTLE_S = 0.5  # after it changed: a card is listed before it can be opened


class RestartWait:
    """The wait between a failure and the next start.

    Args:
        backoff_s: The first pause before a new start, and the longest.
        cards: What sound devices the machine has; where that changes, a new start is tried at once.
    """

    def __init__(self, backoff_s: Tuple[float, float], cards: Callable[[], str]) -> None:
        self._backoff_s = backoff_s
        self._cards, self._known_cards = cards, ""
        self._retry_at_s = 0.0
        self._pause_s = backoff_s[0]

    @property
    def has_failed(self) -> bool:
        """Whether anything has, since `begin`: the next start is another one."""
        return self._retry_at_s > 0

    def begin(self) -> None:
        """Forget what was: the source is opened."""
        self._retry_at_s, self._pause_s = 0.0, self._backoff_s[0]

    def note_start(self) -> None:
        """A start was tried with the cards that there are now."""
        self._known_cards = self._cards()

    def note_steady(self) -> None:
        """Sound has come for long: the next pause is the first one again."""
        self._pause_s = self._backoff_s[0]

    def note_failure(self) -> None:
        """The next start is due after a pause, and the pause after that is longer."""
        self._retry_at_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._backoff_s[1])

    def wait(self, wait_s: float) -> bool:
        """Wait a little, at most so long.  Returns whether a start is due."""
        now_s = time.monotonic()
        cards = self._cards()
        if cards != self._known_cards:
            self._known_cards = cards
            self._retry_at_s = min(self._retry_at_s, now_s + _SETTLE_S)
            self._pause_s = self._backoff_s[0]
        time.sleep(max(0.0, min(wait_s, _LOOK_S, self._retry_at_s - now_s)))
        return time.monotonic() >= self._retry_at_s
