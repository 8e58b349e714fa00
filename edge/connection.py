"""One connection to an MQTT broker, by paho-mqtt 1.6 or 2.x, driven from the caller's own thread.

A connection lives once: whoever wants another makes another. So nothing that paho keeps inside (message ids, its own
resending) outlives the link, and no thread but the caller's touches paho.
"""

import fcntl
import reprlib
import select
import socket
import struct
import termios
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edge.config import MqttConfig
from edge.connection_errors import (
    NoConnectionError,
    RefusedError,
    UnreachableError,
    account_of,
    address_of,
    failure_from,
    refusal_from,
)
from edge.credentials import read_credentials
from edge.errors import ConfigError
from edge.records import Message
from edge.tls import tls_context_from

_MOST_QUEUED_BYTES = 32768  # a kernel would queue megabytes, minutes of what is said live, on a link that is too slow
_ERROR_LEVEL = 0x08  # paho's MQTT_LOG_ERR
_SLICE_S = 0.25  # how long a wait for the broker may overlook that it should stop


class Received(NamedTuple):
    """A message from the broker."""

    topic: str
    payload: bytes
    retained: bool


class Connection:
    """One MQTT 3.1.1 connection with a clean session.

    Args:
        config: credentials and certificates are read from their files now.
        will: what the broker publishes when we vanish.
        on_message: called from within `pump`.

    Raises:
        ConfigError: a file that the configuration names cannot be read.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        will: Optional[Message] = None,
        on_message: Optional[Callable[[Received], None]] = None,
    ) -> None:
        self._config = config
        self._on_message = on_message
        self._return_code: Optional[int] = None
        self._trouble = ""  # what paho last complained of
        self._acknowledged: List[int] = []
        self._subscribed: Dict[int, Tuple[int, ...]] = {}
        self._client = _new_client(client_id)
        self._configure(will)

    @property
    def is_congested(self) -> bool:
        """Whether bytes wait because the broker, or the way to it, does not take them."""
        return bool(self._client.want_write()) or _queued_bytes(self._client.socket()) > _MOST_QUEUED_BYTES

    def open(self, timeout_s: float = 10.0, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Connect and wait until the broker has accepted us.  Raises NoConnectionError."""
        deadline_s = time.monotonic() + timeout_s
        try:
            self._client.connect(self._config.host, self._config.port, self._config.keepalive_s)
            while self._return_code is None and not should_stop() and time.monotonic() < deadline_s:
                self.pump(_SLICE_S)
        except (NoConnectionError, OSError, ValueError) as error:  # 3.6: a wrong host name is a ValueError
            if self._return_code in (None, 0):
                raise failure_from(error, self._config, self._trouble) from error
        if self._return_code is None:
            raise UnreachableError(
                "broker %s takes the connection and does not answer" % address_of(self._config),
                "see whether it is overloaded, or whether something else listens there",
            )
        if self._return_code != 0:
            raise refusal_from(self._return_code, self._config)

    def publish(self, message: Message) -> int:
        """Hand over one message.  Returns its id, which `take_acknowledged` gives back.  Never waits."""
        info = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        if info.rc != 0:
            raise self._lost()
        return int(info.mid)

    def take_acknowledged(self) -> List[int]:
        """Ids of messages that left (QoS 0) or that the broker has acknowledged (QoS 1) since the last call."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def subscribe(self, topic: str, qos: int = 1, timeout_s: float = 10.0) -> None:
        """Subscribe and wait for the broker's word.  Raises RefusedError where it says no."""
        code, message_id = self._client.subscribe(topic, qos)
        if code != 0:
            raise self._lost()
        deadline_s = time.monotonic() + timeout_s
        while message_id not in self._subscribed and time.monotonic() < deadline_s:
            self.pump(_SLICE_S)
        granted = self._subscribed.get(message_id, (128,))
        if max(granted) >= 128:
            raise RefusedError(
                "broker %s refuses the subscription to %s" % (address_of(self._config), topic),
                "allow %s to read it in the broker's ACL" % account_of(self._config),
            )

    def request(self, topics: List[str], qos: int = 1) -> None:
        """Ask for topics, in this order, and do not wait for the broker's word."""
        if topics and self._client.subscribe([(topic, qos) for topic in topics])[0] != 0:
            raise self._lost()

    def pump(self, timeout_s: float, wakeup: Optional["Wakeup"] = None) -> None:
        """Let the network work: until something came or went, `wakeup` was called, or the time is over.

        Raises NoConnectionError when the connection is gone.
        """
        link = self._client.socket()
        if link is None:
            raise self._lost()
        has_pending = bool(getattr(link, "pending", int)())  # TLS keeps decrypted bytes that select cannot see
        readable, writable, _ = select.select(
            [link] + ([wakeup] if wakeup else []),
            [link] if self._client.want_write() else [],
            [],
            0.0 if has_pending else max(0.0, timeout_s),
        )
        if link in readable or has_pending:
            try:
                self._client.loop_read()
            except (ValueError, LookupError, struct.error, TypeError, MemoryError) as error:  # paho, of broken packets
                raise NoConnectionError(
                    "broker %s sends what is no MQTT (%s)" % (address_of(self._config), _in_short(error)),
                    "see what listens there, and what lies on the way",
                ) from error
        if link in writable:
            self._client.loop_write()
        if wakeup is not None and wakeup in readable:
            wakeup.clear()
        if self._client.socket() is None:
            raise self._lost()
        self._client.loop_misc()
        if self._client.socket() is None:  # the keepalive's verdict
            raise NoConnectionError(
                "broker %s has been silent for %d s" % (address_of(self._config), self._config.keepalive_s),
                "see the network, and whether the broker hangs",
            )

    def close(self) -> None:
        """Take leave, so that the broker keeps the will to itself.  Whatever it does, this does not wait."""
        if self._client.socket() is not None:
            self._client.disconnect()
        self.abort()

    def abort(self) -> None:
        """Drop the connection without a word: the broker publishes the will."""
        link = self._client.socket()
        if link is not None:
            link.close()
        for name in ("on_connect", "on_publish", "on_subscribe", "on_message", "on_log"):
            setattr(self._client, name, None)  # ends the circle of references, and so frees paho's own sockets now

    def _configure(self, will: Optional[Message]) -> None:
        config, client = self._config, self._client
        username, password = read_credentials(config)
        if username is not None:
            client.username_pw_set(username, password)
        if config.tls:
            client.tls_set_context(tls_context_from(config))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=will.qos, retain=will.retain)
        client.max_inflight_messages_set(0)  # the caller bounds them
        client.on_connect, client.on_publish = self._hear_connack, self._hear_acknowledgement
        client.on_subscribe, client.on_message = self._hear_suback, self._hear_message
        client.on_log = self._hear_trouble

    def _lost(self) -> NoConnectionError:
        return NoConnectionError(
            "broker %s closed the connection%s"
            % (address_of(self._config), " (%s)" % self._trouble if self._trouble else ""),
            "see the broker's log for why",
        )

    # paho 1.6 and 2.x hand over different tails of arguments
    def _hear_connack(self, _client: Any, _userdata: Any, _flags: Any, code: Any, *_tail: Any) -> None:
        self._return_code = _code_from(code)

    def _hear_acknowledgement(self, _client: Any, _userdata: Any, message_id: int, *_tail: Any) -> None:
        self._acknowledged.append(message_id)

    def _hear_suback(self, _client: Any, _userdata: Any, message_id: int, granted: Any, *_tail: Any) -> None:
        self._subscribed[message_id] = tuple(_code_from(code) for code in granted)

    def _hear_trouble(self, _client: Any, _userdata: Any, level: int, text: str) -> None:
        if level == _ERROR_LEVEL:
            self._trouble = text

    def _hear_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        try:
            topic = str(message.topic)
        except UnicodeDecodeError:  # no topic of ours
            return
        if self._on_message is not None:
            self._on_message(Received(topic, bytes(message.payload), bool(message.retain)))


class Wakeup:
    """Ends a `pump` from another thread. Harmless once closed: who wakes may be later than who closes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """For select."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the wait that is running, or the next one."""
        with self._lock:
            if self._is_closed:
                return
            try:
                self._writer.send(b"\0")
            except BlockingIOError:
                return  # as many calls as fit are already waiting

    def clear(self) -> None:
        """Forget the calls so far."""
        try:
            self._reader.recv(4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the sockets back."""
        with self._lock:
            self._is_closed = True
            self._reader.close()
            self._writer.close()


def _queued_bytes(link: Any) -> int:
    """What the other side's kernel has not acknowledged."""
    if link is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:  # the link is dying: whoever uses it next hears of it
        return 0


def _new_client(client_id: str) -> Any:
    try:
        from paho.mqtt import client as paho
    except ImportError as error:
        raise ConfigError(
            "the Python package paho-mqtt is missing (%s); install it: pip install paho-mqtt" % error
        ) from error
    client_class: Any = paho.Client
    versions = getattr(paho, "CallbackAPIVersion", None)  # paho 2 wants it said
    leading = (versions.VERSION2,) if versions else ()
    return client_class(*leading, client_id=client_id, clean_session=True, reconnect_on_failure=False)


def _in_short(error: Exception) -> str:
    return "%s: %s" % (type(error).__name__, reprlib.repr(str(error)))


def _code_from(code: Any) -> int:
    return int(getattr(code, "value", code))
