"""Topics of the messages in a file, and the payloads in few bytes.

The messages of one topic differ in some digits. Each is compressed by zlib against the first of its topic, which is
kept whole: an event of 660 bytes becomes 70 to 100.
"""

import zlib
from typing import Any, Dict, Iterable, Tuple

from edge.records import Message
from edge.storage.faults import DamagedError
from engines.errors import shown

_MAX_NAME = 16000  # characters; MQTT has 65535 bytes for it
_MAX_PAYLOAD_BYTES = 1 << 20  # ours are a few hundred; a damaged file may promise gigabytes
_OPTIONS = (6, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY)


class Topics:
    """Knows topics by what messages need to be sent, and by their ids in the file."""

    def __init__(self) -> None:
        self._ids: Dict[Tuple[str, int, bool], int] = {}
        self._firsts: Dict[int, Message] = {}

    def learn(self, rows: Iterable[tuple]) -> None:
        """Take in what the file holds: id, name, qos, retain, first payload.  Raises DamagedError.

        What no broker takes must not get out of the file: it could neither be sent nor passed over.
        """
        for topic_id, name, qos, retain, payload in rows:
            _check_topic(name, qos, retain, payload)
            self._firsts[topic_id] = Message(name, payload, qos, bool(retain), True)
            self._ids[(name, qos, bool(retain))] = topic_id

    def knows(self, message: Message) -> bool:
        """Whether a message's topic has an id."""
        return _key(message) in self._ids

    def knows_id(self, topic_id: int) -> bool:
        """Whether an id has a topic."""
        return topic_id in self._firsts

    def add(self, message: Message) -> tuple:
        """Give a topic its id, and its first payload.  Returns what the file has to hold."""
        row = (max(self._firsts, default=0) + 1, message.topic, message.qos, int(message.retain), message.payload)
        self.learn([row])
        return row

    def encode(self, message: Message) -> Tuple[int, bytes]:
        """A message as its topic's id and few bytes."""
        topic_id = self._ids[_key(message)]
        dictionary = self._firsts[topic_id].payload
        compressor = zlib.compressobj(*_OPTIONS, zdict=dictionary) if dictionary else zlib.compressobj(*_OPTIONS)
        return topic_id, compressor.compress(message.payload) + compressor.flush()

    def decode(self, topic_id: int, content: bytes) -> Message:
        """The message again.  Raises DamagedError: it is not what was written."""
        try:
            first = self._firsts[topic_id]
            expander = zlib.decompressobj(zdict=first.payload) if first.payload else zlib.decompressobj()
            payload = expander.decompress(content, _MAX_PAYLOAD_BYTES)
        except (KeyError, TypeError, zlib.error) as error:
            raise DamagedError("a message of topic %s cannot be read: %s" % (shown(topic_id), error)) from error
        if not expander.eof:
            raise DamagedError("a message of topic %s is cut off, or longer than any" % shown(topic_id))
        return first._replace(payload=payload)


def _check_topic(name: Any, qos: Any, retain: Any, payload: Any) -> None:
    is_name = isinstance(name, str) and 0 < len(name) <= _MAX_NAME and not set(name) & set("+#\0")
    if not is_name or qos not in (0, 1, 2) or retain not in (0, 1) or not isinstance(payload, bytes):
        raise DamagedError("a topic that is none: %.100r, QoS %.20r" % (name, qos))


def _key(message: Message) -> Tuple[str, int, bool]:
    return message.topic, message.qos, message.retain
