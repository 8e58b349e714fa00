import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edge.broker_check import check_broker
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until
from tests.system.reader import EVENT, Reader

pytestmark = pytest.mark.system
QUICK = RetryPolicy(first_s=0.1, longest_s=0.5, refused_s=0.5)
REPOSITORY = Path(__file__).resolve().parents[2]


def make_publisher(config, store=None):
    return Publisher(config, "corner", store or MemoryStore(), list, retry=QUICK)


def make_event(number):
    return Message(EVENT, b"%d" % number, 1, False, True)


def is_connected(publisher):
    return wait_until(lambda: publisher.connection_state == "connected")


def test_node_is_good_by_password_and_by_tls(mosquitto):
    assert check_broker(mosquitto.config(), "corner").ok
    result = check_broker(mosquitto.tls_config(), "corner")
    assert result.ok
    assert "TLS" in result.detail


def test_wrong_password_is_refused_and_said(mosquitto):
    mosquitto.password_file("corner").write_text("wrong\n")
    result = check_broker(mosquitto.config(), "corner")
    assert not result.ok
    assert "refuses" in result.detail
    assert "password_file" in result.mend
    with make_publisher(mosquitto.config()) as publisher:
        assert wait_until(lambda: publisher.connection_state == "refused")
        mosquitto.password_file("corner").write_text("s3cret\n")
        assert is_connected(publisher)


def test_acl_that_swallows_acknowledged_messages_is_found(mosquitto):
    result = check_broker(mosquitto.config("deaf"), "corner", timeout_s=2.0)
    assert not result.ok
    assert "did not give it back" in result.detail
    assert "ACL" in result.mend


def test_certificate_of_another_authority_is_refused(mosquitto):
    config = mosquitto.tls_config(ca_file=str(mosquitto.folder / "other-ca.crt"))
    result = check_broker(config, "corner")
    assert not result.ok
    assert "unknown authority" in result.detail
    assert "ca_file" in result.mend
    with make_publisher(config) as publisher:
        assert wait_until(lambda: publisher.connection_state == "tls_failed")


def test_certificate_for_another_name_is_refused(mosquitto):
    result = check_broker(mosquitto.tls_config(host="127.0.0.1"), "corner")
    assert not result.ok
    assert "another name" in result.detail
    assert "host" in result.mend


def test_mistaken_ports_are_told_apart(mosquitto):
    result = check_broker(mosquitto.tls_config(port=mosquitto.port), "corner")
    assert not result.ok
    assert "\n" not in result.detail + result.mend
    result = check_broker(mosquitto.config(port=mosquitto.tls_port), "corner", timeout_s=5.0)
    assert not result.ok
    assert "tls in [mqtt]" in result.mend or "does not answer" in result.detail


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_broker_ended_and_started_again_while_messages_flow(mosquitto, how):
    store, count = MemoryStore(), 400
    with Reader(mosquitto.config("viewer")) as reader, make_publisher(mosquitto.config(), store) as publisher:
        assert is_connected(publisher)
        for number in range(count):
            publisher.publish(make_event(number))
            if number == 100:
                mosquitto.stop(how)
            if number == 250:
                # a clean session misses what is sent before it is there, so the node is let in after the reader
                mosquitto.password_file("corner").write_text("not yet\n")
                reader.is_subscribed.clear()
                mosquitto.start()
                assert reader.is_subscribed.wait(20)
                mosquitto.password_file("corner").write_text("s3cret\n")
            time.sleep(0.01)
        assert wait_until(lambda: store.counts().waiting == 0)
        assert wait_until(lambda: count - 1 in reader.numbers())
        numbers = reader.numbers()
        assert sorted(set(numbers)) == list(range(count))
        assert sorted(set(numbers), key=numbers.index) == list(range(count))
        assert publisher.health()["mqtt_reconnects"] >= 1
        assert len(numbers) - count <= 20  # duplicates: no more than were on their way


def test_hung_broker_is_left_in_time_and_tells_of_it_when_it_wakes(mosquitto):
    store = MemoryStore()
    publisher = make_publisher(mosquitto.config(), store).open()
    assert is_connected(publisher)
    mosquitto.hang(True)
    for number in range(50):
        publisher.publish(make_event(number))
        publisher.publish(Message("soundclr/corner/street/classification", b"x" * 10000, 0, False, False))
    began_s = time.monotonic()
    publisher.close(timeout_s=2.0)
    assert time.monotonic() - began_s < 10.0
    assert store.counts().waiting == 50
    mosquitto.hang(False)
    with Reader(mosquitto.config("viewer")) as reader:
        assert wait_until(lambda: reader.states() and reader.states()[-1][0] == b"offline")


def test_killed_node_is_offline_by_its_will(mosquitto):
    program = textwrap.dedent("""
        import sys, time
        from edge.config import MqttConfig
        from edge.publish import Publisher
        from edge.store import MemoryStore
        config = MqttConfig(port=int(sys.argv[1]), username="corner", password_file=sys.argv[2])
        Publisher(config, "corner", MemoryStore(), lambda: []).open()
        time.sleep(60)
    """)
    with Reader(mosquitto.config("viewer")) as reader:
        node = subprocess.Popen(
            [sys.executable, "-c", program, str(mosquitto.port), str(mosquitto.password_file("corner"))],
            cwd=str(REPOSITORY),
        )
        try:
            assert wait_until(lambda: (b"online", False) in reader.states())
        finally:
            os.kill(node.pid, signal.SIGKILL)
            node.wait(20)
        assert wait_until(lambda: reader.states()[-1] == (b"offline", False))
    with Reader(mosquitto.config("viewer")) as late:
        assert wait_until(lambda: late.states() == [(b"offline", True)])


def test_clean_goodbye_is_offline_once(mosquitto):
    with Reader(mosquitto.config("viewer")) as reader:
        with make_publisher(mosquitto.config()) as publisher:
            assert is_connected(publisher)
        assert wait_until(lambda: len(reader.states()) >= 2)
        time.sleep(0.3)  # a will would come now
        assert reader.states() == [(b"online", False), (b"offline", False)]


def test_thousands_of_durable_messages_flow_through_tls(mosquitto):
    store, count = MemoryStore(), 3000
    with Reader(mosquitto.tls_config("viewer")) as reader, make_publisher(mosquitto.tls_config(), store) as publisher:
        assert is_connected(publisher)
        for number in range(count):
            publisher.publish(make_event(number))
        assert wait_until(lambda: len(reader.numbers()) >= count, timeout_s=60.0)
        assert reader.numbers() == list(range(count))
        assert wait_until(lambda: store.counts().waiting == 0)
