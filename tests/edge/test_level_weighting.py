"""A, C and Z against the table of the standard, at every rate that a sound card has."""

import math

import numpy as np
import pytest

from edge.levels.filtering import SectionFilter
from edge.levels.weighting import (
    bandwidth_of_rate,
    magnitude_of_sections,
    magnitude_of_weighting,
    weighting_sections,
)

FULL_RATES_HZ = (44100, 48000, 88200, 96000, 192000)
NARROW_RATES_HZ = (8000, 11025, 16000, 22050, 32000)

# IEC 61672-1:2013, table 3: nominal frequency, A, C (Z is 0 dB), and the acceptance limits of class 1.
NONE = -math.inf
TABLE_3 = (
    (10, -70.4, -14.3, 3.0, NONE),
    (12.5, -63.4, -11.2, 2.5, NONE),
    (16, -56.7, -8.5, 2.0, -4.0),
    (20, -50.5, -6.2, 2.0, -2.0),
    (25, -44.7, -4.4, 2.0, -1.5),
    (31.5, -39.4, -3.0, 1.5, -1.5),
    (40, -34.6, -2.0, 1.0, -1.0),
    (50, -30.2, -1.3, 1.0, -1.0),
    (63, -26.2, -0.8, 1.0, -1.0),
    (80, -22.5, -0.5, 1.0, -1.0),
    (100, -19.1, -0.3, 1.0, -1.0),
    (125, -16.1, -0.2, 1.0, -1.0),
    (160, -13.4, -0.1, 1.0, -1.0),
    (200, -10.9, 0.0, 1.0, -1.0),
    (250, -8.6, 0.0, 1.0, -1.0),
    (315, -6.6, 0.0, 1.0, -1.0),
    (400, -4.8, 0.0, 1.0, -1.0),
    (500, -3.2, 0.0, 1.0, -1.0),
    (630, -1.9, 0.0, 1.0, -1.0),
    (800, -0.8, 0.0, 1.0, -1.0),
    (1000, 0.0, 0.0, 0.7, -0.7),
    (1250, 0.6, 0.0, 1.0, -1.0),
    (1600, 1.0, -0.1, 1.0, -1.0),
    (2000, 1.2, -0.2, 1.0, -1.0),
    (2500, 1.3, -0.3, 1.0, -1.0),
    (3150, 1.2, -0.5, 1.0, -1.0),
    (4000, 1.0, -0.8, 1.0, -1.0),
    (5000, 0.5, -1.3, 1.5, -1.5),
    (6300, -0.1, -2.0, 1.5, -2.0),
    (8000, -1.1, -3.0, 1.5, -2.5),
    (10000, -2.5, -4.4, 2.0, -3.0),
    (12500, -4.3, -6.2, 2.0, -5.0),
    (16000, -6.6, -8.5, 2.5, -16.0),
    (20000, -9.3, -11.2, 3.0, NONE),
)
# The exact frequencies that the nominal ones stand for: 1 kHz times 10^(n/10), n from -20.
EXACT_HZ = np.array([1000.0 * 10.0 ** (n / 10.0) for n in range(-20, 14)])


def goals(weighting):
    return np.array([{"A": row[1], "C": row[2], "Z": 0.0}[weighting] for row in TABLE_3])


def decibels(magnitudes):
    return 20.0 * np.log10(magnitudes)


@pytest.mark.parametrize("weighting", ["A", "C"])
def test_the_curves_are_those_of_the_table(weighting):
    assert np.abs(decibels(magnitude_of_weighting(weighting, EXACT_HZ)) - goals(weighting)).max() <= 0.0501


@pytest.mark.parametrize("rate_hz", FULL_RATES_HZ)
@pytest.mark.parametrize("weighting", ["A", "C", "Z"])
def test_filters_meet_class_1_at_all_nominal_frequencies(weighting, rate_hz):
    responses = decibels(magnitude_of_sections(weighting_sections(weighting, rate_hz), EXACT_HZ, rate_hz))
    for (nominal_hz, _, _, upper_db, lower_db), error_db in zip(TABLE_3, responses - goals(weighting)):
        assert lower_db <= error_db <= upper_db, "%s at %g Hz: %.2f dB" % (weighting, nominal_hz, error_db)


@pytest.mark.parametrize("rate_hz", FULL_RATES_HZ)
@pytest.mark.parametrize("weighting", ["A", "C"])
def test_up_to_16_khz_they_are_within_an_eighth_of_a_decibel(weighting, rate_hz):
    frequencies_hz = np.geomspace(10.0, 16000.0, 500)
    response = magnitude_of_sections(weighting_sections(weighting, rate_hz), frequencies_hz, rate_hz)
    assert np.abs(decibels(response / magnitude_of_weighting(weighting, frequencies_hz))).max() < 0.125


@pytest.mark.parametrize("rate_hz", NARROW_RATES_HZ)
@pytest.mark.parametrize("weighting", ["A", "C"])
def test_lower_rates_have_the_same_weighting_as_far_as_they_reach(weighting, rate_hz):
    frequencies_hz = np.geomspace(10.0, 0.45 * rate_hz, 500)
    response = magnitude_of_sections(weighting_sections(weighting, rate_hz), frequencies_hz, rate_hz)
    assert np.abs(decibels(response / magnitude_of_weighting(weighting, frequencies_hz))).max() < 0.35
    assert bandwidth_of_rate(rate_hz) == rate_hz / 2.0


def test_the_bandwidth_is_told_below_44100_hz_alone():
    assert [bandwidth_of_rate(rate_hz) for rate_hz in FULL_RATES_HZ] == [None] * 5
    assert bandwidth_of_rate(44099) is not None


@pytest.mark.parametrize("rate_hz", FULL_RATES_HZ)
def test_z_is_flat_from_10_hz_to_20_khz_and_nothing_beyond(rate_hz):
    sections = weighting_sections("Z", rate_hz)
    inside = decibels(magnitude_of_sections(sections, np.geomspace(31.5, 16000.0, 100), rate_hz))
    assert np.abs(inside).max() < 0.5
    assert decibels(magnitude_of_sections(sections, np.array([10.0]), rate_hz))[0] == pytest.approx(-3.0, abs=0.1)
    if rate_hz > 60000:
        assert decibels(magnitude_of_sections(sections, np.array([40000.0]), rate_hz))[0] < -19.0


@pytest.mark.parametrize("rate_hz", FULL_RATES_HZ + NARROW_RATES_HZ)
@pytest.mark.parametrize("weighting", ["A", "C", "Z"])
def test_filters_are_stable_and_let_no_offset_through(weighting, rate_hz):
    sections = weighting_sections(weighting, rate_hz)
    assert max(np.abs(np.roots(section[3:])).max() for section in sections) < 1.0
    assert np.abs(magnitude_of_sections(sections, np.array([1e-3]), rate_hz)).max() < 1e-7
    settled = SectionFilter(sections).filter(np.full(rate_hz, 0.5))[-rate_hz // 10 :]
    assert np.abs(settled).max() < 1e-9


def test_an_unknown_weighting_is_the_callers_mistake():
    with pytest.raises(ValueError, match="expected A, C or Z"):
        weighting_sections("B", 48000)
