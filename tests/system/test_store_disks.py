"""Disks that are full or become read-only under a running daemon: small file systems of their own, which needs root."""

import errno
import json
import os
import subprocess
import time

import pytest

from edge.storage.database import NAME
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm
from tests.edge.test_sqlite_store import fill, make_message, messages_in, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount file systems"),
]
QUICK = Rhythm(retry_s=0.05)
SIZE_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=%d" % SIZE_BYTES, "tmpfs", str(tmp_path)]
    if subprocess.call(mount) != 0:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.check_call(["umount", "-l", str(tmp_path)])


def remount(disk, how):
    subprocess.check_call(["mount", "-o", "remount," + how, str(disk)])


def fill_up(disk):
    filler = os.open(str(disk / "filler"), os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(2 * SIZE_BYTES // 4096):
            os.write(filler, b"\0" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(filler)


def test_a_full_disk_is_named_and_written_on_when_there_is_room(disk):
    with SqliteStore(disk, rhythm=QUICK).open() as store:
        fill(store, range(10))
        fill_up(disk)
        rows = [store.put(make_message(number)) for number in range(10, 500)]
        assert wait_until(lambda: store.counts().state == "full")
        assert store.sendable_row == rows[-1] and messages_in(store) == [make_message(n) for n in range(500)]
        (disk / "filler").unlink()
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(60.0)
        assert store.counts().dropped == 0
    with SqliteStore(disk).open() as store:
        assert messages_in(store) == [make_message(n) for n in range(500)] and store.counts().set_aside == 0


def test_a_disk_that_is_full_from_the_start(disk):
    fill_up(disk)
    with SqliteStore(disk, rhythm=QUICK).open() as store:
        assert store.counts().state == "full"
        store.put(make_message(1))
        assert messages_in(store) == [make_message(1)]
        (disk / "filler").unlink()
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(60.0)
    with SqliteStore(disk).open() as store:
        assert messages_in(store) == [make_message(1)]


@pytest.mark.parametrize("is_cut_off", [False, True], ids=["closed in order", "with its log left behind"])
def test_a_read_only_disk_from_the_start(disk, is_cut_off):
    with SqliteStore(disk).open() as store:
        fill(store, range(5))
        if is_cut_off:
            kept = {name: (disk / name).read_bytes() for name in (NAME, NAME + "-wal")}
    if is_cut_off:
        for name, content in kept.items():
            (disk / name).write_bytes(content)
    remount(disk, "ro")
    with SqliteStore(disk, rhythm=QUICK).open() as store:
        assert store.counts().state == "read_only"
        store.put(make_message(7))
        assert messages_in(store)[-1] == make_message(7)
        remount(disk, "rw")
        assert wait_until(lambda: store.counts().state == "ok") and store.flush(60.0)
        assert messages_in(store) == [make_message(n) for n in (0, 1, 2, 3, 4, 7)]


def test_a_whole_daemon_goes_on_live_while_its_disk_is_full(disk, tmp_path_factory):
    from tests.edge.socket_broker import SocketBroker
    from tests.faults.test_kill import start, write_daemon_files

    files = tmp_path_factory.mktemp("files")

    def health():
        return [json.loads(m.payload.decode()) for m in list(broker.published) if m.topic.endswith("/health")][-1:]

    def is_in(state):
        return wait_until(lambda: [values["store_state"] for values in health()] == [state])

    with SocketBroker() as broker:
        write_daemon_files(files, broker.port)
        with open(str(files / "node.toml"), "a") as config:
            config.write("[publish]\nhealth_interval_s = 0.5\n")
        run = ["-m", "edge", "run", "--config", str(files / "node.toml"), "--state-dir", str(disk)]
        daemon = start(run, stderr=subprocess.DEVNULL)
        try:
            assert is_in("ok")
            fill_up(disk)
            assert is_in("full")
            events, live = broker.topics().count("soundclr/corner/tape/event"), len(broker.published)
            time.sleep(8.0)
            assert broker.topics().count("soundclr/corner/tape/event") > events and len(broker.published) > live + 8
            (disk / "filler").unlink()
            assert is_in("ok")
            daemon.terminate()
            assert daemon.wait(60) == 0
        finally:
            daemon.kill()
            daemon.wait()
    with SqliteStore(disk).open() as store:
        assert store.counts().waiting == 0 and store.counts().rows >= 4
