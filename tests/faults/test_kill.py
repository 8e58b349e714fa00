"""kill -9 at any moment: what was reported as written is there, and every start has one end.

SOUNDCLR_KILLS sets the number of kills of the store; `make soak` does hundreds.
"""

import collections
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.interrupted import restart_ends
from edge.messages import MessageFactory, values_from_payload
from edge.storage.database import NAME, Database
from edge.storage.reader import entries_from
from edge.storage.sqlite_store import SqliteStore
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.engines.bundles import write_tiny_bundle

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("SOUNDCLR_KILLS", "24"))
DAEMON_KILLS = max(3, KILLS // 8)
HANG_S = 120.0
RATE_HZ = 16000


def start(arguments, **options):
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=str(ROOT), env=dict(os.environ, PYTHONPATH="."), **options
    )


def end_what_is_open(directory):
    """What the next start of the daemon does first."""
    factory = MessageFactory("soundclr", "corner", "bundle", "last", ("siren",))
    with SqliteStore(directory).open() as store:
        for end in restart_ends(store, factory):
            store.put(end)
        assert store.flush(HANG_S) and store.counts().set_aside == 0


def everything_in(directory):
    with Database(directory).open_for_reading() as database:
        first, last = database.first_and_last_id()
        return [values_from_payload(entry.message.payload) for entry in entries_from(database, first, last)]


def judge_keepsakes(directory):
    """What was written to be kept is there with its message and never without; the oldest may have been dropped."""
    with Database(directory).open_for_reading() as database:
        kept = dict(database.keepsakes.read("mic"))
        ids = {
            entry.id: values_from_payload(entry.message.payload)["id"].encode()
            for entry in entries_from(database, *database.first_and_last_id())
        }
    first = min(kept, default=0)
    with_one = {number: content for number, content in ids.items() if not content.startswith(b"last-")}
    assert {number: content for number, content in with_one.items() if number >= first} == kept
    return len(kept)


def judge(events):
    """Phases by event: each one start first, one end last, and nothing after it."""
    phases = collections.OrderedDict()
    for values in events:
        phases.setdefault(values["event_id"], []).append(values["phase"])
    wrong = {
        name: seen
        for name, seen in phases.items()
        if seen.count("start") != 1 or seen.count("end") != 1 or seen[0] != "start" or seen[-1] != "end"
    }
    assert wrong == {}
    return len(phases)


@pytest.mark.slow
def test_killed_again_and_again_the_store_loses_nothing_it_has_reported(tmp_path):
    chance = random.Random(7)
    written = []
    for run in range(KILLS):
        with open(str(tmp_path / "said"), "w+") as said:
            victim = start(
                ["tests/faults/store_victim.py", str(tmp_path), str(run)], stdout=said, stderr=subprocess.PIPE
            )
            try:
                if chance.random() < 0.9:  # as a rule it has begun to work; now and then it is hit while it opens
                    assert wait_until(
                        lambda v=victim, s=said: os.fstat(s.fileno()).st_size or v.poll() is not None, HANG_S
                    )
                time.sleep(chance.random() * 0.3)
            finally:
                victim.kill()
                _, errors = victim.communicate()
            assert victim.returncode == -signal.SIGKILL, errors.decode()
            said.seek(0)
            written += [line.split()[1:] for line in said.read().splitlines(True) if line.endswith("\n")]
    end_what_is_open(tmp_path)
    events = everything_in(tmp_path)
    stored = collections.Counter(values["id"] for values in events)
    missing = [line for line in written if line[0] not in stored]
    assert missing == [] and max(stored.values()) == 1
    assert judge(events) > KILLS and len(written) > KILLS
    assert judge_keepsakes(tmp_path) > KILLS
    with sqlite3.connect(str(tmp_path / NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def write_daemon_files(directory, port):
    bundle = write_tiny_bundle(directory / "tiny")
    samples = 2e-3 * np.random.RandomState(1).randn(3 * RATE_HZ)
    samples[RATE_HZ : 2 * RATE_HZ] += 0.2 * np.sin(2 * np.pi * 440.0 * np.arange(RATE_HZ) / RATE_HZ)
    soundfile.write(str(directory / "street.wav"), samples, RATE_HZ)
    (directory / "node.toml").write_text(
        '[node]\nname = "corner"\n[[source]]\nname = "tape"\ntype = "file"\npath = %s\nloop = true\n'
        "[mqtt]\nport = %d\n[model]\nbundle = %s\nhop_s = 0.25\n"
        "[events]\nconfirm_s = 0.25\noff_ratio = 0.9\nmerge_gap_s = 0.25\nmax_event_s = 1\n"
        % (json.dumps(str(directory / "street.wav")), port, json.dumps(str(bundle))),
        encoding="utf-8",
    )


@pytest.mark.slow
def test_killed_daemons_leave_each_event_with_one_end_at_the_broker(tmp_path):
    chance = random.Random(3)
    with SocketBroker() as broker:
        write_daemon_files(tmp_path, broker.port)
        run = ["-m", "edge", "run", "--config", str(tmp_path / "node.toml"), "--state-dir", str(tmp_path / "state")]

        def seen():
            return [json.loads(m.payload.decode()) for m in list(broker.published) if m.topic.endswith("/event")]

        def begun():
            return {values["event_id"] for values in seen() if values["phase"] == "start"}

        for number in range(DAEMON_KILLS):
            daemon = start(run, stderr=subprocess.DEVNULL)
            try:
                assert wait_until(lambda d=daemon, n=number: len(begun()) > n or d.poll() is not None, HANG_S)
                time.sleep(chance.random() * (2.0 if number % 2 else 0.2))
            finally:
                daemon.kill()
                daemon.wait()
            assert daemon.returncode == -signal.SIGKILL
        daemon = start(run + ["--duration-s", "4"], stderr=subprocess.DEVNULL)
        assert daemon.wait(HANG_S) == 0
        events = list({values["id"]: values for values in seen()}.values())  # QoS 1: some come twice
    stored = [values for values in everything_in(tmp_path / "state") if values["type"] == "event"]
    assert {values["id"] for values in stored} == {values["id"] for values in events}
    assert judge(stored) >= DAEMON_KILLS
    judge(sorted(events, key=lambda values: [value["id"] for value in stored].index(values["id"])))
    reasons = collections.Counter(values["end_reason"] for values in events if values["phase"] == "end")
    assert reasons["restart"] >= 1
