import json
import logging
import os
import threading
import time

import pytest

from edge.clock import UtcTime
from edge.config import MqttConfig
from edge.connection import Wakeup
from edge.errors import ConfigError
from edge.installation import read_installation_id
from edge.messages import MessageFactory
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import SocketBroker, wait_until

STATUS, INFO = "soundclr/corner/status", "soundclr/corner/info"
EVENT, NEWS = "soundclr/corner/street/event", "soundclr/corner/street/classification"
QUICK = RetryPolicy(first_s=0.05, longest_s=0.2, refused_s=0.3)


def make_publisher(port, store=None, retry=QUICK, **config):
    return Publisher(
        MqttConfig(port=port, **config),
        "corner",
        store or MemoryStore(),
        lambda: [Message(INFO, b"{}", 1, True, False)],
        retry=retry,
    )


def make_event(number):
    return Message(EVENT, b"%d" % number, 1, False, True)


def make_news(number):
    return Message(NEWS, b"%d" % number, 0, False, False)


def free_port():
    with SocketBroker() as broker:
        return broker.port


def is_connected(publisher):
    return wait_until(lambda: publisher.connection_state == "connected")


def test_says_who_it_is_on_each_connection_and_goodbye_at_the_end():
    with SocketBroker() as broker:
        publisher = make_publisher(broker.port).open()
        assert wait_until(lambda: broker.topics().count(INFO) == 1)
        broker.drop_all()
        assert wait_until(lambda: broker.topics().count(INFO) == 2)
        assert is_connected(publisher)
        publisher.close()
        assert [(m.payload, m.qos, m.retain) for m in broker.published if m.topic == STATUS] == [
            (b"online", 1, True),
            (b"online", 1, True),
            (b"offline", 1, True),
        ]
        assert [message.payload for message in broker.wills] == [b"offline"]  # of the dropped connection alone
        assert publisher.connection_state == "closed"
        assert publisher.health()["mqtt_reconnects"] == 1


def test_vanishing_without_goodbye_leaves_the_will():
    with SocketBroker(acknowledges=False) as broker:
        publisher = make_publisher(broker.port).open()
        assert is_connected(publisher)
        publisher.close(timeout_s=1.0)
        assert wait_until(lambda: broker.wills)
        will = broker.wills[0]
        assert (will.topic, will.payload, will.qos, will.retain) == (STATUS, b"offline", 1, True)


def test_absent_broker_is_waited_for_and_durable_messages_with_it():
    port, store = free_port(), MemoryStore()
    with make_publisher(port, store) as publisher:
        for number in range(30):
            publisher.publish(make_event(number))
            publisher.publish(make_news(number))
        assert wait_until(lambda: publisher.connection_state == "unreachable")
        assert "nothing listens there" in publisher.last_error
        with SocketBroker(port=port) as broker:
            assert wait_until(lambda: store.counts().waiting == 0)
            assert broker.payloads(EVENT) == [b"%d" % number for number in range(30)]
            assert broker.payloads(NEWS) == []
            assert publisher.health()["mqtt_dropped"] == 30
            publisher.publish(make_news(99))
            assert wait_until(lambda: broker.payloads(NEWS) == [b"99"])


@pytest.mark.parametrize(("code", "words"), [(4, "bad user name or password"), (5, "not authorised")])
def test_refused_connection_is_never_taken_for_one(code, words, caplog):
    with SocketBroker(connack=code) as broker, caplog.at_level(logging.WARNING):
        with make_publisher(broker.port, retry=RetryPolicy(0.01, 0.02, 0.5)) as publisher:
            publisher.publish(make_news(0))
            assert wait_until(lambda: publisher.connection_state == "refused")
            assert words in publisher.last_error
            assert words in caplog.text
            assert broker.published == []
            assert broker.connections <= 2  # it does not hammer
            broker.connack = 0  # somebody has added the user
            assert is_connected(publisher)


def test_unacknowledged_messages_go_again_once_in_each_connection():
    store = MemoryStore()
    with SocketBroker(acknowledges=False) as broker, make_publisher(broker.port, store) as publisher:
        for number in range(50):
            publisher.publish(make_event(number))
        assert wait_until(lambda: len(broker.payloads(EVENT)) == 20)
        publisher.publish(make_news(1))  # the rest still flows
        assert wait_until(lambda: broker.payloads(NEWS) == [b"1"])
        assert len(broker.payloads(EVENT)) == 20
        assert publisher.health()["mqtt_in_flight"] == 20
        broker.acknowledges = True
        broker.drop_all()
        assert wait_until(lambda: store.counts().waiting == 0)
        by_connection = {}
        for message in broker.published:
            if message.topic == EVENT:
                by_connection.setdefault(message.connection, []).append(int(message.payload))
        assert list(by_connection.values()) == [list(range(20)), list(range(50))]


def test_link_cut_again_and_again_loses_nothing_durable():
    store = MemoryStore()
    with SocketBroker() as broker, make_publisher(broker.port, store) as publisher:
        for number in range(300):
            publisher.publish(make_event(number))
            if number % 60 == 30:
                broker.drop_all()
            time.sleep(0.002)
        assert wait_until(lambda: store.counts().waiting == 0)
        received = [int(payload) for payload in broker.payloads(EVENT)]
    seen = []
    for number in received:
        if number not in seen:
            seen.append(number)
    assert seen == list(range(300))


def test_history_says_that_it_is_replayed_and_news_do_not():
    factory = MessageFactory("soundclr", "corner", "b", "boot", ())

    def event(age_s):
        now = UtcTime(time.time() - age_s, True)
        return factory.build(
            "event",
            now,
            {
                "event_id": "e",
                "phase": "start",
                "label": "siren",
                "start": now,
                "end": now,
                "duration_s": 0.0,
                "score_max": 0.5,
                "score_mean": 0.5,
                "replayed": False,
            },
            "street",
        )

    store = MemoryStore(wall_s=lambda: time.time() - 3600.0)
    store.put(event(3600.0))  # what a store on a disk would hold after a restart
    with SocketBroker() as broker, make_publisher(broker.port, store) as publisher:
        publisher.publish(event(1.0))
        assert wait_until(lambda: store.counts().waiting == 0)
        replayed = {json.loads(p.decode())["seq"]: json.loads(p.decode())["replayed"] for p in broker.payloads(EVENT)}
    assert replayed == {0: True, 1: False}


def test_publishing_never_waits_for_a_broker_that_takes_no_bytes():
    big = b"x" * 100000
    with SocketBroker(answers=False) as broker, make_publisher(broker.port) as publisher:
        assert wait_until(lambda: broker.connections == 1)
        began_s = time.monotonic()
        for _ in range(2000):
            publisher.publish(Message(NEWS, big, 0, False, False))
        assert time.monotonic() - began_s < 10.0
        assert publisher.health()["mqtt_dropped"] == 2000
        assert publisher.connection_state != "connected"
        began_s = time.monotonic()
        publisher.close(timeout_s=1.0)
        assert time.monotonic() - began_s < 5.0


def test_close_keeps_its_time_with_a_broker_that_acknowledges_nothing():
    with SocketBroker(acknowledges=False) as broker:
        publisher = make_publisher(broker.port).open()
        assert is_connected(publisher)
        publisher.publish(make_event(1))
        began_s = time.monotonic()
        publisher.close(timeout_s=1.0)
        assert time.monotonic() - began_s < 5.0
        assert "mqtt-publisher" not in [thread.name for thread in threading.enumerate()]


def test_a_broker_that_never_acknowledges_is_left_for_a_new_connection(caplog):
    store = MemoryStore()
    with SocketBroker(acknowledges=False) as broker, caplog.at_level(logging.WARNING):
        with make_publisher(broker.port, store, QUICK._replace(acknowledge_s=0.3)) as publisher:
            publisher.publish(make_event(1))
            assert wait_until(lambda: broker.connections >= 3)
            assert "has not acknowledged a message within 0.3 s" in caplog.text
            broker.acknowledges = True
            assert wait_until(lambda: store.counts().waiting == 0)


def test_close_sends_what_is_left():
    store = MemoryStore()
    with SocketBroker() as broker:
        publisher = make_publisher(broker.port, store).open()
        assert is_connected(publisher)
        for number in range(200):
            publisher.publish(make_event(number))
        publisher.close(timeout_s=20.0)
        assert wait_until(lambda: len(broker.payloads(EVENT)) == 200)
    assert store.counts().waiting == 0


def test_publisher_that_was_never_opened_closes():
    publisher = make_publisher(1)
    publisher.publish(make_event(1))
    publisher.close()
    assert publisher.connection_state == "closed"


def test_password_is_read_from_its_file_at_each_connection_and_never_logged(tmp_path, caplog):
    path = tmp_path / "password"
    path.write_bytes(b"first-s3cret\n")
    path.chmod(0o640)
    with SocketBroker() as broker, caplog.at_level(logging.DEBUG):
        with make_publisher(broker.port, username="corner", password_file=str(path)) as publisher:
            assert is_connected(publisher)
            path.write_bytes(b"second-s3cret\r\n")
            broker.drop_all()
            assert wait_until(lambda: b"second-s3cret" in broker.passwords)
        assert broker.passwords[-2:] == [b"first-s3cret", b"second-s3cret"]
    assert "s3cret" not in caplog.text
    assert "everybody" not in caplog.text


def test_password_file_that_everybody_can_read_is_warned_of(tmp_path, caplog):
    path = tmp_path / "password"
    path.write_text("s3cret")
    path.chmod(0o644)
    with SocketBroker() as broker, caplog.at_level(logging.WARNING):
        with make_publisher(broker.port, username="corner", password_file=str(path)) as publisher:
            assert is_connected(publisher)
    assert "chmod o-r" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\x00"])
def test_password_file_that_holds_no_password_is_one_clear_line(tmp_path, content):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="password_file .*password") as caught:
        make_publisher(1883, username="corner", password_file=str(path)).open()
    assert "\n" not in str(caught.value)


def test_certificates_that_are_none_are_one_clear_line(tmp_path):
    path = tmp_path / "ca.crt"
    for content in (None, "no certificate"):
        if content:
            path.write_text(content)
        with pytest.raises(ConfigError, match="certificates") as caught:
            make_publisher(8883, tls=True, ca_file=str(path)).open()
        assert "\n" not in str(caught.value)


def test_name_that_nobody_knows_is_waited_for():
    with make_publisher(1883, host="broker.invalid") as publisher:
        assert wait_until(lambda: publisher.connection_state == "unreachable")
        assert "broker.invalid" in publisher.last_error


def test_something_that_speaks_no_mqtt_is_named():
    with SocketBroker(answers=False) as broker, make_publisher(broker.port) as publisher:
        assert wait_until(lambda: broker.connections == 1)
        broker.drop_all()
        assert wait_until(lambda: "without an answer" in publisher.last_error)


def test_fault_in_what_is_said_on_connect_does_not_silence_the_node(caplog):
    answers = [ValueError("a fault of the caller")]

    def on_connect():
        if answers:
            raise answers.pop()
        return []

    with SocketBroker() as broker:
        publisher = Publisher(MqttConfig(port=broker.port), "corner", MemoryStore(), on_connect, retry=QUICK)
        with publisher:
            assert is_connected(publisher)
    assert "a fault of the caller" in caplog.text


def test_two_nodes_under_one_client_id_are_suspected():
    with SocketBroker() as broker, make_publisher(broker.port) as publisher:

        def is_suspected():
            broker.drop_all()
            return "another node" in publisher.last_error or time.sleep(0.05)

        assert wait_until(is_suspected)


def test_connections_leave_no_sockets_behind():
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    with SocketBroker() as broker, make_publisher(broker.port):
        assert wait_until(lambda: broker.topics().count(INFO) == 1)
        before = open_files()
        for count in range(2, 12):
            broker.drop_all()
            assert wait_until(lambda count=count: broker.topics().count(INFO) == count)
        assert open_files() <= before + 4


def test_installation_id_is_made_once(tmp_path):
    first = read_installation_id(tmp_path / "state")
    assert read_installation_id(tmp_path / "state") == first
    assert read_installation_id(tmp_path / "other") != first
    (tmp_path / "state" / "installation-id").write_text("")  # as a power cut left it
    again = read_installation_id(tmp_path / "state")
    assert len(again) == 8 and read_installation_id(tmp_path / "state") == again
    (tmp_path / "state" / "installation-id").write_text("not an id!\n")
    with pytest.raises(ConfigError, match="remove the file"):
        read_installation_id(tmp_path / "state")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state directory"):
        read_installation_id(tmp_path / "file" / "below")


def test_who_wakes_a_publisher_that_closes_comes_to_no_harm():
    for _ in range(50):
        wakeup, failures, stop = Wakeup(), [], threading.Event()

        def wake(wakeup=wakeup, failures=failures, stop=stop):
            try:
                while not stop.is_set():
                    wakeup.wake()
            except OSError as error:
                failures.append(error)

        threads = [threading.Thread(target=wake, name="wake-%d" % number) for number in range(3)]
        for thread in threads:
            thread.start()
        wakeup.close()
        wakeup.wake()
        stop.set()
        for thread in threads:
            thread.join(30.0)
        assert failures == []
