"""MQTT 3.1.1 packets of a thousand nodes, as bytes: a client library each would measure the library.

Source: MQTT Version 3.1.1, OASIS Standard, 29 October 2014, sections 2 and 3.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK = 2, 3, 4
_TIME_KEY = b'"ts_ms":'
TIME_DIGITS = 13


def connect_packet(client_id: str, will_topic: str = "", will: bytes = b"") -> bytes:
    """A clean session with a retained last will of QoS 1, where one is given."""
    flags = 0x02 | (0x2C if will_topic else 0)
    body = _field(b"MQTT") + bytes([4, flags]) + struct.pack(">H", 300) + _field(client_id.encode())
    if will_topic:
        body += _field(will_topic.encode()) + _field(will)
    return _packet(0x10, body)


def subscribe_packet(topic: str, qos: int) -> bytes:
    """One topic, under packet id 1."""
    return _packet(0x82, b"\0\1" + _field(topic.encode()) + bytes([qos]))


def publish_packet(topic: str, payload: bytes, qos: int, retain: bool, packet_id: int = 0) -> bytes:
    """One message."""
    ids = struct.pack(">H", packet_id) if qos else b""
    return _packet(0x30 | qos << 1 | retain, _field(topic.encode()) + ids + payload)


class Template(NamedTuple):
    """A message whose packet id and time are filled in when it is sent; every byte else is as it was built."""

    head: bytes
    qos: int
    before_time: bytes
    after_time: bytes

    def packet(self, packet_id: int, time_ms: int) -> bytes:
        """As it goes to the broker."""
        ids = struct.pack(">H", packet_id) if self.qos else b""
        return b"%b%b%b%d%b" % (self.head, ids, self.before_time, time_ms, self.after_time)


def template_from(topic: str, payload: bytes, qos: int, retain: bool) -> Template:
    """Cut a JSON message at its `ts_ms`."""
    before, key, after = payload.partition(_TIME_KEY)
    topic_field = _field(topic.encode())
    size = len(topic_field) + (2 if qos else 0) + len(payload)
    head = bytes([0x30 | qos << 1 | retain]) + _length(size) + topic_field
    return Template(head, qos, before + key, after[TIME_DIGITS:])


def time_ms_in(body: memoryview | bytes) -> int:
    """The `ts_ms` in a PUBLISH; 0 where it has none."""
    content = bytes(body)
    at = content.find(_TIME_KEY)
    return int(content[at + len(_TIME_KEY) : at + len(_TIME_KEY) + TIME_DIGITS]) if at >= 0 else 0


class PacketReader:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, content: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and body of every packet that is whole now."""
        buffer = self._buffer
        buffer += content
        at, end = 0, len(buffer)
        while end - at >= 2:
            size, shift, position = 0, 0, at + 1
            while position < end:
                digit = buffer[position]
                position += 1
                size |= (digit & 127) << shift
                shift += 7
                if not digit & 128:
                    break
            else:
                break
            if end - position < size:
                break
            yield buffer[at] >> 4, buffer[at] & 15, bytes(buffer[position : position + size])
            at = position + size
        del buffer[:at]


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + _length(len(body)) + body


def _field(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def _length(size: int) -> bytes:
    digits = bytearray()
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (128 if size else 0))
        if not size:
            return bytes(digits)
