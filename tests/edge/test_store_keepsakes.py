"""What messages bring along to be kept is written with them, and comes back in order, once each."""

import sqlite3
import threading

import pytest

from edge.config import StoreConfig
from edge.records import Keepsake, Message
from edge.storage.database import NAME, Bookmark, Database, Entry
from edge.storage.faults import DiskError
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until

SUMMARY = "soundclr/corner/%s/summary"
PATIENCE_S = 60.0


def message_with(number, owner="mic"):
    payload = b'{"n":%d}' % number
    return Message(SUMMARY % owner, payload, 1, False, True, None, Keepsake(owner, b"kept %d" % number))


def contents(*numbers):
    return [b"kept %d" % number for number in numbers]


def test_keepsakes_outlive_a_restart_and_belong_to_their_owner(tmp_path):
    with SqliteStore(tmp_path).open() as store:
        for number in range(5):
            store.put(message_with(number))
            store.put(message_with(100 + number, "yard"))
        assert store.keepsakes("mic") == contents(0, 1, 2, 3, 4)  # none of them is on the disk yet
    with SqliteStore(tmp_path).open() as store:
        assert store.keepsakes("mic") == contents(0, 1, 2, 3, 4)
        store.put(message_with(5))
        assert store.keepsakes("mic") == contents(0, 1, 2, 3, 4, 5)
        assert store.keepsakes("yard") == contents(100, 101, 102, 103, 104) and store.keepsakes("attic") == []
        assert {stored.message.keepsake for stored in store.peek(10)} == {None}


def test_while_they_are_being_written_each_is_given_once(tmp_path):
    rhythm = Rhythm(patience_s=0.0)
    with SqliteStore(tmp_path, rhythm=rhythm).open() as store:
        stop, seen = threading.Event(), []

        def look():
            while not stop.is_set():
                seen.append(store.keepsakes("mic"))

        thread = threading.Thread(target=look)
        thread.start()
        for number in range(200):
            store.put(message_with(number))
        assert store.flush(PATIENCE_S)
        stop.set()
        thread.join(PATIENCE_S)
        assert store.keepsakes("mic") == contents(*range(200))
    assert all(found == contents(*range(len(found))) for found in seen)


def test_message_and_keepsake_are_written_in_one_transaction(tmp_path):
    with Database(tmp_path).open_for_writing() as database:
        statements = []
        database._connection.set_trace_callback(lambda text: statements.append(text))
        database.append([Entry(1, 1, True, message_with(1)), Entry(2, 1, True, message_with(2))])
        assert [text for text in statements if text.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
        assert sum("INTO keepsake" in text for text in statements) == 2


def test_a_file_of_an_earlier_version_gets_its_table(tmp_path):
    with Database(tmp_path).open_for_writing() as database:
        database.append([Entry(1, 1, True, Message("a/b", b"{}", 1, False, True))])
    connection = sqlite3.connect(str(tmp_path / NAME))
    connection.execute("DROP TABLE keepsake")
    connection.commit()
    connection.close()
    with Database(tmp_path).open_for_reading() as database:
        assert database.keepsakes.read("mic") == []
    with SqliteStore(tmp_path).open() as store:
        assert store.keepsakes("mic") == [] and store.counts().rows == 1 and store.counts().set_aside == 0
        store.put(message_with(1))
        assert store.flush(PATIENCE_S) and store.keepsakes("mic") == contents(1)


def test_of_each_owner_the_newest_are_kept(tmp_path):
    with Database(tmp_path).open_for_writing() as database:
        entries = [Entry(n, 1, True, message_with(n, "mic" if n % 2 else "yard")) for n in range(1, 241)]
        database.append(entries, Bookmark(240, 241, ()))
        database.keepsakes.drop_old(100, 1000)
        assert len(database.keepsakes.read("mic")) == 120  # not enough more to be worth a write
        database.keepsakes.drop_old(500, 100)
        assert [each for each, _ in database.keepsakes.read("mic")] == list(range(141, 241, 2))
        assert [each for each, _ in database.keepsakes.read("yard")] == list(range(142, 241, 2))


def test_in_a_small_store_keepsakes_leave_room_for_messages(tmp_path):
    config = StoreConfig(max_bytes=1000000)
    rhythm = Rhythm(patience_s=0.0, tidy_s=0.01)
    with SqliteStore(tmp_path, config, rhythm).open() as store:
        for number in range(6000):
            message = message_with(number)
            store.put(message._replace(keepsake=Keepsake("mic", b"x" * 250)))
            if number % 500 == 499:
                assert store.flush(PATIENCE_S)
        assert 900 <= len(store.keepsakes("mic")) <= 2000
        assert store.counts().bytes <= 1100000 and store.counts().rows > 1000


def test_what_can_be_read_of_a_damaged_file_is_kept_on(tmp_path):
    quick = Rhythm(patience_s=0.0, retry_s=0.05, look_s=0.05)
    with SqliteStore(tmp_path).open() as store:
        for number in range(2000):
            store.put(message_with(number))
        assert store.flush(PATIENCE_S)
    with sqlite3.connect(str(tmp_path / NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    with open(str(tmp_path / NAME), "r+b") as file:
        for page in range(pages // 2, pages // 2 + 6):
            file.seek(512 * page)
            file.write(b"\xa5" * 512)
    with SqliteStore(tmp_path, rhythm=quick).open() as store:
        for _ in range(2):  # the reader finds it out and tells the writer
            store.peek(5000)
            store.keepsakes("mic")
        store.put(message_with(2000))
        assert store.flush(PATIENCE_S) and store.counts().set_aside == 1
        kept = store.keepsakes("mic")
        assert 1000 < len(kept) < 2001 and kept[-1] == b"kept 2000"
        numbers = [int(content.split()[1]) for content in kept]
        assert numbers == sorted(set(numbers))
    with SqliteStore(tmp_path).open() as store:
        assert store.keepsakes("mic") == kept


def test_a_disk_that_takes_nothing_at_the_start_keeps_no_source_from_hearing(tmp_path, monkeypatch):
    with SqliteStore(tmp_path).open() as store:
        for number in range(3):
            store.put(message_with(number))

    def refuse(_database):
        raise DiskError("read-only file system", "read_only")

    monkeypatch.setattr(Database, "open_for_writing", refuse)
    with SqliteStore(tmp_path).open() as store:
        store.put(message_with(3))
        assert store.keepsakes("mic") == contents(0, 1, 2, 3)


def test_what_was_saved_of_a_file_that_broke_meanwhile_is_given_before_anything_new_is_written(tmp_path):
    patient = Rhythm(patience_s=PATIENCE_S, retry_s=0.05, look_s=0.05)
    with SqliteStore(tmp_path, rhythm=patient).open() as store:
        for number in range(3):
            store.put(message_with(number))
        assert store.flush(PATIENCE_S)
        for stored in store.peek(10):  # so that none of them is saved, and the new file has no row yet
            store.ack(stored.row)
        with store._condition:
            store._writer.note_damage("the reader found it", 0)
        assert wait_until(lambda: store._writer.set_aside == 1, PATIENCE_S)
        assert store.keepsakes("mic") == contents(0, 1, 2)
        store.put(message_with(3))
        assert store.keepsakes("mic") == contents(0, 1, 2, 3) and store.counts().set_aside == 1


def test_keepsakes_that_are_none_are_left_behind(tmp_path):
    with SqliteStore(tmp_path).open() as store:
        for number in range(50):
            store.put(message_with(number))
    connection = sqlite3.connect(str(tmp_path / NAME))
    connection.execute("UPDATE keepsake SET content = 7")
    connection.commit()
    connection.close()
    with SqliteStore(tmp_path, rhythm=Rhythm(retry_s=0.05, look_s=0.05)).open() as store:
        assert store.keepsakes("mic") == []
        store.put(message_with(51))
        assert store.flush(PATIENCE_S)
    assert [path for path in tmp_path.iterdir() if ".damaged-" in path.name]


def test_a_store_in_memory_keeps_nothing():
    store = MemoryStore()
    store.put(message_with(1))
    assert store.keepsakes("mic") is None and store.peek(1)[0].message.keepsake is None


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_store_that_has_just_begun_keeps_an_empty_list(tmp_path, kind):
    if kind == "empty":
        (tmp_path / NAME).touch()
    with SqliteStore(tmp_path).open() as store:
        assert store.keepsakes("mic") == []
