"""The store on a disk, by its contract and by its faults.  Kills and power cuts: tests/faults."""

import json
import os
import sqlite3
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SystemClock
from edge.config import StoreConfig
from edge.errors import ConfigError
from edge.interrupted import restart_ends
from edge.messages import MessageFactory, UtcTime
from edge.records import Dating, Message
from edge.storage import open_store
from edge.storage.database import NAME, Bookmark, Database, Entry
from edge.storage.ledger import Ledger
from edge.storage.spans import RowSpans
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm
from edge.store import MemoryStore

PATIENCE_S = 60.0
QUICK = Rhythm(retry_s=0.05, look_s=0.05)
EVENT, SUMMARY = "soundclr/corner/mic/event", "soundclr/corner/mic/summary"


def make_message(number, topic=EVENT, dating=None):
    return Message(topic, json.dumps({"n": number, "text": "x" * (number % 7)}).encode(), 1, False, True, dating)


def open_sqlite(directory, *, rhythm=QUICK, **options):
    return SqliteStore(directory, rhythm=rhythm, **options).open()


def fill(store, numbers):
    rows = [store.put(make_message(number)) for number in numbers]
    assert store.flush(PATIENCE_S)
    return rows


def wait_until(condition):
    until_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.01)
    return condition()


def messages_in(store, limit=100000):
    return [stored.message for stored in store.peek(limit)]


class FixedClock(SystemClock):
    def __init__(self, now_s=1.79e9, synced=True):
        super().__init__()
        self.now_s, self.synced = now_s, synced

    def now(self):
        return UtcTime(self.now_s, self.synced)


def test_what_was_put_is_there_after_a_restart_and_what_was_acknowledged_is_not_sent_again(tmp_path):
    dated = make_message(5, dating=Dating("machine", 12.5))
    with open_sqlite(tmp_path) as store:
        rows = fill(store, range(5)) + [store.put(dated)]
        assert store.flush(PATIENCE_S)
        for row in (rows[0], rows[2]):
            store.ack(row)
            store.ack(row)
        assert store.counts().waiting == 4
    with open_sqlite(tmp_path) as store:
        assert messages_in(store) == [make_message(1), make_message(3), make_message(4), dated]
        assert [stored.row for stored in store.peek(2, after=rows[1])] == [rows[3], rows[4]]
        assert store.counts().waiting == 4 and store.counts().rows == 6 and store.counts().dropped == 0
        (row,) = fill(store, [6])
        assert row > rows[-1]


@given(
    actions=st.lists(
        st.one_of(st.just("put"), st.just("reopen"), st.just("flush"), st.integers(0, 40)), min_size=1, max_size=60
    )
)
@settings(max_examples=25, deadline=None)
def test_behaves_as_a_list_that_is_kept(tmp_path_factory, actions):
    directory = tmp_path_factory.mktemp("store")
    store, model, rows = open_sqlite(directory), [], []
    try:
        for number, action in enumerate(actions + ["flush", "reopen"]):
            if action == "put":
                rows.append(store.put(make_message(number)))
                model.append((rows[-1], make_message(number)))
            elif action == "reopen":
                store.close()
                store = open_sqlite(directory)
            elif action == "flush":
                assert store.flush(PATIENCE_S)
                assert [stored[:2] for stored in store.peek(1000)] == model
            elif action < len(rows):
                store.ack(rows[action])
                model = [item for item in model if item[0] != rows[action]]
            assert store.counts().waiting == len(model)
        assert [stored[:2] for stored in store.peek(1000)] == model
        assert rows == sorted(set(rows))
    finally:
        store.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80), st.integers(0, 30), st.integers(0, 31))
@settings(deadline=None)
def test_spans_are_a_set(actions, through, after):
    spans, model = RowSpans(), set()
    for is_add, row in actions:
        if is_add:
            spans.add(row)
            model.add(row)
        else:
            assert spans.remove(row) == (row in model)
            model.discard(row)
        assert len(spans) == len(model) and [row for row in range(31) if row in spans] == sorted(model)
        assert all(left[1] + 1 < right[0] for left, right in zip(spans.spans, spans.spans[1:]))
    assert list(spans.after(after)) == [row for row in sorted(model) if row > after]
    assert list(RowSpans(spans.spans).after(-1)) == sorted(model)
    assert spans.remove_through(through) == len([row for row in model if row <= through])
    assert list(spans.after(-1)) == [row for row in sorted(model) if row > through]


def test_nothing_is_sendable_before_it_is_on_the_disk_and_putting_never_waits_for_it(tmp_path, monkeypatch):
    gate, real = threading.Event(), Database.append

    def slow(database, *arguments):
        assert gate.wait(PATIENCE_S)
        real(database, *arguments)

    monkeypatch.setattr(Database, "append", slow)
    woken = []
    with open_sqlite(tmp_path) as store:
        store.call_when_sendable(lambda: woken.append(store.sendable_row))
        began_s = time.monotonic()
        rows = [store.put(make_message(number)) for number in range(1000)]
        assert time.monotonic() - began_s < 20.0  # not the minute that the disk takes
        assert store.sendable_row == 0 and store.peek(10) == [] and not store.flush(0.05)
        assert store.counts().waiting == 1000
        gate.set()
        assert store.flush(PATIENCE_S)
        assert store.sendable_row == rows[-1] and len(store.peek(2000)) == 1000
        assert wait_until(lambda: woken[-1:] == [rows[-1]])


def test_a_disk_that_hangs_is_named_and_what_is_new_goes_out_from_memory(tmp_path, monkeypatch):
    gate, real = threading.Event(), Database.append

    def hanging(database, *arguments):
        assert gate.wait(PATIENCE_S)
        real(database, *arguments)

    monkeypatch.setattr(Database, "append", hanging)
    with open_sqlite(tmp_path, rhythm=QUICK._replace(stalled_s=0.1)) as store:
        row = store.put(make_message(0))
        assert wait_until(lambda: store.counts().state == "stalled")
        assert store.sendable_row == row and messages_in(store) == [make_message(0)]
        gate.set()
        assert wait_until(lambda: store.counts().state == "ok")


def test_summaries_wait_for_company_and_events_do_not(tmp_path):
    with open_sqlite(tmp_path, rhythm=QUICK._replace(patience_s=3600.0)) as store:
        row = store.put(make_message(0, SUMMARY))
        hour = store.put(make_message(1, SUMMARY + "/hour"))
        time.sleep(0.3)
        assert store.sendable_row == 0
        event = store.put(make_message(2))
        assert wait_until(lambda: store.sendable_row == event) and row < hour < event
        store.put(make_message(3, SUMMARY))
        assert store.flush(PATIENCE_S)  # who asks need not wait
        last = store.put(make_message(4, SUMMARY))
    with open_sqlite(tmp_path) as store:
        assert [stored.row for stored in store.peek(10)][-1] == last  # nor who closes


def test_a_second_daemon_on_the_same_directory_is_named(tmp_path):
    with open_sqlite(tmp_path), pytest.raises(ConfigError, match="process %d; stop that one" % os.getpid()):
        open_sqlite(tmp_path)
    open_sqlite(tmp_path).close()


def test_files_are_for_the_owner_alone(tmp_path):
    with open_sqlite(tmp_path) as store:
        fill(store, [0])
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes) >= {NAME, NAME + "-wal", "store.lock"} and set(modes.values()) == {0o600}


def test_the_configuration_chooses(tmp_path):
    with open_store(StoreConfig(kind="memory"), tmp_path) as store:
        assert isinstance(store, MemoryStore)
    assert list(tmp_path.iterdir()) == []
    with open_store(StoreConfig(), tmp_path) as store:
        assert store.counts().state == "ok"


# size and age


def test_the_oldest_goes_where_there_is_too_much_and_is_counted(tmp_path):
    config = StoreConfig(max_bytes=60000)
    with SqliteStore(tmp_path, config, QUICK).open() as store:
        big = [
            Message(EVENT, json.dumps({"n": n, "noise": os.urandom(200).hex()}).encode(), 1, False, True)
            for n in range(1000)
        ]
        for start in range(0, 1000, 50):
            rows = [store.put(message) for message in big[start : start + 50]]
            assert store.flush(PATIENCE_S)
        assert wait_until(lambda: store.counts().bytes <= 60000)
        counts = store.counts()
        assert 0 < counts.waiting < 300 and counts.waiting + counts.dropped == 1000 and counts.rows == counts.waiting
        assert messages_in(store) == big[-counts.waiting :]
        assert rows[-1] == store.sendable_row
    assert (tmp_path / NAME).stat().st_size < 3 * 60000  # what is free is used again


def test_what_is_too_old_goes_and_what_has_no_time_goes_with_its_neighbour(tmp_path):
    day_s = 86400.0
    clock = FixedClock()
    now_s = clock.now_s
    with SqliteStore(tmp_path, StoreConfig(max_age_days=2.0), QUICK._replace(tidy_s=0.05), clock=clock).open() as store:
        for number, (age_days, synced) in enumerate(
            [(9, True), (20000, False), (3, True), (20000, False), (1, True), (0, True)]
        ):
            clock.now_s, clock.synced = now_s - age_days * day_s, False  # nothing goes while the time is not known
            clock.synced = synced and number < 0
            with store._condition:  # each with a clock of its own
                store._ledger.put(make_message(number), int(1000 * clock.now_s), synced, time.monotonic())
        store.flush(PATIENCE_S)
        assert store.counts().waiting == 6
        clock.now_s, clock.synced = now_s, True
        assert wait_until(lambda: store.counts().waiting == 3)
        assert messages_in(store) == [make_message(number) for number in (3, 4, 5)]
        assert store.counts().dropped == 3


# damage


def bytes_of(path):
    with open(str(path), "rb") as file:
        return file.read()


def write_bytes(path, content):
    with open(str(path), "wb") as file:
        file.write(content)


def random_bytes(path):
    write_bytes(path, os.urandom(30000))


def cut_short(path):
    write_bytes(path, bytes_of(path)[: path.stat().st_size // 2])


def other_schema(path):
    with sqlite3.connect(str(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def no_table(path):
    with sqlite3.connect(str(path)) as connection:
        connection.execute("DROP TABLE waiting")
    connection.close()


def strangers_file(path):
    path.unlink()
    with sqlite3.connect(str(path)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()


def two_bookmarks(path):
    with sqlite3.connect(str(path)) as connection:
        connection.execute("INSERT INTO bookmark VALUES (1, 1)")
    connection.close()


@pytest.mark.parametrize(
    "damage", [random_bytes, cut_short, other_schema, no_table, strangers_file, two_bookmarks], ids=lambda d: d.__name__
)
def test_a_file_that_is_no_store_of_ours_is_moved_aside_and_a_fresh_one_begun(tmp_path, damage):
    with open_sqlite(tmp_path) as store:
        fill(store, range(200))
    damage(tmp_path / NAME)
    content = bytes_of(tmp_path / NAME)
    with open_sqlite(tmp_path) as store:
        assert store.counts().set_aside == 1 and store.counts().state == "ok"
        fill(store, [1000])
        assert messages_in(store)[-1] == make_message(1000)
    asides = [path for path in tmp_path.iterdir() if ".damaged-" in path.name and path.name[-1] in "Z0123456789"]
    assert len(asides) == 1 and bytes_of(asides[0]) == content
    with open_sqlite(tmp_path) as store:
        assert store.counts().set_aside == 0 and messages_in(store)[-1] == make_message(1000)


def test_an_empty_file_is_a_new_store(tmp_path):
    write_bytes(tmp_path / NAME, b"")
    with open_sqlite(tmp_path) as store:
        fill(store, [1])
        assert store.counts().set_aside == 0


def test_a_hole_in_the_middle_is_found_by_who_reads_and_the_rest_is_saved(tmp_path):
    with open_sqlite(tmp_path) as store:
        for start in range(0, 2000, 500):
            fill(store, range(start, start + 500))
    size = (tmp_path / NAME).stat().st_size
    with open(str(tmp_path / NAME), "r+b") as file:
        file.seek(size // 1024 * 512)
        file.write(os.urandom(2048))
    with open_sqlite(tmp_path) as store:
        assert store.counts().waiting == 2000
        fill(store, [5000])
        assert wait_until(lambda: len(store.peek(3000)) > 1500 and store.counts().set_aside == 1)
        counts = store.counts()
        assert counts.state == "ok" and 1700 < counts.waiting < 2001 and counts.dropped == 2001 - counts.waiting
        assert store.flush(PATIENCE_S)
        saved = messages_in(store)
        assert len(saved) == counts.waiting and {m.payload for m in saved} <= {
            make_message(n).payload for n in list(range(2000)) + [5000]
        }
    with open_sqlite(tmp_path) as store:
        assert messages_in(store) == saved


@given(position=st.floats(0, 1), noise=st.binary(min_size=1, max_size=600), length=st.floats(0.01, 1))
@settings(max_examples=40, deadline=None)
def test_no_damage_crashes_it(tmp_path_factory, position, noise, length):
    directory = tmp_path_factory.mktemp("store")
    with open_sqlite(directory) as store:
        fill(store, range(60))
    content = bytearray(bytes_of(directory / NAME))
    at = int(position * (len(content) - 1))
    content[at : at + len(noise)] = noise
    write_bytes(directory / NAME, bytes(content[: max(1, int(length * len(content)))]))
    with open_sqlite(directory) as store:
        store.peek(100)
        (row,) = fill(store, [7])
        assert wait_until(lambda: store.counts().state == "ok")
        assert make_message(7) in messages_in(store) or wait_until(lambda: make_message(7) in messages_in(store))
        assert row > 0


def test_of_many_damaged_files_the_last_are_kept(tmp_path):
    for _ in range(5):
        random_bytes(tmp_path / NAME)
        open_sqlite(tmp_path).close()
    assert len([path for path in tmp_path.iterdir() if ".damaged-" in path.name]) == 2


# disks that fail


def test_what_the_disk_does_not_take_is_sent_from_memory_and_written_later(tmp_path, monkeypatch):
    real = Database.append
    is_failing = threading.Event()

    def failing(database, *arguments):
        if is_failing.is_set():
            raise sqlite3_full()
        real(database, *arguments)

    def sqlite3_full():
        from edge.storage.faults import fault_from

        return fault_from(sqlite3.OperationalError("database or disk is full"), tmp_path)

    monkeypatch.setattr(Database, "append", failing)
    with open_sqlite(tmp_path, memory_rows=50) as store:
        first = fill(store, range(3))
        is_failing.set()
        rows = [store.put(make_message(number)) for number in range(100, 160)]
        assert wait_until(lambda: store.counts().state == "full")
        assert store.sendable_row == rows[-1]
        assert messages_in(store) == [make_message(n) for n in [0, 1, 2] + list(range(110, 160))]
        assert store.counts().dropped == 10
        store.ack(rows[20])
        is_failing.clear()
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(PATIENCE_S)
        late = fill(store, [500])
        expected = [make_message(n) for n in [0, 1, 2] + [n for n in range(110, 160) if n != 120] + [500]]
        assert messages_in(store) == expected
        assert store.counts().rows == 54 and late[0] > rows[-1] > first[-1]
        for row in rows:
            store.ack(row)
    with open_sqlite(tmp_path) as store:
        assert messages_in(store) == [make_message(n) for n in (0, 1, 2, 500)]
        assert store.counts().rows == 54  # what was acknowledged in memory is history too


def test_a_directory_that_cannot_be_made_now_may_be_made_later(tmp_path):
    blocker = tmp_path / "state"
    write_bytes(blocker, b"a file where the directory should be")
    with open_sqlite(blocker) as store:
        assert store.counts().state == "failing"
        rows = [store.put(make_message(number)) for number in range(3)]
        assert messages_in(store) == [make_message(number) for number in range(3)]
        store.ack(rows[0])
        blocker.unlink()
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(PATIENCE_S)
        assert messages_in(store) == [make_message(1), make_message(2)]
    with open_sqlite(blocker) as store:
        assert messages_in(store) == [make_message(1), make_message(2)]
        assert fill(store, [9])[0] < 1000  # and numbers are small again


def test_a_file_that_turns_up_late_keeps_its_own_rows(tmp_path):
    with open_sqlite(tmp_path / "real") as store:
        fill(store, range(5))
    link = tmp_path / "state"
    link.symlink_to(tmp_path / "missing")
    with open_sqlite(link) as store:
        rows = [store.put(make_message(number)) for number in range(10, 13)]
        assert store.counts().state == "failing"
        (tmp_path / "real").rename(tmp_path / "missing")
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(PATIENCE_S)
        expected = [make_message(n) for n in list(range(5)) + [10, 11, 12]]
        assert messages_in(store) == expected
        store.ack(rows[1])
        store.ack(2)
    with open_sqlite(link) as store:
        assert messages_in(store) == [message for n, message in enumerate(expected) if n not in (1, 6)]


# events that a start left open

FACTORY = MessageFactory("soundclr", "corner", "bundle", "first", ("siren",))


def make_event(event_id, phase, at_s, start_s=1000.0, source="mic", factory=FACTORY):
    values = {
        "event_id": event_id,
        "phase": phase,
        "label": "siren",
        "start": start_s,
        "end": at_s,
        "duration_s": at_s - start_s,
        "end_reason": "quiet" if phase == "end" else None,
        "score_max": 0.9,
        "score_mean": 0.8,
        "replayed": False,
        "laeq_dbfs": -31.5,
    }
    return factory.build("event", UtcTime(start_s if phase == "start" else at_s, True), values, source)


def test_what_was_left_open_is_ended_once_at_the_time_it_was_last_known(tmp_path):
    with open_sqlite(tmp_path) as store:
        for message in (
            make_event("a", "start", 1002.0),
            make_event("b", "start", 1003.0),
            make_event("c", "start", 1003.0, source="yard"),
            make_event("a", "end", 1010.0),
            make_event("b", "update", 1060.0),
            make_event("d", "end", 1075.0),  # the source was at work, and b had not ended
            make_event("e", "end", 1090.0, source="other"),
        ):
            store.put(message)
        assert store.flush(PATIENCE_S) and store.open_events() == []
    factory = MessageFactory("soundclr", "renamed", "bundle-2", "second", ("siren",))
    with open_sqlite(tmp_path) as store:
        ends = restart_ends(store, factory)
        values = {value["event_id"]: value for value in (json.loads(end.payload.decode()) for end in ends)}
        assert set(values) == {"b", "c"}
        assert values["b"]["end"] == values["b"]["time"] == "1970-01-01T00:17:55.000Z"
        assert (values["b"]["phase"], values["b"]["end_reason"], values["b"]["duration_s"]) == ("end", "restart", 75.0)
        assert values["b"]["laeq_dbfs"] == -31.5 and values["b"]["boot_id"] == "second"
        assert values["c"]["end"] == "1970-01-01T00:16:43.000Z"  # of it nothing was heard after its start
        assert {end.topic for end in ends} == {EVENT, "soundclr/corner/yard/event"}
        assert (values["b"]["node"], values["b"]["bundle"]) == ("corner", "bundle")
        for end in ends:
            store.put(end)
    with open_sqlite(tmp_path) as store:
        assert store.open_events() == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "update", "end"])), max_size=40),
    st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_a_bookmark_of_any_age_finds_every_open_event(steps, noted):
    ledger, model, entries = Ledger(1000), {}, []
    ledger.adopt(None, Bookmark(0, 1, ()))
    bookmark, serial = Bookmark(0, 1, ()), {}
    for number, (name, phase) in enumerate(steps):
        is_open = name in model
        if (phase == "start") == is_open:
            continue
        serial[name] = serial.get(name, 0) + (phase == "start")
        event_id = "%s%d" % (name, serial[name])
        model[name] = event_id
        if phase == "end":
            del model[name]
        message = make_event(event_id, phase, 1010.0 + number)
        ledger.put(message, 0, True, 0.0)
        batch = ledger.batch(10)
        entries += ledger.entries_for(batch)
        ledger.note_written(batch)
        if number <= noted:
            bookmark = ledger.bookmark_after([])
    later = Ledger(1000)
    for entry in entries:
        if entry.id >= bookmark.open_from:
            later.open_events.follow(entry.id, entry.message)
    left = {json.loads(event.message.payload.decode())["event_id"] for event in later.open_events.events()}
    assert left == set(model.values())


def test_what_fails_while_it_is_written_may_have_been_written_all_the_same(tmp_path):
    entries = [Entry(number, 0, True, make_message(number)) for number in range(1, 4)]
    with Database(tmp_path).open_for_writing() as database:
        database.append(entries)
        database.append(entries)
        assert database.read_range(1, 10, 10) == entries


def test_the_oldest_sqlite_of_a_node_knows_every_statement():
    """3.22 has none of these."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "edge", "storage")
    names = ("database.py", "keepsake_table.py")
    text = "".join(bytes_of(os.path.join(folder, name)).decode("utf-8") for name in names).upper()
    for word in ("ON CONFLICT", "RETURNING", " OVER (", "GENERATED ALWAYS", "STRICT", "DROP COLUMN", "NULLS FIRST"):
        assert word not in text


def test_a_wakeup_that_was_closed_in_another_thread_is_no_fault():
    from edge.connection import Wakeup

    wakeup = Wakeup()
    wakeup.close()
    wakeup.wake()  # the store's writer may be about to when the publisher closes
