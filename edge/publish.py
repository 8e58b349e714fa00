"""The node's voice: messages to the broker, whether it is there or not.

One thread owns the connection. Whoever publishes never waits: what is durable goes to the store and is sent from
there, the rest is sent now or dropped and counted.
"""

import logging
import threading
import time
import uuid
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Set

from edge.config import MqttConfig
from edge.connection import Connection, Received, Wakeup
from edge.connection_errors import NoConnectionError, address_of
from edge.errors import EdgeError
from edge.messages import status_message
from edge.outbox import Outbox
from edge.records import Message
from edge.retry import RetryHistory, RetryPolicy
from edge.store import Store, health_of_store
from edge.supervision import STAGE_LIMIT_S, Stage

__all__ = ["Publisher", "RetryPolicy"]

_LOGGER = logging.getLogger(__name__)
_UNACKNOWLEDGED = 40  # messages that are not durable and wait for the broker's word
_PENDING = 256
_IDLE_S = 1.0
_CONGESTED_S = 0.1  # how often to see whether the link takes bytes again
_LAST_WORD_S = 0.5  # of the time to close: for giving up an attempt that has come to nothing
_CONNECTING_S = 180.0  # name servers that do not answer, the handshakes, an attempt's own limits
_FAREWELL_SHARE = 0.3  # of the time to close: kept for `offline`


class Publisher:
    """Publishes one node's messages.

    Args:
        store: owned by the caller, who closes it after the publisher.
        on_connect_messages: info and source states, asked for on every connection, in the publisher's thread.
        installation_id: makes the client id this installation's own; of this process where None.
        subscriptions: topics to read, without wildcards, and what takes their messages, in the publisher's thread. A
            broker that does not allow it is published to all the same.
        stage: told that the thread lives, with a broker or without; by a supervision of the caller's.
    """

    def __init__(
        self,
        config: MqttConfig,
        node: str,
        store: Store,
        on_connect_messages: Callable[[], List[Message]],
        installation_id: Optional[str] = None,
        retry: Optional[RetryPolicy] = None,
        subscriptions: Optional[Mapping[str, Callable[[Received], None]]] = None,
        stage: Optional[Stage] = None,
    ) -> None:
        self.stage = stage if stage is not None else Stage("mqtt-publisher")
        self._subscriptions = dict(subscriptions or {})
        self._config, self._retry, self._store = config, retry or RetryPolicy(), store
        self._history = RetryHistory(self._retry)
        self._on_connect_messages = on_connect_messages
        self._where = address_of(config)
        self._client_id = "%s-%s" % (node, installation_id or uuid.uuid4().hex[:8])
        self._online = status_message(config.root, node, "online")
        self._offline = status_message(config.root, node, "offline")
        self._outbox = Outbox(store, replay_rate_hz=config.replay_rate_hz)
        store.call_when_sendable(self._look_again)
        self._pending: Deque[Message] = deque()
        self._unacknowledged: Set[int] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._deadline_s = float("inf")
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)
        self._state, self._last_error = "connecting", ""
        self._connections = self._sent = self._dropped = 0

    def __enter__(self) -> "Publisher":
        return self.open()

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def open(self) -> "Publisher":
        """Begin to connect, for as long as it takes.  Raises ConfigError: a file of [mqtt] cannot be read."""
        Connection(self._config, self._client_id).abort()
        self.stage.wait("a connection to the broker", _CONNECTING_S)
        self._thread.start()
        return self

    @property
    def connection_state(self) -> str:
        """connecting, connected, unreachable, refused, tls_failed, lost, misconfigured, fault, closed."""
        return self._state

    @property
    def last_error(self) -> str:
        """Why there is no connection, or was none last; empty if there never was a reason."""
        return self._last_error

    @property
    def was_cut_again(self) -> bool:
        """Whether the broker ends connections soon and more than once: send it nothing that can be left out."""
        return self._history.was_cut_again

    def publish(self, message: Message) -> None:
        """Send as soon as can be.  Never waits for the broker, never raises for its sake."""
        if message.durable:
            self._outbox.add(message)
        else:
            with self._lock:
                if self._state != "connected" or len(self._pending) >= _PENDING:
                    self._dropped += 1
                    return
                self._pending.append(message)
        self._wake()

    def health(self) -> Dict[str, Any]:
        """The fields of `health` that tell of the broker and the store."""
        values = health_of_store(self._store.counts())
        values.update(
            {
                "mqtt_reconnects": max(0, self._connections - 1),
                "mqtt_sent": self._sent,
                "mqtt_dropped": self._dropped,
                "mqtt_in_flight": self._outbox.in_flight,
            }
        )
        return values

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what is left, say `offline` and part; within the time, whatever the broker does."""
        self._deadline_s = time.monotonic() + timeout_s - min(_LAST_WORD_S, 0.1 * timeout_s)
        if not self._closing.is_set():
            self._closing.set()
            self._wakeup.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOGGER.warning("mqtt: the broker did not let go within %.1f s; left behind", timeout_s)
        else:
            self._wakeup.close()
        self._state = "closed"
        waiting = self._store.counts().waiting
        if waiting:
            _LOGGER.warning("mqtt: %d durable messages stay unsent in the store", waiting)

    def _look_again(self) -> None:
        self._outbox.look_again()
        self._wake()

    def _wake(self) -> None:
        if not self._closing.is_set():
            self._wakeup.wake()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._connect_and_serve(should_stop=self._closing.is_set)
            delay_s = self._history.delay_s()
            self.stage.wait("the next attempt at the broker", delay_s + STAGE_LIMIT_S)
            self._closing.wait(delay_s)
        # closed before there was a connection, or between two: one last attempt
        if self._store.counts().waiting and time.monotonic() < self._deadline_s:
            self._connect_and_serve(should_stop=lambda: time.monotonic() >= self._deadline_s)

    def _connect_and_serve(self, should_stop: Callable[[], bool]) -> None:
        started_s = time.monotonic()
        self.stage.wait("a connection to the broker", _CONNECTING_S)
        try:
            connection = Connection(self._config, self._client_id, self._offline, self._hear)
            try:
                connection.open(should_stop=should_stop)
                started_s = time.monotonic()
                self._serve(connection)
            finally:
                connection.abort()
                self._forget_connection()
        except EdgeError as error:
            self._note_failure(error, time.monotonic() - started_s)
        except Exception:  # the thread's boundary: a silent publisher would look alive
            _LOGGER.exception("mqtt: a fault inside the publisher; it begins anew")
            self._state = "fault"
            self._history.note_fault()

    def _serve(self, connection: Connection) -> None:
        _LOGGER.info("mqtt: connected to %s as %s", self._where, self._client_id)
        self._connections += 1
        with self._lock:  # before the announcement: a state that changes meanwhile is sent after it, and not dropped
            self._state, self._last_error = "connected", ""
        if not self._history.was_cut_again:  # else it may be a broker that throws out who asks for too much
            connection.request(list(self._subscriptions))
        self._announce(connection)
        while not self._closing.is_set():
            self.stage.progress()
            self._send_waiting(connection)
            self._pump(connection, self._pause_s(connection))
            if self._outbox.oldest_in_flight_s() > self._retry.acknowledge_s:
                raise NoConnectionError(
                    "broker %s has not acknowledged a message within %g s" % (self._where, self._retry.acknowledge_s),
                    "see its log, its load and the network",
                )
        self._take_leave(connection)

    def _hear(self, received: Received) -> None:
        take = self._subscriptions.get(received.topic)
        if take is not None:
            take(received)

    def _pause_s(self, connection: Connection) -> float:
        if connection.is_congested:
            return _CONGESTED_S
        due_in_s = self._outbox.due_in_s()
        return _IDLE_S if due_in_s is None else min(due_in_s, _IDLE_S)

    def _announce(self, connection: Connection) -> None:
        for message in [self._online] + self._on_connect_messages():
            self._send(connection, message)

    def _send_waiting(self, connection: Connection) -> None:
        with self._lock:
            pending, self._pending = list(self._pending), deque()
        for message in pending:
            has_room = not connection.is_congested and len(self._unacknowledged) < _UNACKNOWLEDGED
            if has_room:
                self._send(connection, message)
            else:
                with self._lock:
                    self._dropped += 1
        while not connection.is_congested and self._outbox.send_next(connection.publish):
            self._sent += 1

    def _send(self, connection: Connection, message: Message) -> None:
        message_id = connection.publish(message)
        self._sent += 1
        if message.qos:
            self._unacknowledged.add(message_id)

    def _pump(self, connection: Connection, timeout_s: float) -> None:
        connection.pump(timeout_s, self._wakeup)
        for message_id in connection.take_acknowledged():
            self._unacknowledged.discard(message_id)
            self._outbox.acknowledge(message_id)

    def _take_leave(self, connection: Connection) -> None:
        left_s = self._deadline_s - time.monotonic()
        flush_until_s = self._deadline_s - _FAREWELL_SHARE * left_s
        while time.monotonic() < flush_until_s:
            self._send_waiting(connection)
            if not (self._outbox.in_flight or self._pending):
                break
            self._pump(connection, min(flush_until_s - time.monotonic(), self._pause_s(connection)))
        self._send(connection, self._offline)
        farewell_until_s = self._deadline_s - 0.1 * left_s
        while self._unacknowledged and time.monotonic() < farewell_until_s:
            self._pump(connection, farewell_until_s - time.monotonic())
        if not self._unacknowledged:
            connection.close()
        # else the connection is dropped, and the broker, should it wake up, publishes the will: `offline` again

    def _forget_connection(self) -> None:
        with self._lock:
            self._dropped += len(self._pending)
            self._pending.clear()
            self._state = "lost" if self._state == "connected" else self._state
        self._unacknowledged.clear()
        self._outbox.forget_connection()

    def _note_failure(self, error: EdgeError, lasted_s: float) -> None:
        self._history.note(error, lasted_s)
        text = str(error)
        if self._history.looks_like_two:
            text += "; it does so again and again: is another node running under the client id %s?" % self._client_id
        if not self._closing.is_set():
            level = logging.WARNING if text != self._last_error else logging.DEBUG
            _LOGGER.log(level, "mqtt: %s; trying again", text)
        self._state = error.state if isinstance(error, NoConnectionError) else "misconfigured"
        self._last_error = text
