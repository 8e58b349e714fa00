"""Percentiles of joined histograms are those of the levels themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.levels.histogram import LevelHistogram

LEVELS = st.lists(st.floats(-120.0, 20.0), min_size=1, max_size=300)


def histogram_of(levels):
    histogram = LevelHistogram()
    for level in levels:
        histogram.add(level)
    return histogram


@given(LEVELS, st.sampled_from([1, 10, 50, 90, 99]))
def test_an_exceedance_level_is_within_a_tenth_of_a_decibel_of_numpys(levels, percent):
    exact = np.percentile(levels, 100 - percent)
    assert histogram_of(levels).exceeded(percent) == pytest.approx(exact, abs=0.0501)


@given(LEVELS, st.lists(st.integers(0, 300), max_size=5))
def test_however_levels_are_parted_the_parts_come_to_the_whole(levels, cuts):
    edges = [0] + sorted(min(cut, len(levels)) for cut in cuts) + [len(levels)]
    joined = LevelHistogram()
    for begin, end in zip(edges, edges[1:]):
        joined.merge(histogram_of(levels[begin:end]))
    assert joined == histogram_of(levels) and joined.count == len(levels)


@given(st.lists(st.floats(-120.0, 10.0), min_size=1, max_size=300), st.integers(-290, 290))
def test_a_shift_of_whole_steps_shifts_the_percentiles(levels, tenths):
    shifted = LevelHistogram()
    shifted.merge(histogram_of(levels), tenths / 10.0)
    assert shifted.exceeded(50) == pytest.approx(histogram_of(levels).exceeded(50) + tenths / 10.0)


def test_percentiles_of_parts_are_not_averaged():
    quiet, loud, joined = histogram_of([-60.0] * 90), histogram_of([-20.0] * 10), LevelHistogram()
    joined.merge(quiet)
    joined.merge(loud)
    assert joined.exceeded(50) == -60.0 != 0.5 * (quiet.exceeded(50) + loud.exceeded(50))
    assert joined.exceeded(5) == -20.0


def test_what_no_bin_is_made_for_counts_at_the_end():
    histogram = histogram_of([-500.0, -500.0, 300.0])
    assert histogram.exceeded(50) == -200.0 and histogram.exceeded(1e-6) > 38.0 and histogram.count == 3


def test_without_levels_there_is_no_percentile():
    assert LevelHistogram().exceeded(50) is None


@given(st.lists(st.floats(-250.0, 60.0), max_size=50))
def test_what_is_kept_of_a_histogram_gives_it_back(levels):
    histogram = histogram_of(levels)
    lowest, counts = histogram.occupied
    assert LevelHistogram.from_occupied(lowest, counts) == histogram


@pytest.mark.parametrize("lowest, counts", [(-2001, (1,)), (399, (1, 1)), (0, (-1,)), (10**9, ())])
def test_no_histogram_is_made_of_what_is_none(lowest, counts):
    with pytest.raises(ValueError):
        LevelHistogram.from_occupied(lowest, counts)
