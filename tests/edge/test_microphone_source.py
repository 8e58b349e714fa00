"""The parent of the capture child, against a real child that misbehaves. PortAudio itself: tests/system."""

import logging
import os
import threading
import time

import pytest

from edge.errors import SourceError
from edge.sources.base import EndOfSource
from edge.sources.microphone import MicrophoneSource
from tests.edge.fake_capture import FRAMES
from tests.edge.microphones import blocks_until_gap, make_microphone, next_block, starts


@pytest.fixture
def microphone(tmp_path):
    """Makes microphones whose child behaves in one way; closes them."""
    with make_microphone(tmp_path) as make:
        yield make


def _assert_time_kept(before, after):
    assert after.first_sample == before.first_sample + len(before.samples) + after.gap.lost_samples
    end_s = before.captured_at_s + len(before.samples) / float(before.sample_rate_hz)
    expected = max(0.0, after.captured_at_s - end_s) * after.sample_rate_hz
    assert after.gap.lost_samples == pytest.approx(expected, abs=1)


def test_blocks_follow_each_other(microphone):
    with microphone("steady") as source:
        assert source.sample_rate_hz == 16000
        position = 0
        for _ in range(20):
            block = next_block(source)
            assert (block.first_sample, len(block.samples), block.gap) == (position, FRAMES, None)
            position += FRAMES
        assert source.status == "online"
        assert "fake" in source.describe()
    assert source.status == "offline"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("stall", "stall"),
        ("death", "restart"),
        ("garbage", "restart"),
        ("half", "restart"),
        ("wrong_size", "restart"),
        ("flood", "stall"),
    ],
)
def test_a_child_that_fails_is_replaced_and_the_loss_announced(microphone, mode, reason):
    with microphone(mode) as source:
        blocks = blocks_until_gap(source)
        assert len(blocks) == 6
        assert blocks[-1].gap.reason == reason
        _assert_time_kept(blocks[-2], blocks[-1])
        following = next_block(source)
        assert following.gap is None
        assert following.first_sample == blocks[-1].first_sample + FRAMES
        assert source.counters["restarts"] == 1
        assert source.counters["stalls"] == (reason == "stall")
        assert source.counters["lost_samples"] == blocks[-1].gap.lost_samples


@pytest.mark.parametrize("mode", ["garbage_first", "bad_hello"])
def test_a_child_that_fails_before_any_sound_leaves_no_gap(microphone, mode):
    with microphone(mode) as source:
        block = next_block(source)
        assert block.first_sample == 0
        assert block.gap is None
        assert source.counters["restarts"] == 1


def test_a_missing_device_is_waited_for_and_said_to_be_missing(microphone, caplog, tmp_path):
    with caplog.at_level(logging.WARNING):
        source = microphone("missing", device="x")
        source.open()
        assert source.status == "offline"
        assert source.sample_rate_hz == 0
        assert source.read(0.0) is None
        assert next_block(source).first_sample == 0
    assert source.status == "online"
    assert "no microphone is called 'x'; there is: 'y'" in caplog.text
    assert len(starts(tmp_path)) == 3


@pytest.mark.parametrize("mode", ["ambiguous", "no_portaudio"])
def test_what_waiting_does_not_mend_is_an_error(microphone, mode):
    threads = threading.active_count()
    with pytest.raises(SourceError, match="corner: it is " + mode):
        microphone(mode).open()
    assert threading.active_count() == threads


@pytest.mark.parametrize("mode", ["missing", "ambiguous"])
def test_a_probe_raises_what_is_wrong(microphone, mode):
    with pytest.raises(SourceError, match=r"corner: (it is|no microphone)"):
        microphone(mode).probe()


def test_a_probe_of_a_microphone_without_sound_says_so(microphone):
    with pytest.raises(SourceError, match=r"'fake'.*gave no sound"):
        microphone("mute").probe(timeout_s=0.5)


def test_sound_that_the_child_dropped_is_a_gap(microphone):
    with microphone("drops") as source:
        blocks = blocks_until_gap(source)
        assert blocks[-1].gap == ("skipped", 777)
        assert blocks[-1].first_sample == blocks[-2].first_sample + FRAMES + 777
        assert source.counters["lost_samples"] == 777
        assert source.counters["skips"] == 1
        assert source.counters["restarts"] == 0


def test_a_device_that_comes_back_with_another_rate_is_counted_in_that_rate(microphone, tmp_path):
    with microphone("other_rate") as source:
        blocks = blocks_until_gap(source)
        before, after = blocks[-2], blocks[-1]
        assert (before.sample_rate_hz, after.sample_rate_hz, source.sample_rate_hz) == (16000, 48000, 48000)
        assert after.first_sample == 3 * (before.first_sample + FRAMES) + after.gap.lost_samples
    assert "--prefer-rate=16000" in starts(tmp_path)[1]


def test_a_flood_on_stderr_fills_no_log(microphone, caplog):
    with caplog.at_level(logging.DEBUG), microphone("flood") as source:
        blocks_until_gap(source)
    assert sum("no such device" in record.getMessage() for record in caplog.records) <= 40


@pytest.mark.parametrize("mode", ["steady", "stall", "flood", "garbage", "death"])
def test_nothing_is_left_after_close(microphone, mode):
    threads, descriptors = threading.active_count(), sorted(os.listdir("/proc/self/fd"))
    source = microphone(mode)
    source.open()
    for _ in range(5):
        next_block(source)
    started_s = time.monotonic()
    source.close()
    assert time.monotonic() - started_s < 2.0
    assert threading.active_count() == threads
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(ChildProcessError):  # not even a zombie
        os.waitpid(-1, os.WNOHANG)
    with pytest.raises(EndOfSource):
        source.read(0.0)


def test_a_source_opened_again_counts_on(microphone):
    source = microphone("steady")
    with source:
        before = next_block(source)
    with source:
        after = next_block(source)
    assert after.gap.reason == "restart"
    assert after.first_sample == before.first_sample + FRAMES + after.gap.lost_samples
    assert source.counters["restarts"] == 0


def test_a_command_that_cannot_start_is_retried(caplog):
    source = MicrophoneSource("corner", command=["/nowhere/capture"], backoff_s=(0.1, 0.1))
    with caplog.at_level(logging.WARNING), source:
        assert source.read(0.3) is None
        assert source.status == "offline"
        assert source.counters["restarts"] >= 1
    assert "cannot be started" in caplog.text


def test_the_configuration_reaches_the_child(microphone, tmp_path):
    with microphone("steady", device="USB Mic", sample_rate_hz=16000, channels=2) as source:
        next_block(source)
    assert starts(tmp_path) == ["--device=USB Mic --channels=2 --rate=16000"]


@pytest.mark.parametrize("options", [{"sample_rate_hz": 100}, {"channels": 2, "channel": 2}])
def test_a_value_out_of_its_range_is_refused(options):
    with pytest.raises(SourceError):
        MicrophoneSource("corner", **options)
