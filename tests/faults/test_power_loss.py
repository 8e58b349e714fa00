"""The power goes at any moment: what was reported as written is there, and the file opens.

The writes, truncations, renames and fsyncs of the real store are recorded (record_writes.c), and played into fresh
folders up to a moment. What was synced is all there; of what was not, each sector of 512 bytes may be there or not,
and later ones without earlier ones; a name that was made, given or removed since the last sync of its folder may be
so or not. Beyond this test: a card that says that it has stored what it has not, or that damages other sectors while
it loses power. SOUNDCLR_POWER_CUTS sets the number of moments; `make soak` does thousands.
"""

import collections
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.messages import values_from_payload
from edge.storage.database import NAME, Database
from edge.storage.reader import entries_from
from tests.faults.test_kill import HANG_S, ROOT, end_what_is_open, everything_in, judge, judge_keepsakes, wait_until

CUTS = int(os.environ.get("SOUNDCLR_POWER_CUTS", "150"))
SECTOR = 512
KILL = -signal.SIGKILL

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc, to record what the store writes")


class Disk:
    """What is on the disk for certain, and what has been asked of it since."""

    def __init__(self):
        self.synced, self.pending = {}, collections.defaultdict(list)  # by inode: content; changes
        self.names, self.synced_names = {}, {}  # path: inode
        self.inodes = 0

    def follow(self, record):
        kind, path = record[0], record[1]
        if kind == "open":
            if path not in self.names:
                self.inodes += 1
                self.names[path] = self.inodes
                self.synced[self.inodes] = b""
            elif record[2]:
                self.pending[self.names[path]].append(("truncate", 0))
        elif kind in ("write", "truncate"):
            self.pending[self.names[path]].append((kind,) + record[2:])
        elif kind == "sync" and path in self.names:
            inode = self.names[path]
            self.synced[inode] = applied(self.synced[inode], self.pending.pop(inode, []))
        elif kind == "sync":  # the folder
            self.synced_names = dict(self.names)
        elif kind == "unlink":
            del self.names[path]
        elif kind == "rename":
            self.names[record[2]] = self.names.pop(path)

    def lose_power(self, chance, directory):
        """Write what may be left into a fresh folder."""
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        names = dict(self.synced_names) if chance.random() < 0.5 else dict(self.names)
        for path, inode in names.items():
            if path.endswith("-shm"):
                continue  # is made anew by whoever opens
            survivors = [change for change in self.pending.get(inode, []) for change in torn(change, share, chance)]
            (directory / os.path.basename(path)).write_bytes(applied(self.synced[inode], survivors))


def torn(change, share, chance):
    """The sectors of a change that made it."""
    if change[0] == "truncate":
        return [change] if chance.random() < share else []
    _, offset, content = change
    edges = sorted(
        {offset, offset + len(content)} | set(range(-(-offset // SECTOR) * SECTOR, offset + len(content), SECTOR))
    )
    pieces = [("write", a, content[a - offset : b - offset]) for a, b in itertools.pairwise(edges)]
    return [piece for piece in pieces if chance.random() < share]


def applied(content, changes):
    content = bytearray(content)
    for change in changes:
        if change[0] == "truncate":
            del content[change[1] :]
            content.extend(b"\0" * (change[1] - len(content)))
        else:
            _, offset, written = change
            content.extend(b"\0" * (offset - len(content)))
            content[offset : offset + len(written)] = written
    return bytes(content)


def read_records(path):
    with open(str(path), "rb") as file:
        while True:
            words = file.readline().decode().split()
            if not words:
                return
            if words[0] in ("write", "mark"):
                content = file.read(int(words[-1]))
                if len(content) < int(words[-1]) or file.read(1) != b"\n":
                    return  # killed while it wrote this
                yield ("mark", content) if words[0] == "mark" else ("write", words[1], int(words[2]), content)
            else:
                yield tuple(words[:2]) + tuple(int(w) if w.isdigit() else w for w in words[2:])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What the victim's store did to its folder within some seconds, and the folder."""
    folder = tmp_path_factory.mktemp("recorded")
    library = folder / "record_writes.so"
    source = Path(__file__).parent / "record_writes.c"
    subprocess.check_call(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl", "-lpthread"])
    state = folder / "state"
    state.mkdir()
    environment = dict(
        os.environ,
        PYTHONPATH=".",
        LD_PRELOAD=str(library),
        RECORD_DIRECTORY=str(state),
        RECORD_FILE=str(folder / "log"),
    )
    command = [sys.executable, "tests/faults/store_victim.py", str(state), "1", "60"]
    victim = subprocess.Popen(command, cwd=str(ROOT), env=environment, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: (state / NAME).exists() and (state / NAME).stat().st_size > 20000, HANG_S)
        time.sleep(1.0)
    finally:
        victim.kill()
        assert victim.wait() == KILL
    return list(read_records(folder / "log")), state


@pytest.fixture
def records(recorded):
    return recorded[0]


def test_whatever_the_moment_nothing_that_was_reported_is_lost(records, tmp_path):
    chance = random.Random(11)
    kinds = collections.Counter(record[0] for record in records)
    assert kinds["sync"] > 50 and kinds["mark"] > 50
    cuts = collections.Counter(chance.randrange(len(records)) for _ in range(CUTS))
    disk, reported, number = Disk(), [], 0
    for at, record in enumerate(records):
        if record[0] == "mark":
            reported += [line.split()[1] for line in record[1].decode().splitlines()]
        else:
            disk.follow(record)
        for _ in range(cuts[at]):
            number += 1
            folder = tmp_path / str(number)
            folder.mkdir()
            disk.lose_power(chance, folder)
            see_that_nothing_is_lost(folder, reported, ends_too=number % 10 == 0)
            shutil.rmtree(str(folder))
    assert number == CUTS and len(reported) > 50


def see_that_nothing_is_lost(folder, reported, ends_too):
    with Database(folder).open_for_writing() as database:
        ends = database.first_and_last_id()
        entries = list(entries_from(database, *ends)) if ends is not None else []
    stored = {values_from_payload(entry.message.payload)["id"] for entry in entries}
    assert set(reported) <= stored
    with sqlite3.connect(str(folder / NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    if entries:
        judge_keepsakes(folder)
    if ends_too and entries:
        end_what_is_open(folder)
        judge(everything_in(folder))


def test_the_recorder_sees_all_that_is_written(recorded):
    records, state = recorded
    disk = Disk()
    for record in records:
        if record[0] != "mark":
            disk.follow(record)
    for name in (NAME, NAME + "-wal"):
        inode = disk.names[str(state / name)]
        content, real = applied(disk.synced[inode], disk.pending.get(inode, [])), (state / name).read_bytes()
        differ = [at for at in range(0, len(real), SECTOR) if content[at : at + SECTOR] != real[at : at + SECTOR]]
        assert len(real) > 20000 and len(differ) <= 8  # the kill came between a write and its record


def test_a_store_that_did_not_sync_would_be_caught(records, tmp_path):
    """The test can fail: with the syncs of the log struck out, what was reported is lost."""
    chance = random.Random(5)
    disk, reported = Disk(), 0
    for record in records:
        if record[0] == "mark":
            reported += 1
        elif not (record[0] == "sync" and record[1].endswith("-wal")):
            disk.follow(record)
    lost = 0
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        disk.lose_power(chance, folder)
        with Database(folder).open_for_writing() as database:
            ends = database.first_and_last_id()
            lost += (ends[1] if ends is not None else 0) < reported
    assert lost > 5
