"""Minutes of UTC in the stream of a microphone whose clock is wrong, on a machine whose clock is set and stepped."""

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SourceClock, SystemClock
from edge.minutes import MinuteGrid, minute_of

RATE_HZ = 48000
BLOCK_S = 0.2
DAY_S = 86400.0
START_S = 1790805600.0  # 2026-09-30T22:00:00Z: midnight comes after two hours


class Street:
    """A machine and its microphone: true time passes, everything else is an error that the test chooses."""

    def __init__(self, drift_ppm, seed=7, synced=True, guess_s=0.0):
        self.true_s, self.drift = START_S, drift_ppm * 1e-6
        self.wall_error_s, self.synced = guess_s, synced
        self._random = random.Random(seed)
        self.system = SystemClock(
            lambda: self.synced, lambda: self.true_s - START_S + 1000.0, lambda: self.true_s + self.wall_error_s
        )
        self.clock = SourceClock(system=self.system)
        self.stream_s = 0.0

    def true_of(self, stream_s):
        """When this moment of the stream truly sounded."""
        return START_S + stream_s * (1.0 + self.drift)

    def give_block(self):
        """The next block, late as blocks are: by milliseconds, and now and then by a tenth of a second."""
        late_s = self._random.expovariate(1 / 0.003)
        if self._random.random() < 0.002:
            late_s += self._random.uniform(0.02, 0.12)
        first_s, self.stream_s = self.stream_s, self.stream_s + BLOCK_S
        self.true_s = max(self.true_s, self.true_of(self.stream_s) + late_s)
        captured_s = 1000.0 + self.true_of(first_s) + late_s - START_S
        self.clock.observe(int(round(first_s * RATE_HZ)), RATE_HZ, captured_s)


@pytest.mark.parametrize("drift_ppm", [100, -100])
def test_over_a_day_of_a_clock_100_ppm_off_every_moment_and_every_minute_is_right_within_50_ms(drift_ppm):
    street, spans, worst_s = Street(drift_ppm), [], 0.0
    grid = MinuteGrid(street.clock)
    while street.true_s < START_S + DAY_S + 1.0:
        for _ in range(5):
            street.give_block()
        said_s = street.clock.utc_of(street.stream_s - BLOCK_S).epoch_s
        worst_s = max(worst_s, abs(said_s - street.true_of(street.stream_s - BLOCK_S)))
        spans += grid.advance(street.stream_s)
    assert worst_s < 0.05
    whole = [span for span in spans if span.is_whole]
    assert len(whole) == 1440 - (not spans[0].is_whole)
    assert [span.minute.epoch_s for span in spans] == [START_S + 60.0 * n for n in range(1440)]
    for span in whole:
        assert abs(street.true_of(span.start_s) - span.minute.epoch_s) < 0.05
        assert abs(street.true_of(span.end_s) - span.minute.epoch_s - 60.0) < 0.05
    _assert_no_moment_is_missing_or_told_twice(spans)


def _assert_no_moment_is_missing_or_told_twice(spans):
    assert all(later.start_s == earlier.end_s for earlier, later in zip(spans, spans[1:]))
    for span in spans:
        assert span.end_s > span.start_s
        assert span.minute.epoch_s - 0.01 <= span.start.epoch_s < span.minute.epoch_s + 60.0
        assert span.end.epoch_s <= span.minute.epoch_s + 60.0 + 0.01


def test_a_clock_that_is_set_hours_after_the_start_cuts_the_minute_and_all_that_follow_are_true():
    street = Street(100, synced=False, guess_s=-8.3 * 365 * DAY_S - 17.25)
    grid, spans = MinuteGrid(street.clock), []
    for _ in range(int(3 * 3600 / BLOCK_S)):
        street.give_block()
        spans += grid.advance(street.stream_s)
    assert {span.start.synced for span in spans} == {False}
    street.synced, street.wall_error_s = True, 0.0
    for _ in range(int(600 / BLOCK_S)):
        street.give_block()
        spans += grid.advance(street.stream_s)
    spans += grid.finish()
    true = [span for span in spans if span.start.synced]
    assert sum(span.is_whole for span in true) >= 9
    assert not spans[len(spans) - len(true) - 1].is_whole or not true[0].is_whole
    for span in true:
        assert abs(street.true_of(span.start_s) - span.start.epoch_s) < 0.05
    _assert_no_moment_is_missing_or_told_twice(spans)


def test_a_border_that_many_minutes_later_is_looked_back_at_has_its_own_monotonic_time():
    street = Street(0, synced=False)
    grid = MinuteGrid(street.clock)
    street.give_block()
    grid.advance(street.stream_s)
    street.stream_s += 600.0  # lost, and counted
    street.true_s += 600.0
    street.give_block()
    spans = grid.advance(street.stream_s)
    assert len(spans) == 10
    for span in spans:  # by it the minute is dated again, once the clock is set
        assert span.end.monotonic_s - span.end.epoch_s == pytest.approx(1000.0 - START_S, abs=1e-3)
        assert span.end.epoch_s == span.minute.epoch_s + 60.0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**16),
    st.floats(-100, 100),
    st.lists(st.tuples(st.integers(1, 900), st.sampled_from([-7200.0, -61.0, -2.0, 0.7, 30.0, 18000.0])), max_size=4),
)
def test_whatever_the_wall_clock_does_no_moment_is_missing_or_told_twice(seed, drift_ppm, steps):
    street = Street(drift_ppm, seed)
    grid, spans = MinuteGrid(street.clock), []
    for blocks, step_s in steps + [(900, 0.0)]:
        for _ in range(blocks):
            street.give_block()
            spans += grid.advance(street.stream_s)
        street.wall_error_s += step_s
    spans += grid.finish()
    _assert_no_moment_is_missing_or_told_twice(spans)
    assert spans[0].start_s == BLOCK_S
    assert spans[-1].end_s == pytest.approx(street.stream_s)


def test_a_recording_has_minutes_of_its_own_time():
    grid = MinuteGrid(SourceClock(start_time_utc_s=START_S - 10.0))
    spans = (
        grid.advance(0.0) + [span for second in range(1, 131) for span in grid.advance(float(second))] + grid.finish()
    )
    assert [(span.start_s, span.end_s, span.is_whole) for span in spans] == [
        (0.0, 10.0, False),
        (10.0, 70.0, True),
        (70.0, 130.0, True),
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"])
def test_midnight_and_summer_time_of_the_place_are_no_matter(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock = SourceClock(start_time_utc_s=1792889990.0)  # 2026-10-25T00:59:50Z: Berlin's clocks go back at 01:00Z
        minutes = [minute_of(clock, second * RATE_HZ, RATE_HZ).epoch_s for second in range(7200)]
        assert minutes == [math.floor((1792889990.0 + second) / 60.0) * 60.0 for second in range(7200)]
    finally:
        monkeypatch.undo()
        time.tzset()
