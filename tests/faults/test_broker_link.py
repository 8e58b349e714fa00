"""Links to a real mosquitto that fail without a word: half-open, too slow, blocked. Every durable message is counted.

Runs on Python 3.6 with paho-mqtt 1.6 as well.
"""

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

import edge
from edge.clock import SourceClock
from edge.config import SHIPPED_BUNDLE, Config, ModelConfig, NodeConfig, SourceConfig
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from engines.bundle import load_bundle
from tests.edge.socket_broker import wait_until
from tests.faults.link_proxy import LinkProxy
from tests.system.broker_fixtures import Mosquitto, skip_without_mosquitto
from tests.system.reader import EVENT, STATUS, Reader

pytestmark = pytest.mark.system
QUICK = RetryPolicy(first_s=0.1, longest_s=0.5, refused_s=0.5)
KEEPALIVE_S = 5
NEWS = "soundclr/corner/street/classification"
STREET = Path(edge.__file__).parent / "demonstration" / "street.ogg"


@pytest.fixture
def proxy(mosquitto):
    with LinkProxy(mosquitto.port) as link:
        yield link


def make_publisher(config, store=None):
    return Publisher(config, "corner", store or MemoryStore(), list, retry=QUICK)


def make_event(number):
    return Message(EVENT, b"%d" % number, 1, False, True)


def is_connected(publisher):
    return wait_until(lambda: publisher.connection_state == "connected")


def test_half_open_link_is_found_by_the_keepalive_and_nothing_durable_is_lost(mosquitto, proxy):
    store = MemoryStore()
    config = mosquitto.config(port=proxy.port, keepalive_s=KEEPALIVE_S)
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(config, store) as publisher:
        assert is_connected(publisher)
        for number in range(50):
            publisher.publish(make_event(number))
        assert wait_until(lambda: len(set(reader.numbers())) == 50 and store.counts().waiting == 0)
        proxy.frozen = True
        for number in range(50, 100):
            publisher.publish(make_event(number))
            publisher.publish(Message(NEWS, b"x" * 500, 0, False, False))
        # noticed within twice the keepalive; the rest of the time is for a loaded machine
        assert wait_until(lambda: publisher.connection_state != "connected", 2 * KEEPALIVE_S + 60.0)
        assert "has been silent" in publisher.last_error or "does not answer" in publisher.last_error
        assert store.counts().waiting == 50
        # the broker notices as well, after one and a half keepalives, and tells by the will
        assert wait_until(lambda: (b"offline", False) in reader.states(), 60.0)
        proxy.frozen = False
        assert wait_until(lambda: store.counts().waiting == 0, 60.0)
        assert wait_until(lambda: set(reader.numbers()) == set(range(100)))
        assert len(reader.numbers()) <= 120  # duplicates: no more than were on their way
        assert wait_until(lambda: reader.states()[-1][0] == b"online")


def test_broker_that_does_not_answer_at_all_is_tried_again(mosquitto, proxy):
    proxy.frozen = True
    store = MemoryStore()
    config = mosquitto.config(port=proxy.port)
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(config, store) as publisher:
        publisher.publish(make_event(1))
        assert wait_until(lambda: publisher.connection_state == "unreachable", 60.0)
        assert "does not answer" in publisher.last_error
        proxy.frozen = False
        assert wait_until(lambda: reader.numbers() == [1], 60.0)


def test_tls_handshake_that_is_never_answered_is_given_up(mosquitto):
    """With paho 1.6 it would have lasted as long as the keepalive."""
    with LinkProxy(mosquitto.tls_port) as proxy:
        proxy.frozen = True
        config = mosquitto.tls_config(port=proxy.port, keepalive_s=3600)
        with make_publisher(config) as publisher:
            assert wait_until(lambda: publisher.connection_state in ("unreachable", "tls_failed"), 90.0)
            proxy.frozen = False
            assert wait_until(lambda: publisher.connection_state == "connected", 60.0)


class NetworkOfItsOwn:
    """A broker behind a real link: a network namespace whose second address can be taken away without a word."""

    def __init__(self, folder):
        self._name = "sc" + uuid.uuid4().hex[:6]
        self._near, self._far = self._name + "a", self._name + "b"
        self.folder = folder
        subnet = "10.%d.%d." % (200 + os.getpid() % 50, os.getpid() // 50 % 250)
        self.readers_host, self.nodes_host, self._here = subnet + "2", subnet + "3", subnet + "1"

    def __enter__(self):
        _ip("netns", "add", self._name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        _ip("addr", "add", self._here + "/24", "dev", self._near)
        _ip("link", "set", self._near, "up")
        for address in (self.readers_host, self.nodes_host):
            _ip("-n", self._name, "addr", "add", address + "/24", "dev", self._far)
        _ip("-n", self._name, "link", "set", self._far, "up")
        self.broker = Mosquitto(self.folder, ["ip", "netns", "exec", self._name], bind="0.0.0.0")
        self.broker.host = self.readers_host
        self.broker.start()
        return self

    def __exit__(self, *exception):
        self.broker.__exit__()
        _ip("netns", "del", self._name)

    def set_link(self, is_up):
        verb = "add" if is_up else "del"
        _ip("-n", self._name, "addr", verb, self.nodes_host + "/24", "dev", self._far)


def _ip(*arguments):
    subprocess.check_output(("ip",) + arguments, stderr=subprocess.STDOUT)


@pytest.fixture
def network(tmp_path):
    skip_without_mosquitto()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    try:
        _ip("netns", "add", "sc-trial")
        _ip("netns", "del", "sc-trial")
    except subprocess.CalledProcessError as error:
        pytest.skip("no network namespaces here: %s" % error.output.decode().strip())
    with NetworkOfItsOwn(tmp_path) as network:
        yield network


def test_address_that_vanishes_leaves_a_half_open_link_in_the_kernel_too(network):
    """No FIN, no RST, no ICMP: retransmissions into the void, until the keepalive says so."""
    store = MemoryStore()
    config = network.broker.config(host=network.nodes_host, keepalive_s=KEEPALIVE_S)
    with Reader(network.broker.config("viewer")) as reader, make_publisher(config, store) as publisher:
        assert is_connected(publisher)
        network.set_link(False)
        for number in range(30):
            publisher.publish(make_event(number))
        assert wait_until(lambda: publisher.connection_state != "connected", 2 * KEEPALIVE_S + 60.0)
        assert reader.numbers() == [] and store.counts().waiting == 30
        network.set_link(True)
        assert wait_until(lambda: store.counts().waiting == 0, 90.0)
        assert wait_until(lambda: set(reader.numbers()) == set(range(30)))


def make_stored(factory, age_s, number):
    now = SourceClock().utc_now()
    then = now._replace(epoch_s=now.epoch_s - age_s)
    return factory.build(
        "event",
        then,
        {
            "event_id": "e%d" % number,
            "phase": "start",
            "label": "siren",
            "start": then,
            "end": then,
            "duration_s": 0.0,
            "score_max": 0.5,
            "score_mean": 0.5,
            "replayed": False,
        },
        "street",
    )


def test_on_a_slow_link_a_new_message_waits_less_than_two_seconds_behind_a_backlog(mosquitto, proxy):
    """Counted in bytes that the link passed meanwhile, so that a loaded machine does not matter."""
    factory = MessageFactory("soundclr", "corner", "b", uuid.uuid4().hex, ("siren",))
    age_s = [3600.0]
    store = MemoryStore(wall_s=lambda: time.time() - age_s[0])
    for number in range(500):
        store.put(make_stored(factory, age_s[0], number))
    age_s[0] = 0.0
    proxy.bytes_per_s = 4000.0  # about six messages a second
    config = mosquitto.config(port=proxy.port, replay_rate_hz=10000.0)
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(config, store) as publisher:
        assert wait_until(lambda: len(reader.payloads()) >= 30, 120.0)
        waited_s = []
        for number in range(3):
            new = make_stored(factory, 0.0, 1000 + number)
            before = proxy.passed_bytes
            publisher.publish(new)
            assert wait_until(lambda new=new: new.payload in reader.payloads(), 120.0)
            waited_s.append((proxy.passed_bytes - before) / proxy.bytes_per_s)
            seen = len(reader.payloads())
            assert wait_until(lambda seen=seen: len(reader.payloads()) >= seen + 10, 120.0)
        assert max(waited_s) < 2.0, waited_s
        assert all(json.loads(payload.decode())["replayed"] for payload in reader.payloads()[:20])


def test_a_slow_link_is_not_filled_with_what_nobody_can_hear_in_time(mosquitto, proxy):
    """Live values are dropped and counted instead of queueing for minutes in the kernel, and messages go on."""
    proxy.bytes_per_s = 4000.0
    config = mosquitto.config(port=proxy.port)
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(config) as publisher:
        assert is_connected(publisher)
        for number in range(2000):
            publisher.publish(Message(NEWS, b"x" * 1000, 0, False, False))
            if number % 100 == 0:
                publisher.publish(make_event(number))
        assert wait_until(lambda: len(set(reader.numbers())) == 20, 240.0)
        assert publisher.health()["mqtt_dropped"] > 1000
        assert proxy.passed_bytes < 500000  # of the two million


def hear_street(publish):
    """The demonstration's street at full speed.  Returns windows and events."""
    source = SourceConfig("street", "file", path=str(STREET), realtime=False)
    config = Config(NodeConfig("corner"), (source,), model=ModelConfig(hop_s=1.0))
    bundle = load_bundle(SHIPPED_BUNDLE)
    factory = MessageFactory("soundclr", "corner", bundle.id, "boot", bundle.labels)
    listener = Listener(config, source, bundle, factory, "boot", publish, threading.Event())
    listener.start()
    assert listener.join(300.0)
    assert listener.failure is None
    return listener.counts.windows


def events_of(payloads):
    events = [json.loads(payload.decode()) for payload in payloads]
    return [(event["event_id"], event["phase"], event["label"], event["duration_s"]) for event in events]


@pytest.mark.slow
def test_a_broker_that_takes_nothing_costs_no_window_and_no_event(mosquitto, proxy):
    alone = []
    windows = hear_street(alone.append)
    expected = events_of(message.payload for message in alone if message.topic == EVENT)
    store = MemoryStore()
    config = mosquitto.config(port=proxy.port, keepalive_s=3600)
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(config, store) as publisher:
        assert is_connected(publisher)
        proxy.frozen = True
        assert hear_street(publisher.publish) == windows
        assert store.counts().waiting == sum(message.durable for message in alone) > len(expected) > 5
        assert not reader.payloads()
        proxy.frozen = False
        assert wait_until(lambda: store.counts().waiting == 0, 120.0)
        assert wait_until(lambda: len(reader.payloads()) >= len(expected))
        assert events_of(reader.payloads()) == expected
        started = [event_id for event_id, phase, _, _ in expected if phase == "start"]
        ended = [event_id for event_id, phase, _, _ in expected if phase == "end"]
        assert sorted(started) == sorted(ended) and len(set(started)) == len(started)
        assert reader.payloads(STATUS)[-1] == b"online"
