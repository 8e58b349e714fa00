"""Which clips are written, and what becomes known of the others."""

import json
import threading

import numpy as np
import pytest

from edge.clips.keeper import ClipKeeper
from edge.clips.keys import make_key_files, read_public_key, read_secret_key
from edge.clips.recorder import ClipOffer
from edge.clips.sealed import samples_from_flac, unseal
from edge.clips.shelf import Shelf, stored_clips
from edge.clips.speech import SPEECH_THRESHOLD
from edge.clock import UtcTime
from edge.config import ClipsConfig
from edge.errors import ClipError
from edge.messages import MessageFactory
from tests.edge.socket_broker import wait_until

RATE_HZ = 16000
HANG_S = 60.0


class Judge:
    """A detector that says what it is told to say."""

    def __init__(self, answer=0.0):
        self.answer, self.asked = answer, 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def score(self, samples, sample_rate_hz):
        self.asked += 1
        assert self.may_answer.wait(HANG_S)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Node:
    """A keeper and what it publishes."""

    def __init__(self, tmp_path, reserve_bytes=0, **settings):
        if not (tmp_path / "clips.pub").exists():
            make_key_files(tmp_path / "clips")
        config = ClipsConfig(True, str(tmp_path / "clips.pub"), ("siren",))._replace(**settings)
        self.folder, self.judge, self.told = tmp_path / "state" / "clips", Judge(), []
        self.key = read_secret_key(tmp_path / "clips.key")
        factory = MessageFactory("soundclr", "corner", "tiny-0", "boot", ("siren",), ("mic",))
        self.shelf = Shelf(self.folder, config.quota_bytes, 1e6, reserve_bytes=reserve_bytes)
        self.keeper = ClipKeeper(
            config, read_public_key(tmp_path / "clips.pub"), self.judge, self.shelf, factory, self._note, "corner"
        )
        self._news = threading.Condition()
        self.keeper.open()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.judge.may_answer.set()
        self.keeper.close(HANG_S)

    def _note(self, message):
        with self._news:
            self.told.append(json.loads(message.payload.decode("utf-8")))
            self._news.notify_all()

    def wait_for(self, count):
        with self._news:
            assert self._news.wait_for(lambda: len(self.told) >= count, HANG_S), self.told
        return self.told


def offer(number=1, seconds=1.0, noise=False):
    samples = 0.1 * np.sin(np.arange(int(seconds * RATE_HZ)) * 0.05)
    if noise:
        samples = 0.3 * np.random.RandomState(number).randn(len(samples))
    moments = [UtcTime(1790856896.0 + t, True) for t in (0.0, seconds, 0.5)]
    return ClipOffer("mic", "boot-mic-1-%d" % number, "siren", samples.astype(np.float32), RATE_HZ, *moments)


def test_a_clip_without_speech_is_written_and_told_of(tmp_path):
    with Node(tmp_path) as node:
        node.keeper.offer(offer())
        (told,) = node.wait_for(1)
        (clip,) = stored_clips(node.folder)
        assert (told["clip"], told["withheld"], told["event_id"]) == ("boot-mic-1-1", None, "boot-mic-1-1")
        assert told["size_bytes"] == clip.bytes and told["key"] == node.key.fingerprint.hex()
        assert (told["start"], told["end"]) == ("2026-10-01T12:14:56.000Z", "2026-10-01T12:14:57.000Z")
        opened = unseal(clip.path.read_bytes(), node.key, "a")
        assert opened.about["event_start"] == "2026-10-01T12:14:56.500Z" and opened.about["node"] == "corner"
        assert np.array_equal(samples_from_flac(opened, "a")[0], np.rint(offer().samples * 32768).astype(np.int16))
        health = node.keeper.health()
        assert (health["clips_written"], health["clips_kept"], health["clips_state"]) == (1, 1, "ok")
        assert node.keeper.describe() == "1 clips kept, 0 withheld"


@pytest.mark.parametrize(
    "answer, reason",
    [
        (SPEECH_THRESHOLD, "speech"),
        (1.0, "speech"),
        (float("nan"), "speech"),
        (ClipError("no probability"), "unchecked"),
        (RuntimeError("ONNX Runtime is out of memory"), "unchecked"),
        (MemoryError(), "unchecked"),
        (ValueError("a fault inside"), "unchecked"),
    ],
)
def test_speech_and_whatever_cannot_be_judged_is_withheld(tmp_path, answer, reason):
    with Node(tmp_path) as node:
        node.judge.answer = answer
        node.keeper.offer(offer())
        (told,) = node.wait_for(1)
        assert (told["clip"], told["withheld"], told["size_bytes"], told["key"]) == (None, reason, None, None)
        assert not node.folder.exists() or list(node.folder.iterdir()) == []
        assert node.keeper.health()["clips_withheld_" + reason] == 1
        node.judge.answer = 0.0  # and the thread lives on
        node.keeper.offer(offer(2))
        assert node.wait_for(2)[1]["clip"] == "boot-mic-1-2"


def test_the_disk_holds_neither_samples_nor_flac_in_the_clear(tmp_path):
    given = offer(seconds=2.0, noise=True)
    with Node(tmp_path) as node:
        node.keeper.offer(given)
        node.wait_for(1)
    content = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    whole = np.rint(given.samples * 32768).clip(-32768, 32767).astype(np.int16)
    (clip,) = stored_clips(node.folder)
    flac = unseal(clip.path.read_bytes(), node.key, "a").flac
    assert len(content) > 1000 and b"fLaC" in flac
    for plain in (given.samples.tobytes(), whole.tobytes(), flac, b"fLaC" + flac[4:]):
        for at in range(0, len(plain) - 16, max(16, len(plain) // 500)):
            assert plain[at : at + 16] not in content
    assert b"fLaC" not in content and b"siren" not in content


def test_not_more_in_an_hour_than_wanted_also_after_a_restart(tmp_path):
    with Node(tmp_path, max_per_hour=2) as node:
        for number in range(3):
            node.keeper.offer(offer(number))
        assert [one["withheld"] for one in node.wait_for(3)] == [None, None, "rate"]
        assert node.judge.asked == 2
    with Node(tmp_path, max_per_hour=2) as node:
        node.keeper.offer(offer(7))
        assert node.wait_for(1)[0]["withheld"] == "rate"


def test_a_clip_larger_than_the_quota_is_withheld_and_the_oldest_makes_room_for_others(tmp_path):
    with Node(tmp_path, quota_bytes=1000000) as node:
        node.keeper.offer(offer(1, 40.0, noise=True))
        assert node.wait_for(1)[0]["withheld"] == "quota"
        for number in range(2, 6):
            node.keeper.offer(offer(number, 12.0, noise=True))
            node.wait_for(number)
        assert all(one["withheld"] is None for one in node.told[1:])
        assert node.shelf.bytes <= 1000000 and node.keeper.health()["clips_freed"] >= 1
        assert stored_clips(node.folder)[-1].name == "boot-mic-1-5"


def test_a_disk_that_takes_nothing_is_named_and_taken_up_again_when_it_does(tmp_path):
    (tmp_path / "state").write_text("a file where a folder ought to be")
    with Node(tmp_path) as node:
        node.keeper.offer(offer(1))
        assert node.wait_for(1)[0]["withheld"] == "disk"
        assert node.keeper.health()["clips_state"] == "failing" and "(disk failing)" in node.keeper.describe()
        (tmp_path / "state").unlink()
        node.keeper.offer(offer(2))
        assert node.wait_for(2)[1]["clip"] == "boot-mic-1-2"
        assert node.keeper.health()["clips_state"] == "ok"


def test_a_disk_that_would_take_nothing_is_told_of_before_there_is_a_clip(tmp_path):
    with Node(tmp_path, reserve_bytes=1 << 62) as node:
        assert wait_until(lambda: node.keeper.health()["clips_state"] == "full")


def test_more_than_can_be_looked_at_is_withheld_at_once_and_nobody_waits(tmp_path):
    with Node(tmp_path) as node:
        node.judge.may_answer.clear()
        for number in range(20):
            node.keeper.offer(offer(number))
        busy = [one for one in node.wait_for(15) if one["withheld"] == "busy"]
        assert len(busy) in (15, 16)  # four wait, and one is being looked at, or soon will be
        node.judge.may_answer.set()
        assert len(node.wait_for(20)) == 20
        assert sum(one["clip"] is not None for one in node.told) == 20 - len(busy)


def test_sound_that_is_gone_is_withheld_as_a_gap(tmp_path):
    with Node(tmp_path) as node:
        node.keeper.offer(offer(1, 0.0))
        assert node.wait_for(1)[0]["withheld"] == "gap"


def test_closing_finishes_what_waits_and_refuses_what_comes_later(tmp_path):
    with Node(tmp_path) as node:
        for number in range(3):
            node.keeper.offer(offer(number))
        node.keeper.close(HANG_S)
        assert [one["clip"] is not None for one in node.told] == [True] * 3
        node.keeper.close(0.0)
        node.keeper.offer(offer(9))
        assert node.told[3]["withheld"] == "stop"


def test_a_detector_that_hangs_does_not_hold_up_the_end(tmp_path):
    with Node(tmp_path) as node:
        node.judge.may_answer.clear()
        for number in range(3):
            node.keeper.offer(offer(number))
        node.keeper.close(0.1)
        node.judge.may_answer.set()
        assert {one["withheld"] for one in node.wait_for(3)} <= {"stop", None}
        assert [one["withheld"] for one in node.told[1:]] == ["stop", "stop"]
