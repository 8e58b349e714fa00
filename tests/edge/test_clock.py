import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SourceClock, SystemClock, UtcTime, is_system_clock_synchronised, new_boot_id

RATE_HZ = 48000
BLOCK = 4800


class SystemClocks:
    """Clocks of the system, set by hand."""

    def __init__(self, monotonic_s=100.0, wall_s=1790000000.0):
        self.now_s, self.offset_s = monotonic_s, wall_s - monotonic_s

    def monotonic_s(self):
        return self.now_s

    def wall_s(self):
        return self.now_s + self.offset_s


def make_clock(system=None, synced=True, **options):
    system = system or SystemClocks()
    return SourceClock(system=SystemClock(lambda: synced, system.monotonic_s, system.wall_s), **options)


def test_first_block_anchors_the_stream():
    clock = make_clock()
    clock.observe(0, RATE_HZ, 500.0)
    assert clock.monotonic_of(0.0) == 500.0
    assert clock.monotonic_of(2.5) == pytest.approx(502.5)


def test_utc_follows_the_wall_clock_and_its_own_word_on_synchronisation():
    system = SystemClocks(monotonic_s=500.0, wall_s=1790000000.0)
    clock = make_clock(system, synced=False)
    clock.observe(0, RATE_HZ, 500.0)
    assert clock.utc_of(1.0).epoch_s == pytest.approx(1790000001.0, abs=1e-4)
    assert clock.utc_of(1.0).synced is False
    system.offset_s += 3600.0  # the time server has been reached
    assert clock.utc_of(1.0).epoch_s == pytest.approx(1790003601.0, abs=1e-4)


def test_recording_with_a_start_replays_to_the_millisecond_whatever_the_system_says():
    clock = make_clock(synced=False, start_time_utc_s=1500000000.25)
    clock.observe(0, RATE_HZ, 3.0)
    clock.observe(RATE_HZ, RATE_HZ, 9.0)
    assert clock.utc_of(10.5) == UtcTime(1500000010.75, True)


@pytest.mark.parametrize("drift_ppm", [-100, -20, 20, 100])
def test_drift_of_a_usb_clock_is_followed(drift_ppm):
    clock, noise = make_clock(), random.Random(3)
    true_s = 0.0
    for block in range(36000):  # an hour
        stream_s = block * BLOCK / RATE_HZ
        true_s = 1000.0 + stream_s * (1.0 + drift_ppm * 1e-6)
        clock.observe(block * BLOCK, RATE_HZ, true_s + noise.expovariate(1 / 0.002))
    assert clock.monotonic_of(stream_s) == pytest.approx(true_s, abs=0.015)


def test_sound_lost_uncounted_moves_what_follows_and_not_what_was():
    clock = make_clock()
    for block in range(100):
        clock.observe(block * BLOCK, RATE_HZ, 50.0 + block * 0.1)
    before = [clock.monotonic_of(moment) for moment in (3.05, 7.77, 9.6)]
    for block in range(100, 200):
        clock.observe(block * BLOCK, RATE_HZ, 62.0 + block * 0.1)
    assert [clock.monotonic_of(moment) for moment in (3.05, 7.77, 9.6)] == pytest.approx(before, abs=1e-9)
    assert clock.monotonic_of(15.0) == pytest.approx(77.0, abs=0.001)


def test_a_block_delivered_late_at_the_start_is_caught_up_with():
    clock = make_clock()
    clock.observe(0, RATE_HZ, 53.0)  # 3 s late
    for block in range(1, 200):
        clock.observe(block * BLOCK, RATE_HZ, 50.0 + block * 0.1)
    assert clock.monotonic_of(19.9) == pytest.approx(69.9, abs=0.6)


@given(
    st.lists(st.tuples(st.integers(1, 5 * RATE_HZ), st.floats(-20.0, 20.0)), min_size=2, max_size=80),
    st.integers(0, 10**6),
)
@settings(max_examples=200, deadline=None)
def test_mapping_rises_always_and_the_past_keeps_its_answers(steps, first_sample):
    clock = make_clock()
    sample, asked = first_sample, {}
    clock.observe(sample, RATE_HZ, 1000.0)
    for length, error_s in steps:
        sample += length
        clock.observe(sample, RATE_HZ, 1000.0 + (sample - first_sample) / RATE_HZ + error_s)
        for moment, answer in asked.items():
            assert clock.monotonic_of(moment) == pytest.approx(answer, abs=0.01)
        moments = [sample / RATE_HZ - back for back in (0.0, 0.1, 0.7)]
        asked.update((moment, clock.monotonic_of(moment)) for moment in moments if moment >= first_sample / RATE_HZ)
    ladder = [first_sample / RATE_HZ + step * (sample - first_sample) / RATE_HZ / 200 for step in range(210)]
    answers = [clock.monotonic_of(moment) for moment in ladder]
    assert all(later > earlier for earlier, later in zip(answers, answers[1:]))


def test_without_arguments_it_dates_by_this_machine():
    clock = SourceClock()
    clock.observe(0, RATE_HZ, time.monotonic())
    assert clock.utc_of(0.0).epoch_s == pytest.approx(time.time(), abs=5.0)
    assert isinstance(is_system_clock_synchronised(), bool)


def test_each_start_has_its_own_id():
    assert len({new_boot_id() for _ in range(20)}) == 20


@pytest.mark.parametrize("step_s", [-7200.0, -3.0, 3.0, 18000.0])
def test_a_step_of_the_wall_clock_moves_what_is_dated_afterwards_and_no_duration(step_s):
    system = SystemClocks(monotonic_s=500.0, wall_s=1790000000.0)
    clock = make_clock(system)
    clock.observe(0, RATE_HZ, 500.0)
    before = clock.utc_of_all(1.0, 3.5)
    system.offset_s += step_s
    after = clock.utc_of_all(1.0, 3.5)
    assert after[0].epoch_s - before[0].epoch_s == pytest.approx(step_s, abs=0.006)
    assert after[1].epoch_s - after[0].epoch_s == pytest.approx(2.5, abs=1e-6)
    assert [time_of.monotonic_s for time_of in after] == [time_of.monotonic_s for time_of in before]


def test_once_set_the_clock_counts_as_set_whatever_becomes_of_the_time_server():
    system, answers = SystemClocks(), [False, True, False]
    clock = SystemClock(lambda: answers.pop(0), system.monotonic_s, system.wall_s)
    assert clock.read().synced is False
    assert clock.read().synced is False  # asked once a second, and not at each message
    system.now_s += 1.0
    assert clock.read().synced is True
    system.now_s += 3600.0
    assert clock.read().synced is True
    assert answers == [False]


def test_a_machine_that_comes_between_two_looks_at_the_clocks_moves_no_time():
    """Of several pairs of looks the quickest counts."""
    system, delays_s = SystemClocks(), [0.2, 0.05, 0.0001, 0.3, 0.3, 0.0]

    def wall_s():
        system.now_s += delays_s.pop(0) if delays_s else 0.0
        return system.wall_s()

    truth_s = system.offset_s
    assert SystemClock(lambda: True, system.monotonic_s, wall_s).read().offset_s == pytest.approx(truth_s, abs=0.001)
