"""Clips by the daemon as a process: eSpeak NG speaks in the street, and small disks take what they can."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from edge.clips.keys import make_key_files
from edge.clips.shelf import Shelf, ShelfError, stored_clips
from edge.storage.sqlite_store import SqliteStore
from tests.edge.socket_broker import wait_until
from tests.edge.test_sqlite_store import make_message, messages_in

pytestmark = pytest.mark.system
REPOSITORY = Path(__file__).resolve().parents[2]
RECORDING = REPOSITORY / "edge" / "demonstration" / "street.ogg"
SIREN_S = (27.0, 41.0)  # of the recording: a siren from 31.3 s to 36.3 s; see its timeline
DAY_S = 86400.0
SENTENCES = [
    ("en-us", "Good morning, have you seen my dog anywhere?"),
    ("de+f2", "Entschuldigung, wie komme ich zum Bahnhof?"),
    ("es+m3", "Buenos días, qué tal está usted?"),
    ("fr+f4", "Bonjour madame, il fait beau aujourd'hui."),
]
CONFIG = """
[node]
name = "corner"
[mqtt]
port = 1
[clips]
enabled = true
public_key_file = "%(public_key)s"
labels = ["siren"]
[[source]]
name = "street"
type = "file"
path = "%(path)s"
loop = true
"""


def hear(tmp_path, samples, rate_hz):
    """The daemon hears this again and again, until it has decided on a clip.  Returns what the log says of clips."""
    soundfile.write(str(tmp_path / "street.wav"), samples, rate_hz)
    public_path, _ = make_key_files(tmp_path / "office")
    config = tmp_path / "node.toml"
    config.write_text(CONFIG % dict(public_key=public_path, path=tmp_path / "street.wav"))
    log_path = tmp_path / "node.log"

    def decisions():
        lines = log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if ": kept, " in line or ": not kept (" in line]

    with open(log_path, "w") as log:
        command = [sys.executable, "-m", "edge", "run", "--config", str(config), "--state-dir", str(tmp_path / "state")]
        node = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            assert wait_until(decisions, 240.0), log_path.read_text()[-3000:]
            node.send_signal(signal.SIGTERM)
            assert node.wait(60.0) == 0
        finally:
            node.kill()
            node.wait()
    return decisions()


def siren():
    samples, rate_hz = soundfile.read(str(RECORDING), dtype="float32")
    begin, end = (int(s * rate_hz) for s in SIREN_S)
    return samples[begin:end].copy(), rate_hz


def test_a_siren_is_kept_and_opens_with_the_secret_key_alone(tmp_path):
    samples, rate_hz = siren()
    assert ": kept, " in hear(tmp_path, samples, rate_hz)[0]
    (clip, *_) = stored_clips(tmp_path / "state" / "clips")
    command = [sys.executable, "-m", "edge", "clips", "decrypt", "--json", "--output", str(tmp_path), "--key"]
    done = subprocess.run(
        [*command, str(tmp_path / "office.key"), str(clip.path)], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True
    )
    told = json.loads(done.stdout)
    heard, heard_hz = soundfile.read(told["file"], dtype="int16")
    assert told["label"] == "siren" and heard_hz == rate_hz and 3.0 <= len(heard) / rate_hz <= 12.0
    played, _ = soundfile.read(str(tmp_path / "street.wav"), dtype="int16")
    twice = np.concatenate([played, played])  # it is played in a loop
    assert any(np.array_equal(twice[at : at + len(heard)], heard) for at in np.flatnonzero(twice == heard[0]))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng, to speak")
@pytest.mark.parametrize("snr_db", [0, -6])
def test_where_somebody_speaks_no_siren_is_kept(tmp_path, snr_db):
    samples, rate_hz = siren()
    at = 0
    for voice, text in SENTENCES * 3:
        wav = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], stdout=subprocess.PIPE, check=True).stdout
        spoken, spoken_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
        spoken = soxr.resample(spoken, spoken_hz, rate_hz)[: len(samples) - at]
        if not len(spoken):
            break
        under = samples[at : at + len(spoken)]
        gain = np.sqrt(np.mean(under**2) / np.mean(spoken**2)) * 10.0 ** (snr_db / 20.0)
        under += gain * spoken
        at += len(spoken)
    decided = hear(tmp_path, np.clip(samples, -1, 1), rate_hz)
    assert all("not kept (speech)" in line or "not kept (stop)" in line for line in decided), decided
    assert "not kept (speech)" in decided[0] and stored_clips(tmp_path / "state" / "clips") == []


# Small disks.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount file systems")


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MiB."""
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=1048576", "tmpfs", str(tmp_path)]) != 0:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.check_call(["umount", "-l", str(tmp_path)])


@needs_root
def test_a_full_disk_takes_no_clip_and_loses_none(disk):
    shelf = Shelf(disk / "clips", 10**7, DAY_S, reserve_bytes=0)
    shelf.put("before", b"x" * 300000)
    with pytest.raises(ShelfError) as caught:
        shelf.put("large", b"x" * 900000)
    assert caught.value.state == "full"
    shelf.put("after", b"x" * 300000)
    assert sorted(os.listdir(disk / "clips")) == ["after.clip", "before.clip"]


@needs_root
def test_the_reserve_leaves_the_store_its_room(disk):
    shelf = Shelf(disk / "clips", 10**7, DAY_S, reserve_bytes=650000)
    with SqliteStore(disk).open() as store:
        for number in range(3):
            shelf.put("clip-%d" % number, b"x" * 100000)
        with pytest.raises(ShelfError):
            shelf.put("clip-3", b"x" * 100000)
        for number in range(200):
            store.put(make_message(number))
        assert store.flush(60.0) and store.counts().state == "ok"
        assert messages_in(store) == [make_message(number) for number in range(200)]
    assert len(stored_clips(disk / "clips")) == 3


@needs_root
def test_a_read_only_disk_is_named_and_written_on_when_it_is_none(disk):
    shelf = Shelf(disk / "clips", 10**7, 0.0, reserve_bytes=0)
    shelf.put("before", b"x")
    subprocess.check_call(["mount", "-o", "remount,ro", str(disk)])
    for act in (lambda: shelf.put("during", b"x"), shelf.tidy):
        with pytest.raises(ShelfError) as caught:
            act()
        assert caught.value.state == "read_only"
    subprocess.check_call(["mount", "-o", "remount,rw", str(disk)])
    shelf.tidy()
    assert stored_clips(disk / "clips") == []
