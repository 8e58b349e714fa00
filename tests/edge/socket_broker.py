"""A tiny MQTT 3.1.1 broker on a real socket, for what no proper broker does on command.

It refuses, drops, stays silent or swallows as it is told, and delivers to subscribers otherwise.
"""

import socket
import struct
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


class Published(NamedTuple):
    connection: int  # counts from 1
    topic: str
    payload: bytes
    qos: int
    retain: bool


class SocketBroker:
    """Args: connack: return code for each CONNECT; acknowledges: whether PUBLISH gets its PUBACK."""

    def __init__(
        self, connack: int = 0, acknowledges: bool = True, answers: bool = True, delivers: bool = True, port: int = 0
    ) -> None:
        self.connack, self.acknowledges, self.answers, self.delivers = connack, acknowledges, answers, delivers
        self.published: List[Published] = []
        self.wills: List[Published] = []  # of connections that ended without DISCONNECT
        self.client_ids: List[str] = []
        self.passwords: List[Optional[bytes]] = []
        self.connections = 0
        self._retained: Dict[str, bytes] = {}
        self._links: Dict[int, socket.socket] = {}
        self._subscriptions: Dict[int, List[str]] = {}
        self._lock = threading.RLock()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(5)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="socket-broker", daemon=True).start()

    def __enter__(self) -> "SocketBroker":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Vanish as a killed broker does."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed before
        self._listener.close()
        self.drop_all()

    def drop_all(self) -> None:
        """Cut every link; more are welcome."""
        with self._lock:
            for link in self._links.values():
                try:
                    link.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # gone already

    def send(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Deliver to every subscriber, as if somebody had published it."""
        with self._lock:
            for number in list(self._subscriptions):
                if any(matches(pattern, topic) for pattern in self._subscriptions[number]):
                    self._deliver(number, topic, payload, retain)

    def topics(self) -> List[str]:
        return [message.topic for message in list(self.published)]

    def payloads(self, topic: str) -> List[bytes]:
        return [message.payload for message in list(self.published) if message.topic == topic]

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._links[number] = link
            threading.Thread(target=self._serve, args=(number, link), name="socket-broker-link", daemon=True).start()

    def _serve(self, number: int, link: socket.socket) -> None:
        will: Optional[Published] = None
        try:
            with link, link.makefile("rb") as stream:
                while True:
                    kind, flags, body = read_packet(stream)
                    if kind == CONNECT:
                        will = self._connect(number, link, body)
                    elif kind == DISCONNECT:
                        will = None
                        return
                    else:
                        self._answer(number, link, kind, flags, body)
        except (OSError, EOFError):
            return
        finally:
            with self._lock:
                self._links.pop(number, None)
                self._subscriptions.pop(number, None)
                if will is not None:
                    self.wills.append(will)

    def _connect(self, number: int, link: socket.socket, body: bytes) -> Optional[Published]:
        flags, position = body[7], 10
        fields = []
        for present in (True, flags & 4, flags & 4, flags & 128, flags & 64):
            value = None
            if present:
                value, position = read_field(body, position)
            fields.append(value)
        client_id, topic, payload, _username, password = fields
        self.client_ids.append((client_id or b"").decode())
        self.passwords.append(password)
        if not self.answers:
            return None
        link.sendall(bytes([CONNACK << 4, 2, 0, self.connack]))
        if self.connack:
            link.shutdown(socket.SHUT_RDWR)
            return None
        return Published(number, topic.decode(), payload or b"", flags >> 3 & 3, bool(flags & 32)) if topic else None

    def _answer(self, number: int, link: socket.socket, kind: int, flags: int, body: bytes) -> None:
        if kind == PUBLISH:
            topic, position = read_field(body, 0)
            qos = flags >> 1 & 3
            message_id = body[position : position + 2] if qos else b""
            message = Published(number, topic.decode(), body[position + len(message_id) :], qos, bool(flags & 1))
            self.published.append(message)
            if qos and self.acknowledges:
                with self._lock:
                    link.sendall(bytes([PUBACK << 4, 2]) + message_id)
            if self.delivers:
                if message.retain:
                    self._retained[message.topic] = message.payload
                self.send(message.topic, message.payload)
        elif kind == SUBSCRIBE:
            patterns, position = [], 2
            while position < len(body):
                topic, position = read_field(body, position)
                patterns.append(topic.decode())
                position += 1  # its QoS
            with self._lock:
                link.sendall(bytes([SUBACK << 4, 2 + len(patterns)]) + body[:2] + b"\x01" * len(patterns))
                self._subscriptions.setdefault(number, []).extend(patterns)
                for pattern in patterns:
                    for name in [name for name in self._retained if matches(pattern, name)]:
                        self._deliver(number, name, self._retained[name], True)
        elif kind == PINGREQ:
            link.sendall(bytes([PINGRESP << 4, 0]))

    def _deliver(self, number: int, topic: str, payload: bytes, retain: bool) -> None:
        name = topic.encode()
        body = struct.pack(">H", len(name)) + name + payload
        length, size = bytearray(), len(body)
        while True:
            size, digit = divmod(size, 128)
            length.append(digit | (128 if size else 0))
            if not size:
                break
        try:
            self._links[number].sendall(bytes([PUBLISH << 4 | retain]) + bytes(length) + body)
        except (KeyError, OSError):
            return  # it has just gone


def read_packet(stream: Any) -> Tuple[int, int, bytes]:
    head = read_exactly(stream, 1)[0]
    length, shift = 0, 0
    while True:
        digit = read_exactly(stream, 1)[0]
        length |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            return head >> 4, head & 15, read_exactly(stream, length)


def read_exactly(stream: Any, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return bytes(content)


def read_field(body: bytes, position: int) -> Tuple[bytes, int]:
    length = struct.unpack(">H", body[position : position + 2])[0]
    return body[position + 2 : position + 2 + length], position + 2 + length


def matches(pattern: str, topic: str) -> bool:
    wanted, given = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def wait_until(condition: Callable[[], Any], timeout_s: float = 20.0) -> bool:
    """Whether it came true in time.  The time is a guard against hanging, not a measurement."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
