"""Totals of level frames: parts come to the whole, under one calibration and under several."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.levels.period import Period
from edge.levels.totals import Condition, LevelTotals, split_frame
from edge.message_types import MESSAGE_TYPES
from edge.records import Calibration
from tests.edge.level_frames import RATE_HZ, frame_at, mean_level_of, street_of

CALIBRATED = Condition(Calibration(118.37, "2026-10-01", "calibrator"))


def period_of(frames, condition=Condition(), length_s=None, rate_hz=RATE_HZ):
    period = Period(0.0, len(frames) / 8.0 if length_s is None else length_s)
    for frame in frames:
        period.totals_under(condition).add(frame, rate_hz, condition.noise_floor_dbfs)
    return period


def assert_same(one, other):
    assert set(one) == set(other)
    for name in one:
        assert one[name] == (pytest.approx(other[name], abs=1e-9) if isinstance(other[name], float) else other[name])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 99), st.lists(st.integers(0, 320), max_size=6))
def test_however_frames_are_parted_the_parts_come_to_the_whole(seconds, seed, cuts):
    frames = street_of(seconds, seed)
    edges = [0] + sorted(min(cut, len(frames)) for cut in cuts) + [len(frames)]
    joined = Period(0.0, float(seconds))
    for begin, end in zip(edges, edges[1:]):
        joined.merge(period_of(frames[begin:end]))
    assert_same(joined.values(()), period_of(frames, length_s=float(seconds)).values(()))


def test_levels_are_those_of_the_frames_looked_at_at_once():
    frames = street_of(60.0)
    values, laf = period_of(frames, CALIBRATED).values(()), [frame.laf_dbfs for frame in frames]
    assert values["laeq_dbfs"] == pytest.approx(mean_level_of(frames), abs=1e-9)
    assert values["lceq_dbfs"] == pytest.approx(values["laeq_dbfs"] + 1.0, abs=1e-9)
    assert values["lafmax_dbfs"] == max(laf) + 0.5 and values["lafmin_dbfs"] == min(laf) - 0.5
    assert values["lasmax_dbfs"] == max(laf) + 0.25 and values["lcpeak_dbfs"] == max(laf) + 9.0
    for percent in (10, 50, 90):
        assert values["la%d_dbfs" % percent] == pytest.approx(np.percentile(laf, 100 - percent), abs=0.1)
    for name in ("laeq", "lafmax", "la90", "lcpeak"):
        assert values[name + "_db"] == pytest.approx(values[name + "_dbfs"] + 118.37)
    assert (values["calibrated"], values["calibrated_on"]) == (True, "2026-10-01")
    assert values["valid_percent"] == 100.0


def test_every_value_is_a_field_of_its_message_and_the_other_way_round():
    names = {field.name for field in MESSAGE_TYPES["summary"].fields} - {"seconds_<label>", "events_<label>"}
    assert set(period_of(street_of(2.0), CALIBRATED).values(())) == names


def test_without_calibration_there_is_no_level_re_20_upa():
    values = period_of(street_of(10.0)).values(())
    assert values["calibrated"] is False and values["calibrated_on"] is None
    assert values["laeq_dbfs"] is not None and not any(name.endswith("_db") for name in values if values[name])


def test_a_period_calibrated_in_part_has_no_level_re_20_upa():
    period = period_of(street_of(10.0), CALIBRATED)
    period.merge(period_of([frame_at(0, -50.0)]))
    values = period.values(())
    assert values["calibrated"] is False and values.get("laeq_db") is None and values["laeq_dbfs"] is not None


def test_an_uncalibrated_stretch_without_valid_sound_voids_nothing():
    period = period_of(street_of(10.0), CALIBRATED)
    period.merge(period_of([frame_at(0, -50.0, heard=0.0)]))
    assert period.values(())["calibrated"] is True


def test_two_calibrations_in_a_period_are_each_applied_to_their_own_sound():
    quiet, loud = [frame_at(n, -60.0) for n in range(80)], [frame_at(n, -70.0) for n in range(80)]
    period = period_of(quiet, Condition(Calibration(110.0, "2026-10-01", "calibrator")))
    period.merge(period_of(loud, Condition(Calibration(130.04, "2026-11-01", "calibrator"))))
    values = period.values(())
    expected = 10.0 * math.log10(0.5 * (10.0**5.0 + 10.0**6.004))
    assert values["laeq_db"] == pytest.approx(expected, abs=1e-9)
    assert values["lafmax_db"] == pytest.approx(60.54) and values["lafmin_db"] == pytest.approx(49.5)
    assert values["la10_db"] == pytest.approx(60.04, abs=0.1) and values["la90_db"] == pytest.approx(50.0, abs=0.1)
    assert values["calibrated"] is True and values["calibrated_on"] is None
    assert values["la10_dbfs"] == pytest.approx(-60.0)


def test_what_was_not_heard_is_in_no_level_and_lowers_the_valid_share():
    frames = [frame_at(n, -50.0) for n in range(240)] + [frame_at(n, -20.0, heard=0.0) for n in range(240, 480)]
    values = period_of(frames, length_s=60.0).values(())
    assert values["valid_percent"] == pytest.approx(50.0) and values["laeq_dbfs"] == pytest.approx(-50.0)


def test_without_valid_sound_everything_is_null():
    values = period_of([], length_s=60.0).values(("siren",))
    assert values.pop("valid_percent") == values.pop("overload_percent") == 0.0
    assert values.pop("start") == 0.0 and values.pop("end") == 60.0 and values.pop("replayed") is False
    assert values.pop("seconds_siren") == 0.0 and values.pop("events_siren") == 0
    assert set(values.values()) == {None}


def test_digital_silence_is_valid_and_has_no_level():
    frame = frame_at(0, -50.0)._replace(
        energy_a=0.0,
        energy_c=0.0,
        energy_z=0.0,
        laf_dbfs=None,
        lafmax_dbfs=None,
        lafmin_dbfs=None,
        lasmax_dbfs=None,
        lcpeak_dbfs=None,
    )
    values = period_of([frame]).values(())
    assert values["valid_percent"] == 100.0 and values["laeq_dbfs"] is None and values["la50_dbfs"] is None


def test_overload_and_under_range_are_shares_of_the_valid_time():
    frames = [frame_at(n, -3.0, overload=n < 20) for n in range(40)] + [frame_at(n, -95.0) for n in range(40, 80)]
    frames += [frame_at(n, 0.0, heard=0.0) for n in range(80, 160)]
    values = period_of(frames, Condition(noise_floor_dbfs=-90.0)).values(())
    assert (values["valid_percent"], values["overload_percent"], values["under_range_percent"]) == (50.0, 25.0, 50.0)
    assert period_of(frames).values(())["under_range_percent"] is None


@given(st.integers(1, 999), st.floats(0.0, 1.0), st.integers(0, 3))
def test_a_frame_that_straddles_a_border_loses_nothing(at, heard, overload):
    frame = frame_at(3, -40.0, heard=heard, overload=overload)._replace(band_energies=(1.0, 2.0))
    left, right = split_frame(frame, frame.first_sample + at)
    assert (left.first_sample, left.end_sample, right.end_sample) == (3000, 3000 + at, 4000)
    assert left.heard_samples + right.heard_samples == frame.heard_samples
    for name in ("energy_a", "energy_c", "energy_z"):
        assert getattr(left, name) + getattr(right, name) == pytest.approx(getattr(frame, name))
    assert left.laf_dbfs is None and right.laf_dbfs == frame.laf_dbfs and right.lafmax_dbfs == frame.lafmax_dbfs
    assert left.band_energies is None and right.band_energies == (1.0, 2.0)


def test_rates_may_change_within_a_period():
    totals = LevelTotals()
    totals.add(frame_at(0, -30.0), RATE_HZ)
    totals.add(frame_at(0, -30.0, rate_hz=48000), 48000)
    assert totals.heard_s == 0.25 and totals.mean_level(totals.energy_a) == pytest.approx(-30.0)
