"""When to try the broker again, and what the way it went tells."""

import random
from typing import NamedTuple

from edge.connection_errors import NoConnectionError, RefusedError
from edge.errors import EdgeError

_STABLE_S = 10.0  # a connection that lasts this long was a good one
_SHORT_CONNECTIONS = 3  # so many bad ones in a row look like two nodes under one id


class RetryPolicy(NamedTuple):
    """How long to wait before the next attempt."""

    first_s: float = 1.0  # doubles with each failure
    longest_s: float = 30.0
    refused_s: float = 60.0  # after a refusal, which haste does not mend
    acknowledge_s: float = 60.0  # a broker that owes its word for longer than this is left for a new connection


class RetryHistory:
    """How the attempts went, and how long to wait for the next."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = self._short_connections = 0
        self._is_refused = False

    @property
    def looks_like_two(self) -> bool:
        """Whether good connections are ended again and again, as two nodes under one client id do to each other."""
        return self._short_connections >= _SHORT_CONNECTIONS

    @property
    def was_cut_again(self) -> bool:
        """Whether they were ended soon more than once: something in what we ask for may be why."""
        return self._short_connections >= 2

    def note(self, error: EdgeError, lasted_s: float) -> None:
        """An attempt or a connection has ended; so long after it began."""
        was_connected = type(error) is NoConnectionError
        self._failures = 0 if was_connected and lasted_s >= _STABLE_S else self._failures + 1
        self._short_connections = self._short_connections + 1 if was_connected and lasted_s < _STABLE_S else 0
        self._is_refused = isinstance(error, RefusedError)

    def note_fault(self) -> None:
        """It ended by a mistake in the program."""
        self._failures += 1

    def delay_s(self) -> float:
        """How long to wait now; not quite the same for each node, so that they do not come back all at once."""
        policy = self._policy
        delay_s = min(policy.longest_s, policy.first_s * 2.0 ** min(max(0, self._failures - 1), 16))
        return (policy.refused_s if self._is_refused else delay_s) * random.uniform(0.8, 1.0)
