"""After an outage: a stored backlog drains through a real mosquitto at its default settings, in order, behind the news.

Runs on Python 3.6 with paho-mqtt 1.6 as well.
"""

import json
import signal
import time

import pytest

from edge.clock import UtcTime
from edge.messages import MessageFactory
from edge.publish import Publisher, RetryPolicy
from edge.storage import SqliteStore
from edge.storage.database import Database
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until
from tests.system.reader import Reader

pytestmark = pytest.mark.system
QUICK = RetryPolicy(first_s=0.1, longest_s=0.5, refused_s=0.5)
WEEK_S = 7 * 86400.0


class PastClock:
    """A machine's clock, some time ago."""

    def __init__(self, ago_s):
        self.ago_s = ago_s

    def now(self):
        return UtcTime(time.time() - self.ago_s, True)

    def read(self):
        return time.time() - self.ago_s - time.monotonic(), True


def make_factory(boot_id):
    return MessageFactory("soundclr", "corner", "b", boot_id, ("siren",))


def make_event(factory, clock, number):
    now = clock.now()
    return factory.build(
        "event",
        now,
        {
            "event_id": "e%d" % number,
            "phase": "end",
            "end_reason": "quiet",
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


def make_publisher(config, store):
    return Publisher(config, "corner", store, list, retry=QUICK)


def heard(reader):
    return [json.loads(payload.decode()) for payload in reader.payloads()]


@pytest.fixture
def week_old_store(tmp_path):
    """Returns a function: a store on the disk that holds so many events, a week old, of an earlier start."""

    def fill(rows):
        factory, clock = make_factory("before"), PastClock(WEEK_S)
        with SqliteStore(tmp_path / "state", clock=clock).open() as store:
            for number in range(rows):
                store.put(make_event(factory, clock, number))
                if number % 5000 == 4999:
                    assert store.flush(60.0)
            assert store.flush(60.0)
        return SqliteStore(tmp_path / "state").open()

    return fill


def test_a_backlog_drains_in_order_and_overruns_no_reader_and_news_overtake_it(mosquitto, week_old_store):
    rows, rate_hz = 1500, 200.0
    mosquitto.stop()
    mosquitto.write_settings(max_queued_messages="1000")  # mosquitto's own default
    mosquitto.start()
    factory, clock, overtaken = make_factory("now"), PastClock(0.0), []
    with Reader(mosquitto.config("viewer"), pause_s=0.001) as reader, week_old_store(rows) as store:
        assert store.counts().waiting == rows
        with make_publisher(mosquitto.config(replay_rate_hz=rate_hz), store) as publisher:
            for number in range(3):
                assert wait_until(lambda number=number: len(reader.payloads()) >= 200 * (number + 1), 120.0)
                before = len(reader.payloads())
                new = make_event(factory, clock, 10000 + number)
                publisher.publish(new)
                assert wait_until(lambda new=new: new.payload in reader.payloads(), 60.0)
                overtaken.append(reader.payloads().index(new.payload) - before)
            assert wait_until(lambda: store.counts().waiting == 0, 240.0)
        assert wait_until(lambda: len(reader.payloads()) >= rows + 3, 60.0)
        messages = heard(reader)
    old = [int(message["event_id"][1:]) for message in messages if message["boot_id"] == "before"]
    assert old == list(range(rows))
    assert all(message["replayed"] == (message["boot_id"] == "before") for message in messages)
    assert len({message["id"] for message in messages}) == rows + 3
    assert max(overtaken) < 2.0 * rate_hz, overtaken  # what two seconds let through


def test_a_backlog_outlives_broker_and_node_killed_in_its_middle(mosquitto, week_old_store, tmp_path):
    """What the broker had acknowledged and lost with its memory is sent once more, as `history --republish` asks."""
    rows = 800
    config = mosquitto.config(replay_rate_hz=1000.0)
    with Reader(mosquitto.config("viewer")) as reader:
        with week_old_store(rows) as store, make_publisher(config, store):
            assert wait_until(lambda: len(reader.payloads()) >= 200, 60.0)
            mosquitto.stop(signal.SIGKILL)
            mosquitto.password_file("corner").write_text("not yet\n")  # a clean session misses what comes before it
            reader.is_subscribed.clear()
            mosquitto.start()
            assert reader.is_subscribed.wait(20)
            mosquitto.password_file("corner").write_text("s3cret\n")
            assert wait_until(lambda: len(reader.payloads()) >= 400, 60.0)
        with SqliteStore(tmp_path / "state").open() as store, make_publisher(config, store):
            assert wait_until(lambda: store.counts().waiting == 0, 120.0)
        assert len({message["id"] for message in heard(reader)}) > rows // 2
        with Database(tmp_path / "state").open_for_writing() as database:
            database.ask_again(range(1, rows + 1))
        with SqliteStore(tmp_path / "state").open() as store, make_publisher(config, store):
            assert wait_until(lambda: len({message["id"] for message in heard(reader)}) == rows, 120.0)
            assert wait_until(lambda: store.counts().waiting == 0, 60.0)


def test_broker_that_is_absent_at_boot_is_waited_for(mosquitto):
    store = MemoryStore()
    mosquitto.stop()
    factory, clock = make_factory("now"), PastClock(0.0)
    with make_publisher(mosquitto.config(), store) as publisher:
        for number in range(50):
            publisher.publish(make_event(factory, clock, number))
        assert wait_until(lambda: publisher.connection_state == "unreachable")
        mosquitto.password_file("corner").write_text("not yet\n")
        mosquitto.start()
        with Reader(mosquitto.config("viewer")) as reader:
            mosquitto.password_file("corner").write_text("s3cret\n")
            assert wait_until(lambda: len(heard(reader)) >= 50, 60.0)
            assert [message["event_id"] for message in heard(reader)] == ["e%d" % number for number in range(50)]
            assert not any(message["replayed"] for message in heard(reader))
