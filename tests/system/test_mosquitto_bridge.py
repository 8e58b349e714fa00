"""The bridge example between two real mosquittos, one of them killed meanwhile; readers that share the work.

Runs on Python 3.6 with paho-mqtt 1.6 as well.
"""

import signal
import time
from pathlib import Path

import pytest

from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until
from tests.system.broker_fixtures import Mosquitto, skip_without_mosquitto
from tests.system.reader import EVENT, STATUS, Reader

pytestmark = pytest.mark.system
QUICK = RetryPolicy(first_s=0.1, longest_s=0.5, refused_s=0.5)
EXAMPLE = Path(__file__).resolve().parents[2] / "systemd" / "mosquitto" / "bridge.conf"
UPLINK = "soundclr/corner/uplink"


def make_publisher(config, store):
    return Publisher(config, "corner", store, list, retry=QUICK)


def make_event(number):
    return Message(EVENT, b"%d" % number, 1, False, True)


def bridge_lines(city, folder):
    """The example as an operator fills it in, with this test's addresses."""
    replaced = {
        "CITY-BROKER:8883": "localhost:%d" % city.tls_port,
        "CORNER": "corner",
        "PASSWORD": "s3cret",
        "/etc/ssl/certs/ca-certificates.crt": str(city.folder / "ca.crt"),
        "/var/lib/mosquitto/": str(folder) + "/",
        "restart_timeout 5 30": "restart_timeout 1 2",
    }
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def city(mosquitto):
    return mosquitto


@pytest.fixture
def corner(city, tmp_path):
    """The broker on the node, bridged to the city's."""
    skip_without_mosquitto()
    folder = tmp_path / "corner"
    (folder / "db").mkdir(parents=True)
    broker = Mosquitto(folder)
    settings = folder / "mosquitto.conf"
    lines = settings.read_text().splitlines()
    of_the_bridge = bridge_lines(city, folder / "db")
    general = [line for line in of_the_bridge if line.split()[0] in GENERAL]
    ours = [line for line in lines if line.split()[0] not in GENERAL]
    bridge = [line for line in of_the_bridge if line not in general]
    settings.write_text("\n".join(general + ours + bridge) + "\n")
    with broker:
        yield broker


GENERAL = ("persistence", "persistence_location", "autosave_interval", "max_queued_messages", "queue_qos0_messages")


def is_bridged(reader):
    return wait_until(lambda: reader.payloads(UPLINK)[-1:] == [b"1"], 30.0)


def test_events_reach_the_city_over_the_bridge_with_its_status(city, corner):
    store = MemoryStore()
    with Reader(city.config("viewer")) as reader:
        assert is_bridged(reader)
        with make_publisher(corner.config(), store) as publisher:
            for number in range(100):
                publisher.publish(make_event(number))
            assert wait_until(lambda: set(reader.numbers()) == set(range(100)))
            assert reader.payloads(STATUS)[-1] == b"online"
        assert wait_until(lambda: reader.payloads(STATUS)[-1] == b"offline")
        corner.stop(signal.SIGKILL)
        assert wait_until(lambda: reader.payloads(UPLINK)[-1] == b"0")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_city_broker_that_is_away_misses_nothing_durable(city, corner, how):
    """The bridge's queue holds far more than mosquitto's default of 1000, and the corner is served meanwhile."""
    store, count = MemoryStore(), 3000
    with Reader(city.config("viewer")) as reader, Reader(corner.config("viewer"), name="here") as here:
        assert is_bridged(reader)
        with make_publisher(corner.config(), store) as publisher:
            for number in range(count):
                publisher.publish(make_event(number))
                if number == 200:  # what it has acknowledged and not passed on would be lost with its memory
                    assert wait_until(lambda: len(set(reader.numbers())) == 201)
                    city.stop(how)
                if number % 100 == 99:
                    time.sleep(0.05)
            assert wait_until(lambda: len(set(here.numbers())) == count, 60.0)
            assert wait_until(lambda: store.counts().waiting == 0)  # as far as the node can know
            assert len(set(reader.numbers())) < count
            reader.is_subscribed.clear()
            hold_the_bridge(city)
            city.start()
            assert reader.is_subscribed.wait(20)
            city.set_password("corner", "s3cret")
            assert wait_until(lambda: len(set(reader.numbers())) == count, 90.0)
            assert sorted(set(reader.numbers())) == list(range(count))


def hold_the_bridge(broker):
    """A clean session misses what is sent before it is there, so the bridge is let in after the reader."""
    broker.set_password("corner", "not yet")


def test_broker_of_the_corner_that_is_killed_loses_what_the_node_still_has(city, corner):
    """The node's store fills the gap by itself: what its broker had not acknowledged goes again."""
    store, count = MemoryStore(), 400
    with Reader(city.config("viewer")) as reader:
        assert is_bridged(reader)
        with make_publisher(corner.config(), store) as publisher:
            for number in range(count):
                publisher.publish(make_event(number))
                if number == 150:
                    assert wait_until(lambda: len(set(reader.numbers())) == 151)
                    corner.stop(signal.SIGKILL)
                if number == 300:
                    corner.start()
                time.sleep(0.002)
            assert wait_until(lambda: set(reader.numbers()) == set(range(count)), 60.0)


def test_readers_that_share_a_subscription_take_each_message_once(mosquitto):
    """Two processes of one dashboard: `$share/GROUP/...` divides the messages among them."""
    store, count = MemoryStore(), 1000
    shared = "$share/dashboard/soundclr/+/+/event"
    viewer = mosquitto.config("viewer")
    with Reader(viewer, shared, name="one") as one, Reader(viewer, shared, name="two") as two:
        with Reader(viewer, name="apart") as apart, make_publisher(mosquitto.config(), store) as publisher:
            for number in range(count):
                publisher.publish(make_event(number))
            assert wait_until(lambda: len(one.numbers()) + len(two.numbers()) >= count, 60.0)
            assert wait_until(lambda: len(apart.numbers()) == count, 60.0)  # who does not share takes all
            time.sleep(0.3)  # a second copy would come now
            assert sorted(one.numbers() + two.numbers()) == list(range(count))
            assert min(len(one.numbers()), len(two.numbers())) > count // 10
    assert wait_until(lambda: store.counts().waiting == 0)


def test_reader_of_a_share_that_dies_leaves_its_part_to_the_other(mosquitto):
    store = MemoryStore()
    shared = "$share/dashboard/soundclr/+/+/event"
    viewer = mosquitto.config("viewer")
    with Reader(viewer, shared, name="one") as one, make_publisher(mosquitto.config(), store) as publisher:
        with Reader(viewer, shared, name="two") as two:
            for number in range(100):
                publisher.publish(make_event(number))
            assert wait_until(lambda: len(one.numbers()) + len(two.numbers()) >= 100)
        for number in range(100, 200):
            publisher.publish(make_event(number))
        assert wait_until(lambda: set(range(100, 200)) <= set(one.numbers()))
