"""A disk that is full, or takes nothing: a daemon's store under the kernel's own limit of what may be written."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edge.storage.database import NAME
from edge.storage.sqlite_store import SqliteStore

ROOT = Path(__file__).resolve().parent.parent.parent
HANG_S = 120

# Runs in a process of its own: a limit that is lowered for good would stay with the test runner.
FULL = r"""
import json, os, resource, sys, time
from pathlib import Path
from edge.records import Message
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm

def put(store, number):
    noise = os.urandom(150).hex()
    payload = json.dumps({"n": number, "noise": noise})
    return store.put(Message("soundclr/corner/mic/event", payload.encode(), 1, False, True))

def wait_for(condition):
    until_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until_s, store.counts()
        time.sleep(0.01)

with SqliteStore(Path(sys.argv[1]), rhythm=Rhythm(retry_s=0.05)).open() as store:
    for number in range(100):
        put(store, number)
    assert store.flush(60.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
    number = 100
    while store.counts().state == "ok":
        put(store, number)
        number += 1
        time.sleep(0.001)
    seen = store.counts()
    sendable = store.peek(100000)
    assert len(sendable) == number and store.sendable_row == sendable[-1].row
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_for(lambda: store.counts().state == "ok")
    assert store.flush(60.0)
    print(json.dumps({"state": seen.state, "put": number, "dropped": store.counts().dropped}))
"""


def test_a_file_that_may_not_grow_is_named_and_written_on_when_it_may(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    output, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors
    told = json.loads(output)
    assert told["state"] in ("failing", "full") and told["dropped"] == 0
    with SqliteStore(tmp_path).open() as store:
        numbers = [json.loads(stored.message.payload.decode())["n"] for stored in store.peek(100000)]
        assert numbers == list(range(told["put"])) and store.counts().set_aside == 0


def test_the_limit_of_this_process_is_as_it_was():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; tests/system mounts a read-only disk")
def test_a_directory_that_may_not_be_written_is_named(tmp_path):
    SqliteStore(tmp_path).open().close()
    os.chmod(str(tmp_path / NAME), 0o400)
    os.chmod(str(tmp_path), 0o500)
    with SqliteStore(tmp_path).open() as store:
        assert store.counts().state == "read_only"
