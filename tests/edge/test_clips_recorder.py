"""From a stream to the sound of its events: what is in a clip, and what never is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clips.recorder import ClipRecorder, longest_delay_s
from edge.clock import SourceClock
from edge.config import ClipsConfig, EventsConfig
from edge.records import AudioBlock, EventChange, Gap

RATE_HZ = 1000
CONFIG = ClipsConfig(True, "x", ("siren",), pre_roll_s=2.0, max_clip_s=5.0)
SETTLE_S = 4.0


class Stream:
    """A source whose sample i has the value i: what a clip holds says where it is from."""

    def __init__(self, config=CONFIG, block_samples=50):
        self.offers, self.at, self.block_samples = [], 0, block_samples
        self.clock = SourceClock(1000.0)
        self.recorder = ClipRecorder("mic", config, SETTLE_S, self.clock, self.offers.append)

    def play(self, seconds, events=(), gap=None, lost=0):
        """Sound, with what comes to light at its end."""
        until = self.at + lost + int(seconds * RATE_HZ)
        self.at += lost
        while self.at < until:
            samples = np.arange(self.at, min(self.at + self.block_samples, until), dtype=np.float32)
            block = AudioBlock(samples, RATE_HZ, self.at, self.at / float(RATE_HZ), gap)
            self.clock.observe(self.at, RATE_HZ, block.captured_at_s)
            self.at += len(samples)
            self.recorder.hear(block, events if self.at >= until else ())
            gap = None


def event(phase, start_s, end_s, name="e1", label="siren"):
    return EventChange(name, phase, label, start_s, end_s, None, 0.9, 0.8, 0.2)


def span(offer):
    return (int(offer.samples[0]), int(offer.samples[-1]) + 1) if len(offer.samples) else None


def test_a_clip_is_the_event_with_its_pre_roll():
    stream = Stream()
    stream.play(12.0, [event("start", 10.0, 12.0)])
    stream.play(3.0, [event("end", 10.0, 13.0)])
    (offer,) = stream.offers
    assert span(offer) == (8000, 13000)
    assert (offer.source, offer.event_id, offer.label, offer.sample_rate_hz) == ("mic", "e1", "siren", RATE_HZ)
    assert offer.start.epoch_s == pytest.approx(1008.0) and offer.end.epoch_s == pytest.approx(1013.0)
    assert offer.event_start.epoch_s == pytest.approx(1010.0)


def test_a_long_event_gives_its_beginning_and_that_once():
    stream = Stream()
    stream.play(12.0, [event("start", 10.0, 12.0)])
    stream.play(20.0)
    stream.play(1.0, [event("update", 10.0, 33.0)])
    stream.play(1.0, [event("end", 10.0, 34.0)])
    assert [span(offer) for offer in stream.offers] == [(8000, 15000)]


def test_what_comes_after_the_event_is_in_no_clip_though_its_end_is_known_late():
    stream = Stream()
    stream.play(10.5, [event("start", 10.0, 10.5)])
    stream.play(8.0, [event("end", 10.0, 11.0)])  # within the settling time
    assert [span(offer) for offer in stream.offers] == [(8000, 11000)]


@pytest.mark.parametrize("changes", [[event("start", 5.0, 6.0, label="dog_bark"), event("end", 5.0, 6.0)], []])
def test_what_nobody_asked_for_is_not_offered(changes):
    stream = Stream()
    stream.play(9.0, changes)
    assert stream.offers == []


def test_a_clip_ends_at_a_gap_and_one_after_it_begins_there():
    stream = Stream()
    stream.play(12.0, [event("start", 11.0, 12.0)])
    stream.play(3.0, [event("end", 11.0, 12.0), event("start", 22.5, 25.0, "e2")], Gap("overflow", 10000), lost=10000)
    stream.play(3.0, [event("end", 22.5, 27.0, "e2")])
    assert [span(offer) for offer in stream.offers] == [(9000, 12000), (22000, 27000)]


def test_a_gap_whose_event_is_not_told_to_end_cuts_the_clip_too():
    stream = Stream()
    stream.play(12.0, [event("start", 11.0, 12.0)])
    stream.play(0.05, gap=Gap("overflow", 0))
    assert [span(offer) for offer in stream.offers] == [(9000, 12000)]


def test_an_event_that_begins_and_ends_with_a_source_that_goes_away():
    stream = Stream()
    stream.play(12.0)
    stream.recorder.hear(None, [event("start", 11.0, 12.0), event("end", 11.0, 12.0)])
    assert [span(offer) for offer in stream.offers] == [(9000, 12000)]


def test_a_device_that_returns_with_another_rate_begins_anew():
    stream = Stream()
    stream.play(5.0, [event("start", 4.0, 5.0)])
    block = AudioBlock(np.zeros(100, np.float32), 2 * RATE_HZ, 14000, 7.0, Gap("device_lost", 0))
    stream.recorder.hear(block, [])
    assert [span(offer) for offer in stream.offers] == [(2000, 5000)]
    stream.recorder.hear(block._replace(first_sample=14100, gap=None), [event("start", 7.0, 7.1, "e2")])
    stream.recorder.hear(None, [event("end", 7.0, 7.1, "e2")])
    assert len(stream.offers[1].samples) == 200 and stream.offers[1].sample_rate_hz == 2 * RATE_HZ


def test_sound_that_is_long_gone_is_offered_as_nothing():
    stream = Stream()
    stream.play(100.0, [event("start", 10.0, 11.0), event("end", 10.0, 11.0)])
    assert [span(offer) for offer in stream.offers] == [None]


@settings(max_examples=60, deadline=None)
@given(
    block_samples=st.integers(1, 700),
    start_s=st.floats(0.0, 20.0),
    heard_after_s=st.floats(0.0, SETTLE_S),
    lasts_s=st.floats(0.0, 20.0),
)
def test_whatever_the_blocks_a_clip_is_of_its_event_whole_and_not_longer(
    block_samples, start_s, heard_after_s, lasts_s
):
    stream = Stream(block_samples=block_samples)
    stream.play(start_s + heard_after_s + 0.001, [event("start", start_s, start_s + 0.1)])
    end_s = max(start_s + lasts_s, stream.at / float(RATE_HZ) - SETTLE_S)
    stream.play(max(0.001, end_s + SETTLE_S - stream.at / float(RATE_HZ)), [event("end", start_s, end_s)])
    (offer,) = stream.offers
    expected_begin = max(0, int(round((start_s - 2.0) * RATE_HZ)))
    expected_end = int(round(min(end_s, start_s + 5.0) * RATE_HZ))
    assert span(offer) in ((expected_begin, expected_end), None if expected_begin >= expected_end else (0, 0))
    assert np.array_equal(offer.samples, np.arange(expected_begin, expected_begin + len(offer.samples)))


def test_the_delay_covers_window_confirmation_and_merging():
    assert longest_delay_s(4.0, 1.0, EventsConfig(confirm_s=2.0, merge_gap_s=10.0)) == 16.0
