"""Another node under the same name is noticed, in the two ways that it comes about, and nothing else is."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.broker_check import check_name
from edge.config import MqttConfig
from edge.connection import Received
from edge.namesake import NameGuard
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import SocketBroker, wait_until

STATUS, INFO = "soundclr/corner/status", "soundclr/corner/info"
QUICK = RetryPolicy(first_s=0.05, longest_s=0.2, refused_s=0.3)


def payload_of(installation="theirs", boot_id="boot-2", **fields):
    return json.dumps(dict(fields, installation=installation, boot_id=boot_id)).encode()


def make_guard():
    found = []
    guard = NameGuard("soundclr", "corner", "ours", "boot-1", on_found=lambda: found.append(1))
    guard.begin_connection()
    return guard, found


def hear(guard, topic, payload, retained):
    guard.subscriptions[topic](Received(topic, payload, retained))


def test_another_installation_that_speaks_now_is_named_once(caplog):
    guard, found = make_guard()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            hear(guard, INFO, payload_of(site="Main St", machine="aarch64"), False)
    assert guard.namesake == "theirs" and found == [1]
    assert len(caplog.records) == 1
    for words in ("'corner'", "theirs", "Main St", "[node]"):
        assert words in caplog.text


def test_another_installation_that_was_online_before_us_is_named():
    guard, found = make_guard()
    hear(guard, STATUS, b"online", True)
    hear(guard, INFO, payload_of(), True)
    assert guard.namesake == "theirs" and found == [1]


@pytest.mark.parametrize(
    "status, info",
    [
        (b"offline", payload_of()),  # a node that was replaced
        (b"online", payload_of("ours", "boot-0")),  # our own last start, whose end the broker has not noticed yet
        (b"online", payload_of("ours", "boot-1")),  # what we said in the last connection
    ],
)
def test_what_was_kept_from_before_is_no_namesake(status, info):
    guard, found = make_guard()
    hear(guard, STATUS, status, True)
    hear(guard, INFO, info, True)
    assert guard.namesake is None and not found


def test_a_copy_of_the_card_is_noticed_when_it_has_thrown_us_off(caplog):
    guard, _ = make_guard()
    hear(guard, INFO, payload_of("ours", "boot-1"), False)
    guard.begin_connection()
    with caplog.at_level(logging.WARNING):
        hear(guard, INFO, payload_of("ours", "boot-2"), True)
    assert guard.namesake == "ours"
    assert "copy of this installation" in caplog.text and "installation-id" in caplog.text


@given(st.one_of(st.binary(max_size=300), st.text(max_size=50).map(str.encode), st.just(b"[" * 60000)), st.booleans())
def test_whatever_comes_does_no_harm(payload, retained):
    guard, found = make_guard()
    hear(guard, STATUS, payload, retained)
    hear(guard, INFO, payload, retained)
    assert guard.namesake is None and not found


@given(
    st.dictionaries(
        st.sampled_from(["installation", "site", "machine", "x"]), st.one_of(st.text(), st.lists(st.integers()))
    )
)
def test_whatever_another_node_tells_is_one_line(fields):
    guard, found = make_guard()
    hear(guard, INFO, json.dumps(dict(fields, boot_id="boot-2")).encode(), False)
    assert found and len(guard.namesake.splitlines()) <= 1


class Node:
    """A publisher with a guard, as the daemon makes them."""

    def __init__(self, port, installation, boot_id):
        self.guard = NameGuard("soundclr", "corner", installation, boot_id, on_found=self._tell)
        self.publisher = Publisher(
            MqttConfig(port=port),
            "corner",
            MemoryStore(),
            self._on_connect,
            installation,
            retry=QUICK,
            subscriptions=self.guard.subscriptions,
        )
        self.installation, self.boot_id = installation, boot_id

    def _info(self):
        payload = payload_of(self.installation, self.boot_id, namesake=self.guard.namesake)
        return Message(INFO, payload, 1, True, False)

    def _tell(self):
        self.publisher.publish(self._info())

    def _on_connect(self):
        self.guard.begin_connection()
        return [self._info()]


def test_two_nodes_under_one_name_name_each_other_and_check_tells():
    with SocketBroker() as broker:
        first, second = Node(broker.port, "aaaa", "boot-a"), Node(broker.port, "bbbb", "boot-b")
        with first.publisher:
            assert wait_until(lambda: INFO in broker.topics())
            assert check_name(MqttConfig(port=broker.port), "corner", "aaaa").ok
            with second.publisher:
                assert wait_until(lambda: (first.guard.namesake, second.guard.namesake) == ("bbbb", "aaaa"))
                for installation in ("aaaa", "bbbb"):
                    result = check_name(MqttConfig(port=broker.port), "corner", installation)
                    assert not result.ok and "[node]" in result.mend, result
                unknown = check_name(MqttConfig(port=broker.port), "corner", None)
                assert unknown.ok and "--state-dir" in unknown.detail
        assert wait_until(lambda: broker.topics().count(INFO) >= 4)
        assert broker.topics().count(INFO) <= 6  # each tells of the other once, and no more


def test_a_broker_that_throws_out_who_subscribes_is_published_to_all_the_same():
    class Strict(SocketBroker):
        def _answer(self, number, link, kind, flags, body):
            if kind == 8:
                link.shutdown(2)
            SocketBroker._answer(self, number, link, kind, flags, body)

    store = MemoryStore()
    with Strict() as broker:
        node = Node(broker.port, "aaaa", "boot-a")
        with node.publisher:
            node.publisher.publish(Message("soundclr/corner/street/event", b"1", 1, False, True))
            assert wait_until(lambda: broker.payloads("soundclr/corner/street/event"))
            before = broker.connections
            assert wait_until(lambda: node.publisher.connection_state == "connected")
        assert broker.connections == before == 3
    assert store.counts().waiting == 0


def test_nobody_under_the_name_is_good():
    with SocketBroker() as broker:
        result = check_name(MqttConfig(port=broker.port), "corner", "aaaa")
        assert result.ok and "nobody" in result.detail
