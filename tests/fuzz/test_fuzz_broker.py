"""What a broker sends: payloads of the topics that we read, and bytes that are no MQTT. Nothing of it harms a node."""

import json
import logging
import socket
import struct
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge import broker_check
from edge.broker_check import check_name
from edge.config import MqttConfig
from edge.connection import Connection, Received
from edge.connection_errors import NoConnectionError
from edge.namesake import NameGuard
from tests.edge.socket_broker import SocketBroker
from tests.fuzz.inputs import check_message, fuzzed, one_input
from tests.fuzz.mutations import ODD_VALUES, damaged_bytes, damaged_json, json_of, nested

STATUS, INFO, CHECK = "soundclr/corner/status", "soundclr/corner/info", "soundclr/corner/check"
INFO_VALUES = {
    "schema": 1,
    "type": "info",
    "node": "corner",
    "boot_id": "boot-2",
    "installation": "theirs",
    "namesake": None,
    "site": "Main St",
    "machine": "Linux-aarch64",
    "labels": ["siren", "dog"],
    "version": "1.0",
}
PAYLOADS = st.one_of(
    damaged_json([INFO_VALUES]),
    st.tuples(st.sampled_from(["installation", "site", "machine", "namesake", "boot_id"]), ODD_VALUES).map(
        lambda pair: json_of(dict(INFO_VALUES, **{pair[0]: pair[1]}))
    ),
    st.sampled_from([b"online", b"offline", b"", b"ONLINE", b"online\n"]),
)


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def said():
    handler = _Lines()
    logger = logging.getLogger("edge")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


@fuzzed(share=14, examples=300)
@given(st.lists(st.tuples(st.sampled_from([STATUS, INFO]), PAYLOADS, st.booleans()), min_size=1, max_size=4))
@example(messages=[(INFO, json_of(dict(INFO_VALUES, installation=" ")), False)])  # an empty name
def test_payloads_of_the_topics_that_a_node_reads(said, messages):
    del said[:]
    guard = NameGuard("soundclr", "corner", "ours", "boot-1")
    guard.begin_connection()
    for topic, payload, retained in messages:
        with one_input("MQTT payloads, node"):
            guard.subscriptions[topic](Received(topic, payload, retained))
    assert guard.namesake is None or len(guard.namesake) <= 100
    for line in said + ([guard.namesake] if guard.namesake else []):
        check_message(line)


@fuzzed(share=8, examples=100)
@given(
    st.fixed_dictionaries({STATUS: st.one_of(st.just(b"online"), PAYLOADS), INFO: PAYLOADS}),
    st.sampled_from(["ours", None]),
)
def test_payloads_that_check_reads(kept, installation_id):
    answer = broker_check._RoundTrip(0.1, [Received(topic, payload, True) for topic, payload in kept.items()])
    before, broker_check._make_round_trip = broker_check._make_round_trip, lambda *_: answer
    try:
        with one_input("MQTT payloads, check"):
            result = check_name(MqttConfig(), "corner", installation_id)
    finally:
        broker_check._make_round_trip = before
    check_message(result.detail)
    assert result.ok or result.mend


@pytest.mark.parametrize("depth", range(860, 1000, 2))
def test_a_value_nested_about_as_deep_as_python_goes(depth):
    guard = NameGuard("soundclr", "corner", "ours", "boot-1")
    with one_input("MQTT payloads, node"):
        guard.hear_info(Received(INFO, json.dumps(dict(INFO_VALUES, site=nested(depth // 2))).encode(), False))
        text = json.dumps(dict(INFO_VALUES, site=0)).replace('"site": 0', '"site": ' + "[" * depth + "]" * depth)
        guard.hear_info(Received(INFO, text.encode(), False))


def packet(kind, body):
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes(bytearray([low | (128 if size else 0)]))
        if not size:
            return bytes(bytearray([kind])) + length + body


def publish(topic, payload, qos=0, message_id=1):
    middle = struct.pack(">H", message_id) if qos else b""
    return packet(0x30 | qos << 1, struct.pack(">H", len(topic)) + topic + middle + payload)


GOOD = [
    publish(INFO.encode(), json.dumps(INFO_VALUES).encode()),
    publish(STATUS.encode(), b"online", 1, 7),
    publish(CHECK.encode(), b"{}", 2, 8) + packet(0x62, struct.pack(">H", 8)),
    packet(0x90, struct.pack(">HB", 1, 1)) + packet(0x40, struct.pack(">H", 1)) + packet(0xD0, b""),
    publish(b"\xff\xfe", b"x") + publish(b"", b"") + publish(b"a/\0", b"x"),
]


class RawBroker:
    """Accepts each client and then says what it was told to say, byte by byte, and parts."""

    def __init__(self):
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(5)
        self.port = self._listening.getsockname()[1]
        self.says = b""
        self._thread = threading.Thread(target=self._run, name="raw-broker", daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            with link:
                try:
                    link.recv(4096)
                    link.sendall(self.says)
                    link.shutdown(socket.SHUT_WR)
                    link.settimeout(5.0)
                    while link.recv(4096):
                        pass
                except OSError:
                    continue

    def close(self):
        self._listening.close()


@pytest.fixture(scope="module")
def raw_broker():
    broker = RawBroker()
    yield broker
    broker.close()


def talk(broker, says):
    """One connection to a broker that says this and parts: it ends by NoConnectionError, as every such one does."""
    broker.says = says
    heard = []
    connection = Connection(MqttConfig(port=broker.port), "corner", on_message=heard.append)
    try:
        connection.open(timeout_s=10.0)
        until_s = time.monotonic() + 10.0
        while time.monotonic() < until_s:
            connection.pump(0.25)
        raise AssertionError("the link's end was overlooked")
    finally:
        connection.abort()


@fuzzed(share=4, examples=60)
@given(says=st.one_of(damaged_bytes(GOOD), damaged_bytes([b"".join(GOOD)]), st.binary(max_size=50)))
def test_bytes_after_a_good_greeting(raw_broker, says):
    with one_input("MQTT packets", NoConnectionError):
        talk(raw_broker, packet(0x20, b"\0\0") + says)


@fuzzed(share=2, examples=40)
@given(says=st.one_of(damaged_bytes([packet(0x20, b"\0\0") + GOOD[0]]), st.binary(max_size=20)))
def test_bytes_instead_of_a_greeting(raw_broker, says):
    with one_input("MQTT greeting", NoConnectionError):
        talk(raw_broker, says)


def test_a_node_keeps_publishing_to_a_broker_that_sends_nonsense_of_its_topics(caplog):
    from edge.publish import Publisher, RetryPolicy
    from edge.records import Message
    from edge.store import MemoryStore
    from tests.edge.socket_broker import wait_until

    class Nonsense(SocketBroker):
        def _answer(self, number, link, kind, flags, body):
            SocketBroker._answer(self, number, link, kind, flags, body)
            if kind == 8:
                for says in GOOD:
                    link.sendall(says)

    guard = NameGuard("soundclr", "corner", "ours", "boot-1")
    with Nonsense() as broker:
        publisher = Publisher(
            MqttConfig(port=broker.port),
            "corner",
            MemoryStore(),
            list,
            "ours",
            retry=RetryPolicy(first_s=0.05, longest_s=0.2, refused_s=0.3),
            subscriptions=guard.subscriptions,
        )
        with publisher:
            publisher.publish(Message("soundclr/corner/street/event", b"1", 1, False, True))
            assert wait_until(lambda: broker.payloads("soundclr/corner/street/event"))
    assert "Traceback" not in caplog.text
