"""A store file that is not as it was written: read, or set aside and begun anew; the node goes on either way.

Whatever such a file holds must not reach a thread that would choke on it: rows of other types, topics that no broker
takes, payloads that are no JSON, bookmarks beyond all rows, events that never began. A row that can neither be sent
nor be passed over would keep every later one from being sent.
"""

import json
import os
import shutil
import sqlite3
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.clock import ClockReading, SystemClock, UtcTime
from edge.errors import EdgeError
from edge.history import Wanted, republish, write_history
from edge.interrupted import restart_ends
from edge.messages import MessageFactory
from edge.outbox import Outbox
from edge.records import Dating, Message
from edge.redating import Redater
from edge.storage.database import NAME, Bookmark, Database, Entry
from edge.storage.faults import DamagedError
from edge.storage.sqlite_store import SqliteStore
from edge.storage.topics import Topics
from edge.storage.writer import Rhythm
from edge.store import MemoryStore, OpenEvent
from tests.fuzz.inputs import fuzzed, one_input
from tests.fuzz.mutations import ODD_NUMBERS, ODD_TEXTS, damaged_bytes, damaged_json

EVENT_TOPIC = "soundclr/corner/street/event"
FACTORY = MessageFactory("soundclr", "corner", "tiny-0", "boot-2", ("dog", "siren"), ["street"])
MACHINE = "machine-1"
QUICK = Rhythm(patience_s=0.0, retry_s=0.05, look_s=0.0)


def event_values(phase, event_id, seq):
    values = {
        "event_id": event_id,
        "phase": phase,
        "label": "dog",
        "start": UtcTime(1700000000.0, True),
        "end": UtcTime(1700000002.0, True),
        "duration_s": 2.0,
        "end_reason": None,
        "score_max": 0.9,
        "score_mean": 0.8,
    }
    message = MessageFactory("soundclr", "corner", "tiny-0", "boot-1", ("dog", "siren"), ["street"]).build(
        "event", UtcTime(1700000000.0 + seq, False), fill(values), "street"
    )
    return json.loads(message.payload.decode("utf-8"))


def fill(values):
    """Every field of an event, those that are not given as null where that may be."""
    from edge.message_types import MESSAGE_TYPES

    defaults = {"replayed": False, "start_uncertainty_s": 0.5}
    return {field.name: values.get(field.name, defaults.get(field.name)) for field in MESSAGE_TYPES["event"].fields}


EVENTS = [event_values(phase, name, seq) for seq, (phase, name) in enumerate([("start", "a"), ("update", "a")])]


def payload_of(values):
    return json.dumps(values).encode("utf-8")


def good_file(directory):
    """A store as a killed start leaves it: some sent, some not, an event without its end."""
    messages = [
        Message(EVENT_TOPIC, payload_of(values), 1, False, True, Dating(MACHINE, 5.0))
        for values in EVENTS * 3 + [dict(EVENTS[0], phase="end", end_reason="quiet")] * 2 + EVENTS
    ]
    with Database(directory).open_for_writing() as database:
        entries = [Entry(number, 1700000000000 + number, True, each) for number, each in enumerate(messages, start=1)]
        database.append(entries, Bookmark(6, 7, ((2, 3), (5, 5))))
    database_path = directory / NAME
    connection = sqlite3.connect(str(database_path))
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return database_path


def _example():
    with tempfile.TemporaryDirectory() as name:
        return good_file(Path(name)).read_bytes()


EXAMPLE = _example()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def use(folder, content, change=None):
    """A whole start of a node on this file: open, end what was open, send all there is, put one more, read it back."""
    directory = folder / "state"
    shutil.rmtree(str(directory), ignore_errors=True)
    directory.mkdir()
    path = directory / NAME
    path.write_bytes(content)
    if change is not None:
        change(path)
    check_history(directory)
    clock = SystemClock(lambda: True, lambda: 100.0, lambda: 1700000100.0)
    store = SqliteStore(directory, rhythm=QUICK, clock=clock).open()
    try:
        send_all(store, restart_ends(store, FACTORY))
        row = store.put(Message(EVENT_TOPIC, payload_of(EVENTS[0]), 1, False, True))
        assert store.flush(5.0), "nothing is written any more: %s" % store.counts().state
        send_all(store, [])
        assert store.counts().waiting == 0 and store.counts().state == "ok"
        assert row > 0
    finally:
        store.close()
    with Database(directory).open_for_reading() as database:  # what was written is readable
        ends = database.first_and_last_id()
        assert ends is not None and database.read_range(ends[1], ends[1], 1)[0].message.topic == EVENT_TOPIC


def check_history(directory):
    import io

    for as_json in (False, True):
        with one_input("store, as history reads it", EdgeError):
            write_history(directory, Wanted(), io.StringIO(), as_json=as_json)
    with one_input("store, as history reads it", EdgeError):
        republish(directory, Wanted(type="event"))


def send_all(store, messages):
    """Everything goes out, as the publisher would send it: one that cannot be sent would keep the rest waiting."""
    outbox = Outbox(
        store,
        window=500,
        replay_rate_hz=1e9,
        wall_s=lambda: 1700000100.0,
        redater=Redater(SystemClock(lambda: True, lambda: 100.0, lambda: 1700000100.0), MACHINE),
    )
    for message in messages:
        outbox.add(message)
    store.flush(5.0)
    outbox.look_again()
    sent = []
    for _ in range(2000):
        if not outbox.send_next(lambda message: sent.append(paho_takes(message)) or len(sent)):
            break
        outbox.acknowledge(len(sent))


def paho_takes(message):
    """As paho refuses what no broker takes."""
    assert isinstance(message.topic, str) and message.topic and not set(message.topic) & set("+#\0")
    assert len(message.topic.encode("utf-8")) <= 65535 and message.qos in (0, 1, 2)
    assert isinstance(message.payload, bytes) and isinstance(message.retain, bool)
    return message


@fuzzed(share=3, examples=60)
@given(content=damaged_bytes([EXAMPLE], most=8))
def test_damaged_files(folder, content):
    with one_input("store, damaged file"):
        use(folder, content)


ODD_CELLS = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, 1, -1, 6, 1 << 40, (1 << 62), (1 << 63) - 1, -(1 << 63)]),
    st.floats(allow_nan=False),
    st.sampled_from([float("inf"), -float("inf"), 1e300]),
    st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=10),
    st.binary(max_size=20),
    st.sampled_from([b"\xff\xfe", b"{}", "2026", "", "soundclr/#", zlib.compress(b"{}"), "x" * 70000]),
)
COLUMNS = [
    ("topic", "id"),
    ("topic", "name"),
    ("topic", "qos"),
    ("topic", "retain"),
    ("topic", "payload"),
    ("message", "id"),
    ("message", "put_ms"),
    ("message", "synced"),
    ("message", "topic"),
    ("message", "payload"),
    ("message", "machine_boot_id"),
    ("message", "monotonic_s"),
    ("bookmark", "known_id"),
    ("bookmark", "open_from"),
    ("waiting", "first"),
    ("waiting", "last"),
    ("again", "id"),
]
CHANGES = st.lists(
    st.tuples(st.sampled_from(COLUMNS), ODD_CELLS, st.integers(0, 12), st.sampled_from(["set", "set", "text", "gone"])),
    min_size=1,
    max_size=3,
)


def changed(path, changes):
    connection = sqlite3.connect(str(path), isolation_level=None)
    try:
        for (table, column), value, row, how in changes:
            try:
                connection.execute("INSERT OR IGNORE INTO again VALUES (3)")
                where = "rowid = (SELECT rowid FROM %s LIMIT 1 OFFSET %d)" % (table, row)
                if how == "gone":
                    connection.execute("DELETE FROM %s WHERE %s" % (table, where))
                elif how == "text":  # text that is no UTF-8
                    connection.execute("UPDATE %s SET %s = CAST(x'ff80' AS TEXT) WHERE %s" % (table, column, where))
                else:
                    connection.execute("UPDATE %s SET %s = ? WHERE %s" % (table, column, where), (value,))
            except (sqlite3.Error, OverflowError):
                continue  # SQLite itself does not take it
    finally:
        connection.close()


@fuzzed(share=3, examples=60)
@given(changes=CHANGES)
@example(changes=[(("message", "topic"), "\x85", 0, "set")])  # found by a long run: a second line in the message
def test_damaged_rows(folder, changes):
    with one_input("store, damaged rows"):
        use(folder, EXAMPLE, lambda path: changed(path, changes))


class _Kept(MemoryStore):
    """A store that remembers what a hostile file said of open events."""

    def __init__(self, events):
        super().__init__()
        self._events = events

    def open_events(self):
        return self._events


class _Far(SystemClock):
    """Of a machine whose time is nobody's."""

    def read(self):
        return ClockReading(1e12, True)


@fuzzed(share=8, examples=300)
@given(
    payload=damaged_json(EVENTS),
    known_ms=st.one_of(st.sampled_from([n for n in ODD_NUMBERS if isinstance(n, int)]), st.integers()),
    dating=st.sampled_from([None, Dating(MACHINE, 5.0), Dating(MACHINE, 1e300), Dating("", -1e18)]),
)
def test_events_that_were_left_open(payload, known_ms, dating):
    message = Message(EVENT_TOPIC, payload, 1, False, True, dating)
    with one_input("events left open"):
        for end in restart_ends(_Kept([OpenEvent(message, known_ms)]), FACTORY):
            values = json.loads(end.payload.decode("utf-8"))
            assert values["phase"] == "end" and values["end_reason"] == "restart"

        for clock in (_Far(), SystemClock(lambda: True)):
            Redater(clock, MACHINE).correct(message)


def test_a_payload_that_unpacks_to_more_than_any_message_is_damaged():
    topics = Topics()
    topics.learn([(1, EVENT_TOPIC, 1, 0, b"")])
    with one_input("store, damaged rows"), pytest.raises(DamagedError):
        topics.decode(1, zlib.compress(b"\0" * (1 << 26)))


@pytest.mark.parametrize("text", [text for text in ODD_TEXTS if text != "\ud800"])
def test_a_topic_that_no_broker_takes_is_set_aside(folder, text):
    with one_input("store, damaged rows"):
        use(folder, EXAMPLE, lambda path: changed(path, [(("topic", "name"), text, 0, "set")]))


def test_a_file_that_says_of_itself_that_it_is_read_only_is_set_aside(folder):
    content = bytearray(EXAMPLE)
    content[18] = content[19] = 3  # a file format of the future: SQLite reads it and does not write
    with one_input("store, damaged file"):
        use(folder, bytes(content))
    assert [name for name in os.listdir(str(folder / "state")) if ".damaged-" in name]
