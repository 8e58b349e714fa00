"""Levels of 125 ms on a fixed grid, gaps included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.envelope import Envelope

RATE_HZ = 8000
FRAME = 1000  # 125 ms


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 3500), min_size=1, max_size=10))
def test_block_sizes_do_not_matter(sizes):
    samples = np.random.RandomState(0).randn(20 * FRAME).astype(np.float32) * 0.1
    envelope, at, i = Envelope(RATE_HZ), 0, 0
    while at < len(samples):
        envelope.push(samples[at : at + sizes[i % len(sizes)]])
        at += sizes[i % len(sizes)]
        i += 1
    expected = 10 * np.log10(np.square(samples.reshape(20, FRAME)).mean(axis=1))
    assert np.allclose(envelope.levels(0.0, 2.5), expected, atol=1e-3)


def test_level_of_a_full_scale_sine_is_minus_3_dbfs():
    envelope = Envelope(RATE_HZ)
    envelope.push(np.sin(2 * np.pi * 400.0 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32))
    assert np.allclose(envelope.levels(0.0, 1.0), -3.01, atol=0.01)


def test_digital_silence_is_the_floor_and_not_minus_infinity():
    envelope = Envelope(RATE_HZ)
    envelope.push(np.zeros(RATE_HZ, np.float32))
    assert np.all(envelope.levels(0.0, 1.0) == -160.0)


def test_what_was_lost_is_nan_and_the_grid_stays():
    envelope = Envelope(RATE_HZ)
    envelope.push(np.ones(2 * FRAME + 10, np.float32))
    envelope.skip(5 * FRAME + 300)
    envelope.push(np.ones(2 * FRAME, np.float32) * 0.1)
    levels = envelope.levels(0.0, 10.0)
    assert np.allclose(levels[:2], 0.0) and np.isnan(levels[2:5]).all()
    assert len(levels) == 7 and np.allclose(levels[6], -20.0, atol=0.01)


def test_background_needs_twenty_seconds_and_ignores_loud_events():
    envelope = Envelope(RATE_HZ)
    quiet, loud = np.full(RATE_HZ, 0.001, np.float32), np.full(RATE_HZ, 0.5, np.float32)
    for _ in range(19):
        envelope.push(quiet)
    assert envelope.background_dbfs(19.0) is None
    for _ in range(10):
        envelope.push(loud)
    assert abs(envelope.background_dbfs(29.0) + 60.0) < 0.1


def test_only_the_last_five_minutes_count():
    envelope = Envelope(RATE_HZ)
    for _ in range(400):
        envelope.push(np.full(RATE_HZ, 0.1, np.float32))
    assert len(envelope.levels(0.0, 1000.0)) == 2400
    assert abs(envelope.first_frame(0.0, 1000.0) * envelope.frame_s - 100.0) < 0.2


def test_what_comes_later_changes_no_answer():
    samples = np.random.RandomState(0).randn(40 * RATE_HZ).astype(np.float32) * np.linspace(0.001, 0.5, 40 * RATE_HZ)
    just_so_far, far_ahead = Envelope(RATE_HZ), Envelope(RATE_HZ)
    just_so_far.push(samples[: int(30.2 * RATE_HZ)])
    far_ahead.push(samples)
    assert np.array_equal(just_so_far.levels(10.0, 30.2), far_ahead.levels(10.0, 30.2))
    assert just_so_far.background_dbfs(30.2) == far_ahead.background_dbfs(30.2) < far_ahead.background_dbfs(40.0) - 1.0


def test_a_frame_that_began_in_a_gap_has_the_level_of_what_was_heard_of_it():
    envelope = Envelope(RATE_HZ)
    envelope.skip(FRAME + 400)
    envelope.push(np.full(2 * FRAME, 0.1, np.float32))
    levels = envelope.levels(0.0, 0.375)
    assert np.isnan(levels[0]) and np.allclose(levels[1:], -20.0, atol=0.01)
    envelope.skip(5 * FRAME + 900)  # of too little, none
    envelope.push(np.full(FRAME, 0.1, np.float32))
    assert np.isnan(envelope.levels(5 * 0.125, 1.0)).all()


def test_a_stream_that_stops_within_a_frame_is_heard_to_its_end():
    envelope = Envelope(RATE_HZ)
    envelope.push(np.full(FRAME + 300, 0.1, np.float32))
    assert len(envelope.levels(0.0, 0.1625)) == 1
    envelope.stop()
    assert np.allclose(envelope.levels(0.0, 0.1625), -20.0, atol=0.01) and len(envelope.levels(0.0, 0.1625)) == 2
    assert len(envelope.levels(0.0, 0.15)) == 1  # a time before the end has a part of a frame only
    envelope.skip(FRAME + 600)
    assert len(envelope.levels(0.0, 0.1625)) == 1


def test_the_background_is_remembered_over_a_loss_that_outlasts_what_is_kept():
    envelope, noise = Envelope(8000), np.random.RandomState(1).randn(8000 * 30).astype(np.float32) * 1e-3
    envelope.push(noise)
    before_dbfs = envelope.background_dbfs(30.0)
    assert before_dbfs == pytest.approx(-60.0, abs=1.0)
    envelope.stop()
    envelope.skip(8000 * 4000)  # more than an hour without a microphone
    envelope.push(noise[: 8000 * 10])
    assert envelope.background_dbfs(4010.0) == before_dbfs
    for _ in range(4):
        envelope.push(10.0 * noise)
    assert envelope.background_dbfs(4130.0) == pytest.approx(before_dbfs + 20.0, abs=2.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-120, 0), min_size=160, max_size=400))
def test_the_background_is_the_tenth_percentile(levels_dbfs):
    envelope = Envelope(RATE_HZ)
    for level_dbfs in levels_dbfs:
        envelope.push(np.full(FRAME, 10 ** (level_dbfs / 20.0), np.float32))
    expected_dbfs = np.percentile(np.array(levels_dbfs, np.float64), 10)
    assert envelope.background_dbfs(len(levels_dbfs) * 0.125) == pytest.approx(expected_dbfs, abs=1e-3)


def test_a_stream_that_goes_on_at_another_rate_knows_the_background():
    assert Envelope(48000, background_dbfs=-55.0).background_dbfs(1.0) == -55.0
