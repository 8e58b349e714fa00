"""How loud an event was, and what was before it, from frames made up for the purpose."""

import math

import pytest

from edge.levels.event_levels import BACKGROUND_S, EventLevels
from edge.records import EventChange, LevelFrame

RATE_HZ = 8000
FRAME = RATE_HZ // 8


def frame(number, level_dbfs, heard=FRAME):
    """An eighth of a second of one level; None: sound that does not count."""
    if level_dbfs is None:
        return LevelFrame(number * FRAME, (number + 1) * FRAME, 0, 0, 0.0, 0.0, 0.0, None, None, None, None, None)
    energy = heard * 10.0 ** (level_dbfs / 10.0)
    levels = (level_dbfs, level_dbfs + 0.5, level_dbfs - 0.5, level_dbfs, level_dbfs + 10.0)
    return LevelFrame(number * FRAME, (number + 1) * FRAME, heard, 0, energy, energy, energy, *levels)


def levels_of(pattern, kept_s=100.0):
    """(seconds, level) after one another."""
    levels, number = EventLevels(RATE_HZ, kept_s), 0
    for seconds, level_dbfs in pattern:
        for _ in range(int(seconds * 8)):
            levels.push([frame(number, level_dbfs)])
            number += 1
    return levels


def change(phase, start_s, end_s, event_id="e-1"):
    return EventChange(event_id, phase, "siren", start_s, end_s, None, 0.9, 0.8, 0.1)


def test_an_event_is_as_loud_as_its_own_time_was():
    levels = levels_of([(30, -60.0), (2, -30.0), (2, -20.0), (10, -60.0)])
    found = levels.join(change("end", 30.0, 34.0))
    assert found.laeq_dbfs == pytest.approx(10.0 * math.log10((1e-3 + 1e-2) / 2.0))
    assert found.lafmax_dbfs == pytest.approx(-19.5)
    assert found.background_la90_dbfs == pytest.approx(-60.0)
    assert found._replace(laeq_dbfs=None, lafmax_dbfs=None, background_la90_dbfs=None) == change("end", 30.0, 34.0)


def test_start_update_and_end_have_the_levels_so_far_and_one_background():
    levels = levels_of([(30, -60.0), (2, -30.0), (8, -20.0)])
    start = levels.join(change("start", 30.0, 32.0))
    levels.push([frame(number, -40.0) for number in range(40 * 8, 50 * 8)])
    update, end = levels.join(change("update", 30.0, 40.0)), levels.join(change("end", 30.0, 50.0))
    assert start.laeq_dbfs == pytest.approx(-30.0) and start.lafmax_dbfs == pytest.approx(-29.5)
    assert update.lafmax_dbfs == pytest.approx(-19.5) and end.lafmax_dbfs == pytest.approx(-19.5)
    assert -30.0 < end.laeq_dbfs < update.laeq_dbfs
    assert {found.background_la90_dbfs for found in (start, update, end)} == {start.background_la90_dbfs}


@pytest.mark.parametrize("length_s", [150.0, 1000.0])
def test_an_event_that_is_longer_than_the_memory_keeps_its_beginning(length_s):
    levels = levels_of([(60, -60.0), (1, -10.0), (length_s - 1, -40.0)])
    without_start = levels.join(change("end", 60.0, 60.0 + length_s))  # told first when its start is forgotten
    assert without_start.lafmax_dbfs == pytest.approx(-39.5 if length_s > 200 else -9.5)
    levels = levels_of([(60, -60.0), (1, -10.0)])
    levels.join(change("start", 60.0, 61.0))
    for number in range(61 * 8, int((60 + length_s) * 8)):
        levels.push([frame(number, -40.0)])
    found = levels.join(change("end", 60.0, 60.0 + length_s))
    assert found.lafmax_dbfs == pytest.approx(-9.5)
    assert found.laeq_dbfs == pytest.approx(10.0 * math.log10((0.1 + (length_s - 1) * 1e-4) / length_s), abs=0.01)


def test_the_background_is_what_was_exceeded_nine_tenths_of_the_minute_before():
    levels = levels_of([(20, -90.0), (7, -70.0), (53, -50.0), (10, -20.0)])
    assert levels.join(change("start", 80.0, 82.0)).background_la90_dbfs == pytest.approx(-70.0, abs=1.0)
    levels = levels_of([(20, -90.0), (5, -70.0), (55, -50.0), (10, -20.0)])
    assert levels.join(change("start", 80.0, 82.0)).background_la90_dbfs == pytest.approx(-50.0, abs=1.0)


def test_other_events_are_no_background_whether_they_have_ended_or_last():
    pattern = [(30, -60.0), (30, -30.0), (15, -60.0), (15, -40.0)]
    levels = levels_of(pattern)
    levels.join(change("start", 30.0, 32.0, "loud"))
    levels.join(change("end", 30.0, 60.0, "loud"))
    found = levels.join(change("start", 75.0, 77.0))
    assert found.background_la90_dbfs == pytest.approx(-60.0)
    assert levels.join(change("start", 80.0, 82.0, "another")).background_la90_dbfs == pytest.approx(-60.0)
    levels = levels_of([(70, -60.0), (20, -30.0)])
    levels.join(change("start", 5.0, 70.0, "lasting"))
    assert levels.join(change("start", 75.0, 77.0)).background_la90_dbfs is None  # nothing of the minute is left


def test_without_ten_valid_seconds_before_there_is_no_background():
    assert levels_of([(9, -60.0), (5, -20.0)]).join(change("start", 9.0, 11.0)).background_la90_dbfs is None
    found = levels_of([(10, -60.0), (5, -20.0)]).join(change("start", 10.0, 12.0))
    assert found.background_la90_dbfs == pytest.approx(-60.0)
    assert levels_of([(60, None), (5, -20.0)]).join(change("start", 60.0, 62.0)).background_la90_dbfs is None


def test_what_does_not_count_is_left_out_and_silence_has_no_level():
    levels = levels_of([(20, -60.0), (1, None), (1, -30.0)])
    assert levels.join(change("end", 20.0, 22.0)).laeq_dbfs == pytest.approx(-30.0)
    found = levels_of([(30, None)]).join(change("end", 20.0, 22.0))
    assert (found.laeq_dbfs, found.lafmax_dbfs, found.background_la90_dbfs) == (None, None, None)


def test_a_frame_that_is_not_over_by_the_events_end_is_not_in_it():
    levels = levels_of([(20, -60.0), (0.125, -10.0)])
    assert levels.join(change("update", 15.0, 20.1)).lafmax_dbfs == pytest.approx(-59.5)
    assert levels.join(change("end", 15.0, 20.125)).lafmax_dbfs == pytest.approx(-9.5)


def test_the_memory_has_a_bound():
    levels = levels_of([(2000, -60.0)], kept_s=50.0)
    for number in range(200):
        levels.join(change("end", number * 5.0, number * 5.0 + 1.0, "e-%d" % number))
    levels.push([frame(20000 * 8, -60.0)])
    assert len(levels._moments) == 1 and not levels._events
    levels = levels_of([(2000, -60.0)], kept_s=50.0)
    assert len(levels._moments) <= (50.0 + BACKGROUND_S) * 8 + 1


def test_the_highest_level_between_two_times():
    levels = levels_of([(5, -60.0), (1, -20.0), (5, -50.0)])
    assert levels.highest(0.0, 5.0) == pytest.approx(-59.5)
    assert levels.highest(4.0, 7.0) == pytest.approx(-19.5)
    assert levels.highest(11.0, 12.0) is None


def test_what_filters_still_remember_of_sound_is_no_level():
    levels = EventLevels(RATE_HZ, 10.0)
    levels.push(frame(number, -50.0)._replace(energy_a=1e-110, lafmax_dbfs=None) for number in range(16))
    assert levels.join(change("end", 0.0, 2.0)).laeq_dbfs is None
