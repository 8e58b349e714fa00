"""Each thing that can go wrong with a microphone: it is named, counted, withheld from what hears, and ends."""

import time

import pytest

from edge.sources import faults
from tests.edge.fake_capture import FRAMES, RATE_HZ
from tests.edge.microphones import blocks_until_gap, make_microphone, next_block, read_until, starts


@pytest.fixture
def microphone(tmp_path):
    """Makes microphones whose child behaves in one way; closes them."""
    with make_microphone(tmp_path) as make:
        yield make


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("stall", faults.STALL),
        ("death", faults.DIED),
        ("garbage", faults.GARBLED),
        ("wrong_size", faults.GARBLED),
        ("half", faults.DIED),
        ("flood", faults.STALL),
        ("restless", faults.STALL),
        ("gone_once", faults.MISSING),
        ("missing", faults.MISSING),
        ("busy", faults.BUSY),
        ("denied", faults.DENIED),
        ("refused", faults.REFUSED),
    ],
)
def test_a_fault_has_a_name_until_sound_comes_again(microphone, mode, code):
    seen = set()
    with microphone(mode) as source:
        read_until(source, lambda: _note(seen, source) or code in seen)
        assert source.status == "offline"
        read_until(source, lambda: source.fault is None and source.status == "online")
        assert source.counters["restarts"] >= 1


def _note(seen, source):
    if source.fault is not None:
        assert source.fault.code in faults.FAULTS
        assert "\n" not in source.fault.message
        seen.add(source.fault.code)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("muted", faults.MUTED), ("stuck", faults.STUCK), ("fast", faults.DRIFT), ("lossy", faults.DRIFT)],
)
def test_what_is_no_sound_is_withheld_and_ends_when_sound_comes(microphone, mode, code):
    with microphone(mode) as source:
        read_until(source, lambda: source.fault is not None and source.fault.code == code)
        assert source.status == "offline"
        assert source.counters["withheld_samples"] > 0
        blocks = read_until(source, lambda: source.status == "online")
        after = blocks[0] if blocks else next_block(source)
        assert after.gap is not None and after.gap.reason == code
        assert source.fault is None
        assert source.counters["restarts"] == 1  # opened anew once, to see whether that helps


def test_a_muted_microphone_is_found_only_after_half_a_minute(microphone):
    with microphone("muted") as source:
        blocks = read_until(source, lambda: source.fault is not None)
        zeros = [block for block in blocks if not block.samples.any()]
        assert sum(len(block.samples) for block in zeros) == pytest.approx(30 * RATE_HZ, abs=2 * FRAMES)


def test_a_clock_that_lies_is_counted_window_by_window(microphone):
    with microphone("fast") as source:
        read_until(source, lambda: source.fault is not None)
        assert source.counters["drifts"] >= 5
        assert source.counters["lost_samples"] == 0  # too much came, nothing was lost


def test_a_refused_rate_is_said_and_another_is_heard(microphone):
    with microphone("refused_rate", sample_rate_hz=11025) as source:
        block = next_block(source)
        assert block.sample_rate_hz == source.sample_rate_hz == RATE_HZ
        assert "does not offer 11025 Hz" in source.describe()
        assert source.fault is None


def test_a_card_that_is_plugged_in_is_heard_at_once(microphone, tmp_path):
    cards = ["none"]
    with microphone("missing", backoff_s=(600.0, 600.0), cards=lambda: cards[0]) as source:
        for number in range(2):
            assert source.read(0.3) is None
            assert len(starts(tmp_path)) == number + 1
            cards[0] = "another card, %d" % number
            read_until(source, lambda n=number: len(starts(tmp_path)) > n + 1)
        read_until(source, lambda: source.status == "online")


def test_what_the_day_has_brought_is_remembered_through_every_fault(microphone):
    with microphone("death") as source:
        before = blocks_until_gap(source)
        counters = dict(source.counters)
        read_until(source, lambda: source.status == "online")
        block = next_block(source)
        assert block.first_sample > before[-1].first_sample
        assert all(source.counters[name] >= count for name, count in counters.items())


def test_a_reader_that_is_behind_gets_the_newest_and_is_told_what_was_skipped(microphone):
    with microphone("queue", stall_s=30.0) as source:
        first = next_block(source)
        time.sleep(7.0)  # more than the pipe (2 s) and the child's queue (1 s) hold
        blocks, deadline_s = [first], time.monotonic() + 30.0
        while sum(block.gap is not None for block in blocks) < 1 and time.monotonic() < deadline_s:
            blocks.append(next_block(source))
        gap = blocks[-1].gap
        assert gap.reason == "skipped"
        assert blocks[-1].first_sample == blocks[-2].first_sample + FRAMES + gap.lost_samples
        age_s = time.monotonic() - blocks[-1].captured_at_s
        assert age_s < 1.5 and gap.lost_samples > 2 * RATE_HZ  # the newest second is what is left
        assert source.counters["skips"] == 1 and source.counters["lost_samples"] == gap.lost_samples
