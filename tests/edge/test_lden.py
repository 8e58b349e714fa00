"""Lden, Lday, Levening and Lnight of local days, on days when clocks are set too."""

import calendar
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import main
from edge.config import SummaryConfig, calendar_of
from edge.errors import ConfigError
from edge.levels.lden import NoiseDays
from edge.levels.local_day import PARTS, LocalCalendar
from edge.levels.period import Period
from edge.levels.totals import Condition
from edge.records import Calibration
from tests.edge.level_frames import RATE_HZ, frame_at

BERLIN = ("Europe/Berlin", "07:00", "19:00", "23:00")
LEVELS = {"day": -40.0, "evening": -44.0, "night": -50.0}


def utc(*date):
    return float(calendar.timegm(date + (0,) * (6 - len(date))))


def minute_at(start_s, laf_dbfs, condition=Condition(), heard=1.0):
    minute = Period(start_s, start_s + 60.0)
    frame = frame_at(0, laf_dbfs, heard=heard)
    totals = minute.totals_under(condition)
    totals.add(frame, RATE_HZ / 480.0)  # as long as a minute
    return minute


def hear(days, place, start_s, end_s, condition=Condition(), heard=1.0):
    for number in range(int((end_s - start_s) / 60)):
        at_s = start_s + 60.0 * number
        part = place.day_at(at_s).part_at(at_s)
        days.add(minute_at(at_s, LEVELS[part], condition, heard))


@pytest.mark.parametrize("starts", [BERLIN[1:], ("00:00", "12:00", "23:00")])
@pytest.mark.parametrize("zone, date", [("Pacific/Apia", (2011, 12, 27)), ("Pacific/Kwajalein", (1993, 8, 18))])
def test_every_moment_has_its_day_where_a_date_was_left_out(zone, date, starts):
    place = LocalCalendar(zone, *starts)
    for hour in range(6 * 24):
        at_s = utc(*date) + 3600.0 * hour
        day = place.day_at(at_s)
        assert day.day_s <= at_s < day.end_s and place.last_ended(at_s).end_s <= day.day_s


@pytest.mark.parametrize(
    "date, hours",
    [
        ((2026, 6, 15), (12, 4, 8)),
        ((2026, 3, 28), (12, 4, 7)),
        ((2026, 3, 29), (12, 4, 8)),
        ((2026, 10, 24), (12, 4, 9)),
    ],
)
def test_lden_weighs_the_hours_that_there_really_were(date, hours):
    place = LocalCalendar(*BERLIN)
    day = place.day_at(utc(*date + (12,)))
    assert tuple(day.length_s(part) / 3600.0 for part in PARTS) == hours
    days = NoiseDays(place)
    hear(days, place, day.day_s - 7200.0, day.end_s + 7200.0)
    values = days.values_at(day.end_s + 3600.0)
    weighted = hours[0] * 1e-4 + hours[1] * 10.0 ** (-4.4 + 0.5) + hours[2] * 10.0 ** (-5.0 + 1.0)
    assert values["lden_dbfs"] == pytest.approx(10.0 * math.log10(weighted / sum(hours)), abs=1e-9)
    assert [values["l%s_dbfs" % part] for part in PARTS] == pytest.approx([-40.0, -44.0, -50.0])
    assert values["local_date"] == "%04d-%02d-%02d" % date and values["time_zone"] == "Europe/Berlin"
    assert values["lden_valid_percent"] == pytest.approx(100.0) and values["lden_db"] is None


def test_the_night_belongs_to_the_day_on_which_it_begins():
    place = LocalCalendar(*BERLIN)
    for moment, date, part in (
        (utc(2026, 6, 15, 4, 59), "2026-06-14", "night"),  # 06:59 in Berlin
        (utc(2026, 6, 15, 5, 0), "2026-06-15", "day"),
        (utc(2026, 6, 15, 17, 0), "2026-06-15", "evening"),
        (utc(2026, 6, 15, 21, 0), "2026-06-15", "night"),
        (utc(2026, 6, 15, 22, 30), "2026-06-15", "night"),  # after midnight there
    ):
        day = place.day_at(moment)
        assert (day.date, day.part_at(moment)) == (date, part)


@pytest.mark.parametrize(
    "zone, date",
    [
        ("Europe/Berlin", "2026-06-14"),
        ("America/New_York", "2026-06-14"),
        ("Pacific/Auckland", "2026-06-15"),
        ("UTC", "2026-06-14"),
    ],
)
def test_at_the_end_of_a_utc_day_the_last_local_day_whose_night_is_over_is_told(zone, date):
    place = LocalCalendar(zone, "07:00", "19:00", "23:00")
    assert place.last_ended(utc(2026, 6, 16)).date == date


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
    ),
    st.integers(int(utc(2011, 1, 1)), int(utc(2030, 1, 1))),
)
def test_every_moment_lies_in_one_part_of_one_local_day(zone, moment):
    place = LocalCalendar(zone, "07:00", "19:00", "23:00")
    day = place.day_at(float(moment))
    assert day.day_s <= moment < day.end_s and day.day_s < day.evening_s < day.night_s < day.end_s
    assert place.day_at(day.end_s).day_s == day.end_s  # the next begins there
    assert place.day_at(day.day_s - 1.0).end_s == day.day_s


@pytest.mark.parametrize("year", [2026, 2040, 2100])
def test_a_summer_s_day_begins_by_summer_time_in_every_year(year):
    """Rules beyond 2037, and of small files all rules, stand where readers of the first format do not look."""
    day = LocalCalendar(*BERLIN).day_at(utc(year, 7, 1, 12))
    assert (day.date, day.day_s) == ("%d-07-01" % year, utc(year, 7, 1, 5))
    day = LocalCalendar(*BERLIN).day_at(utc(year, 12, 1, 12))
    assert (day.date, day.day_s) == ("%d-12-01" % year, utc(year, 12, 1, 6))


def test_below_three_quarters_of_valid_sound_there_is_no_level():
    place, days = LocalCalendar(*BERLIN), NoiseDays(LocalCalendar(*BERLIN))
    day = place.day_at(utc(2026, 6, 15, 12))
    hear(days, place, day.day_s, day.evening_s)
    hear(days, place, day.evening_s, day.night_s, heard=0.74)
    hear(days, place, day.night_s, day.end_s, heard=0.76)
    values = days.values_at(day.end_s)
    assert values["lday_dbfs"] is not None and values["lnight_dbfs"] is not None
    assert values["levening_dbfs"] is None and values["lden_dbfs"] is None
    assert values["lden_valid_percent"] == pytest.approx(100.0 * (12 + 4 * 0.74 + 8 * 0.76) / 24.0)


def test_a_calibrated_day_has_lden_re_20_upa_and_one_calibrated_in_part_has_not():
    condition = Condition(Calibration(118.0, "2026-10-01", "calibrator"))
    place = LocalCalendar(*BERLIN)
    day = place.day_at(utc(2026, 6, 15, 12))
    for night in (condition, Condition()):
        days = NoiseDays(place)
        hear(days, place, day.day_s, day.night_s, condition)
        hear(days, place, day.night_s, day.end_s, night)
        values = days.values_at(day.end_s)
        assert values["lday_db"] == pytest.approx(78.0) and values["lden_dbfs"] is not None
        assert (values["lden_db"] is None) == (night is not condition) == (values["lnight_db"] is None)
    assert values["lden_dbfs"] is not None


def test_without_a_time_zone_nothing_is_told_and_nothing_kept():
    days = NoiseDays(None)
    days.add(minute_at(utc(2026, 6, 15), -40.0))
    assert days.values_at(utc(2026, 6, 16)) == {} and calendar_of(SummaryConfig()) is None


@pytest.mark.parametrize(
    "given_name, near",
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("Amerika/New_York", "America/New_York"),
        ("New York", "America/New_York"),
    ],
)
def test_a_time_zone_that_does_not_exist_is_refused_with_names_near_it(given_name, near):
    with pytest.raises(ConfigError) as refused:
        calendar_of(SummaryConfig(time_zone=given_name))
    assert given_name in str(refused.value) and near in str(refused.value) and "[summary]" in str(refused.value)


@pytest.mark.parametrize(
    "name", ["UTC+3", "EST5EDT4", "../../etc/passwd", "/etc/localtime", "localtime", "right/UTC", "x" * 900, "Europe"]
)
def test_what_is_no_name_of_the_list_is_no_time_zone(name):
    with pytest.raises(ConfigError, match="time_zone"):
        calendar_of(SummaryConfig(time_zone=name))


@pytest.mark.parametrize(
    "starts",
    [("7", "19:00", "23:00"), ("07:00", "24:00", "23:00"), ("07:00", "23:00", "19:00"), ("07:00", "19:00", "")],
)
@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
def test_parts_of_the_day_that_are_none_are_refused(zone, starts):
    with pytest.raises(ConfigError, match="_starts"):
        calendar_of(SummaryConfig(zone, *starts))


def test_a_wrong_time_zone_is_one_line_and_status_2(tmp_path, capsys):
    path = tmp_path / "node.toml"
    path.write_text(
        '[node]\nname = "corner"\n[[source]]\nname = "mic"\ntype = "microphone"\n'
        '[summary]\ntime_zone = "Europe/Berln"\n',
        encoding="utf-8",
    )
    assert main(["run", "--config", str(path), "--state-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "[summary]: time_zone is 'Europe/Berln'" in line and "did you mean Europe/Berlin" in line


def test_without_dateutil_only_who_names_a_time_zone_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "dateutil", None)
    assert calendar_of(SummaryConfig()) is None
    with pytest.raises(ConfigError, match="python-dateutil"):
        calendar_of(SummaryConfig("Europe/Berlin"))
