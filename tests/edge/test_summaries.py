"""Summaries of minutes, hours and days: what they cover, what they hold, and what becomes of them at a restart."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.levels.keepsakes import kept_from_bytes
from edge.levels.local_day import LocalCalendar
from edge.levels.totals import Condition
from edge.records import Calibration
from edge.redating import redate
from tests.edge.level_frames import RATE_HZ, mean_level_of, street_of
from tests.edge.summary_street import BOOTED_S, START_S, Machine, MeasuringSource, change

MINUTE = "2026-11-01T12:%02d:00.000Z"


def test_a_minute_is_told_when_it_is_over_and_has_settled():
    source = MeasuringSource()
    source.hear(67)
    assert source.told() == []
    source.hear(1)
    (minute,) = source.told()
    assert (minute["start"], minute["end"], minute["time"]) == (MINUTE % 0, MINUTE % 1, MINUTE % 1)
    assert minute["valid_percent"] == 100.0 and minute["laeq_dbfs"] == -50.0 and minute["laeq_db"] is None
    assert minute["clock"] == "synced" and minute["replayed"] is False


def test_a_minute_holds_its_own_sound_and_no_other():
    source = MeasuringSource()
    source.hear(60, -70.0)
    source.hear(60, -30.0)
    source.hear(20, -70.0)
    assert [minute["laeq_dbfs"] for minute in source.told()] == [-70.0, -30.0]
    assert [minute["lafmax_dbfs"] for minute in source.told()] == [-69.5, -29.5]


@settings(max_examples=15, deadline=None)
@given(st.floats(0.0, 60.0), st.integers(0, 999))
def test_wherever_the_border_falls_energy_is_conserved_and_in_its_own_minute(begun_s, seed):
    chance = np.random.RandomState(seed)
    levels = chance.uniform(-70.0, -30.0, 8 * 200)
    source = MeasuringSource(start_time_s=START_S + begun_s)
    source.hear(200, lambda index: float(levels[index]))
    source.summaries.finish()
    starts_s, energies = begun_s + np.arange(1600) / 8.0, 10.0 ** (levels / 10.0) / 8.0
    for minute in source.told():
        start_s, end_s = (60.0 * int(minute[name][14:16]) + float(minute[name][17:23]) for name in ("start", "end"))
        shares = np.clip(np.minimum(starts_s + 0.125, end_s) - np.maximum(starts_s, start_s), 0.0, None) / 0.125
        expected = 10.0 * np.log10((shares * energies).sum() / (end_s - start_s))
        assert minute["laeq_dbfs"] == pytest.approx(expected, abs=0.02) or end_s - start_s < 0.5
        assert minute["valid_percent"] == pytest.approx(100.0, abs=0.02) or end_s - start_s < 0.5
    (day,) = source.told("summary_day")
    assert day["laeq_dbfs"] == pytest.approx(10.0 * np.log10(energies.mean() * 8.0), abs=0.006)


def test_parts_of_a_minute_at_start_and_stop_say_what_they_cover():
    source = MeasuringSource(Machine(START_S + 18.0))
    source.hear(60)
    source.summaries.finish()
    first, second = source.told()
    assert (first["start"], first["end"], first["valid_percent"]) == ("2026-11-01T12:00:18.000Z", MINUTE % 1, 100.0)
    assert (second["start"], second["end"]) == (MINUTE % 1, "2026-11-01T12:01:18.000Z")
    assert first["id"] != second["id"]


def test_lost_sound_lowers_the_valid_share_and_is_in_no_level():
    source = MeasuringSource()
    source.hear(20)
    source.skip(30)
    source.hear(40)
    (minute,) = source.told()
    assert minute["valid_percent"] == 50.0 and minute["laeq_dbfs"] == -50.0
    assert minute["la50_dbfs"] == -50.0


def test_a_lost_device_ends_the_minute_at_once_and_minutes_without_any_sound_are_not_told():
    source = MeasuringSource()
    source.hear(90)
    source.summaries.break_off()
    assert [minute["end"] for minute in source.told()] == [MINUTE % 1, "2026-11-01T12:01:30.000Z"]
    source.skip(300)
    source.hear(60)
    source.summaries.finish()
    assert [minute["start"] for minute in source.told()[2:]] == ["2026-11-01T12:06:30.000Z", MINUTE % 7]


def test_an_hour_is_told_although_the_device_is_gone():
    source = MeasuringSource(Machine(START_S + 3000.0))
    source.hear(300)
    source.summaries.break_off()
    source.machine.true_s += 290.0
    source.summaries.idle()
    assert source.told("summary_hour") == []
    source.machine.true_s += 30.0
    source.summaries.idle()
    source.summaries.idle()
    (hour,) = source.told("summary_hour")
    assert (hour["start"], hour["end"]) == ("2026-11-01T12:00:00.000Z", "2026-11-01T13:00:00.000Z")
    assert hour["valid_percent"] == pytest.approx(100.0 * 300 / 3600, abs=0.01)


def test_an_hour_of_unknown_time_is_told_once_the_clock_is_set_although_the_device_is_gone():
    source = MeasuringSource(Machine(START_S + 3000.0, synced=False, error_s=-3.0e8))
    source.hear(300)
    source.summaries.break_off()
    source.machine.true_s += 320.0
    source.machine.synced, source.machine.error_s = True, 0.0
    source.summaries.idle()
    assert hour_of(source)["valid_percent"] == pytest.approx(100.0 * 300 / 3600, abs=0.01)


def test_the_first_moments_of_a_minute_outlive_a_clock_that_is_set_back_a_little():
    source = MeasuringSource(Machine(START_S + 59.02))
    source.hear(1)
    source.machine.error_s = -0.3
    source.machine.true_s += 0.05
    source.clock.observe(RATE_HZ, RATE_HZ, source.machine.system.now().monotonic_s - 0.05)
    source.summaries.advance(1.0, 1.05)
    source.summaries.break_off()
    last = source.told()[-1]
    assert last["start"] == last["end"] == "2026-11-01T12:01:00.000Z" and last["seconds_siren"] == 0.0
    assert kept_from_bytes(source.kept[-1]).minute.start_s == START_S + 60.0


def test_a_node_that_never_learns_the_time_says_once_that_no_hour_comes_of_it(monkeypatch, caplog):
    monkeypatch.setattr("edge.levels.rollup._MOST_HELD", 2)
    source = MeasuringSource(Machine(synced=False))
    source.hear(600)
    said = [record for record in caplog.records if "has not been set" in record.getMessage()]
    assert len(said) == 1 and len(source.told()) >= 9


def test_seconds_and_events_of_each_class_are_told_by_the_minute_in_which_they_lie():
    source = MeasuringSource()
    events = [
        change(14.0, "a", "start", "siren", 10.0, 12.0),
        change(25.0, "a", "end", "siren", 10.0, 20.5),
        change(59.0, "b", "start", "siren", 55.0, 58.0),
        change(75.0, "b", "end", "siren", 55.0, 71.0),
        change(64.0, "c", "start", "dog_bark", 58.0, 63.0),
        change(66.0, "c", "end", "dog_bark", 58.0, 59.0),
    ]
    source.hear(150, events=events)
    minutes = source.told()
    assert [minute["seconds_siren"] for minute in minutes] == [15.5, 11.0]
    assert [minute["events_siren"] for minute in minutes] == [2, 0]
    assert [minute["seconds_dog_bark"] for minute in minutes] == [1.0, 0.0]
    assert [minute["events_dog_bark"] for minute in minutes] == [1, 0]


def test_an_event_that_lasts_counts_in_every_minute_and_begins_once():
    source = MeasuringSource()
    source.hear(
        310, events=[change(32.0, "a", "start", "siren", 30.0, 31.0), change(91.0, "a", "update", "siren", 30.0, 90.0)]
    )
    assert [minute["seconds_siren"] for minute in source.told()] == [30.0, 60.0, 60.0, 60.0, 60.0]
    assert sum(minute["events_siren"] for minute in source.told()) == 1


def test_an_event_learnt_of_after_its_minute_was_told_is_counted_in_the_next():
    source = MeasuringSource(settle_s=2.0)
    late = [change(65.0, "a", "start", "siren", 58.0, 64.0), change(66.0, "a", "end", "siren", 58.0, 62.0)]
    source.hear(130, events=late)
    assert [minute["events_siren"] for minute in source.told()] == [0, 1]
    assert [minute["seconds_siren"] for minute in source.told()] == [0.0, 2.0]


def test_a_recording_tells_the_hour_and_day_that_it_breaks_off_in():
    source = MeasuringSource(start_time_s=START_S)
    source.hear(150)
    source.summaries.finish()
    (hour,), (day,) = source.told("summary_hour"), source.told("summary_day")
    assert len(source.told()) == 3 and source.kept == []
    assert hour["laeq_dbfs"] == day["laeq_dbfs"] == -50.0
    assert hour["valid_percent"] == pytest.approx(100.0 * 150 / 3600, abs=0.01)
    assert day["start"] == "2026-11-01T00:00:00.000Z" and day["local_date"] is None and day["lden_dbfs"] is None


def test_a_node_that_keeps_nothing_tells_the_hour_under_way_when_it_ends():
    source = MeasuringSource(kept=None)
    source.hear(90)
    source.summaries.finish()
    assert len(source.told("summary_hour")) == len(source.told("summary_day")) == 1 and source.kept == []


def hour_of(source):
    (hour,) = source.told("summary_hour")
    return hour


LEVEL_FIELDS = (
    "laeq_dbfs",
    "lceq_dbfs",
    "lafmax_dbfs",
    "lafmin_dbfs",
    "lcpeak_dbfs",
    "la10_dbfs",
    "la50_dbfs",
    "la90_dbfs",
)


def level_of_frame(index):
    return -60.0 + 20.0 * np.sin(index / 500.0) + (index % 17)


def whole_hour():
    source = MeasuringSource()
    source.hear(3620, level_of_frame)
    return hour_of(source)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), st.booleans()), min_size=1, max_size=4))
def test_an_hour_outlives_restarts_and_kills_and_is_honest_about_what_was_lost(runs):
    machine, kept, frame, lost_s, told = Machine(), [], 0, 0.0, []
    for seconds, is_killed in runs + [(3620, True)]:
        source = MeasuringSource(machine, kept)
        begun_s = machine.true_s
        for _ in range(seconds):
            if machine.true_s < START_S + 3620.0:
                first = frame
                source.hear(1, lambda index, first=first, source=source: level_of_frame(first + index - (source.frame)))
                frame += 8
        if not is_killed:
            source.summaries.finish()
        ends_s = [
            json.loads(m.payload.decode())["ts_ms"] / 1000.0 for m in source.messages if m.topic.endswith("/summary")
        ]
        lost_s += (
            min(machine.true_s, START_S + 3600.0) - max([begun_s] + ends_s)
            if machine.true_s < START_S + 3610.0
            else 0.0
        )
        kept, told = source.kept, told + source.told("summary_hour")
    (hour,) = told
    assert lost_s <= (len(runs)) * 68.0
    assert hour["valid_percent"] == pytest.approx(100.0 * (3600.0 - lost_s) / 3600.0, abs=0.01)
    if lost_s == 0.0:
        whole = whole_hour()
        assert [hour[name] for name in LEVEL_FIELDS] == [whole[name] for name in LEVEL_FIELDS]


def test_an_hour_that_ended_while_the_node_was_off_is_told_once_when_it_is_back():
    machine = Machine(START_S + 1800.0)
    source = MeasuringSource(machine)
    source.hear(600)
    source.summaries.finish()
    assert source.told("summary_hour") == []
    machine.true_s += 7200.0
    second = MeasuringSource(machine, source.kept)
    second.hear(90)
    hour = hour_of(second)
    assert hour["start"] == "2026-11-01T12:00:00.000Z" and hour["valid_percent"] == pytest.approx(100 / 6.0, abs=0.01)
    assert hour["replayed"] is True and second.told()[-1]["replayed"] is False
    second.summaries.finish()
    third = MeasuringSource(machine, second.kept)
    third.hear(90)
    assert third.told("summary_hour") == []


def test_what_was_kept_and_cannot_be_read_is_left_out_and_said(caplog):
    source = MeasuringSource()
    source.hear(200)
    machine = source.machine
    kept = [source.kept[0], b"rubbish", source.kept[1][:-4], source.kept[2]]
    machine.true_s += 3600.0
    second = MeasuringSource(machine, kept)
    second.hear(90)
    assert hour_of(second)["valid_percent"] == pytest.approx(100.0 * 120 / 3600, abs=0.01)
    (said,) = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert "left out" in said


def test_minutes_of_a_clock_that_is_not_set_say_so_and_reach_their_true_hour_once_it_is():
    machine = Machine(synced=False, error_s=-3.0e8)
    source = MeasuringSource(machine)
    source.hear(600, -40.0)
    assert {minute["clock"] for minute in source.told()} == {"unsynced"} and source.told("summary_hour") == []
    machine.synced, machine.error_s = True, 0.0
    source.hear(3100, -60.0)
    hour = hour_of(source)
    assert hour["start"] == "2026-11-01T12:00:00.000Z"
    assert hour["valid_percent"] == pytest.approx(100.0, abs=0.2)
    energy = (600 * 1e-4 + 3000 * 1e-6) / 3600.0
    assert hour["laeq_dbfs"] == pytest.approx(10.0 * np.log10(energy), abs=0.02)
    late = redate(source.messages[0], START_S - BOOTED_S)
    assert json.loads(late.payload.decode())["clock"] == "synced"
    times = [json.loads(redate(m, START_S - BOOTED_S).payload.decode()) for m in source.messages]
    covered = [(v["start"], v["end"]) for v in times if v["type"] == "summary"]
    assert all(later[0] == earlier[1] for earlier, later in zip(covered, covered[1:]))
    assert covered[0][0] == "2026-11-01T12:00:00.000Z"


@pytest.mark.parametrize("is_same_boot", [True, False])
def test_minutes_of_unknown_time_are_dated_after_a_restart_of_the_daemon_but_not_of_the_machine(
    is_same_boot, monkeypatch, caplog
):
    machine = Machine(synced=False, error_s=-3.0e8)
    source = MeasuringSource(machine)
    source.hear(300)
    if not is_same_boot:
        monkeypatch.setattr("edge.levels.summaries.read_machine_boot_id", lambda: "another")
    machine.synced, machine.error_s = True, 0.0
    second = MeasuringSource(machine, source.kept)
    second.hear(3400)
    told_s = 240 + 3300 if is_same_boot else 3300
    assert hour_of(second)["valid_percent"] == pytest.approx(100.0 * told_s / 3600.0, abs=1.0)
    assert any("in no hour" in record.getMessage() for record in caplog.records) != is_same_boot


def test_a_clock_that_is_put_back_gives_minutes_and_hours_in_parts_that_add_up():
    source = MeasuringSource(Machine(START_S + 3500.0))
    source.hear(300)
    source.machine.error_s = -1800.0
    source.hear(2200)
    source.summaries.finish()
    hours = source.told("summary_hour")
    assert [hour["start"][11:16] for hour in hours] == ["12:00", "13:00", "12:00"]
    covered_ms = sum(_length_ms(minute) for minute in source.told())
    assert covered_ms == pytest.approx(2500 * 1000, abs=5)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 150), st.sampled_from([-7200.0, -61.0, -2.0, 0.7, 30.0, 18000.0, 4e7])), max_size=4
    ),
    st.booleans(),
)
def test_whatever_the_clock_does_every_second_is_told_once_in_minutes_hours_and_days(steps, is_synced):
    source = MeasuringSource(Machine(synced=is_synced), kept=None)
    for seconds, step_s in steps + [(90, 0.0)]:
        source.hear(seconds)
        source.machine.error_s += step_s
    source.machine.synced = True
    source.hear(60)
    source.summaries.finish()
    heard_s = sum(seconds for seconds, _ in steps) + 150
    for type_name, length_s, told_within_s in (
        ("summary", None, 0.1),
        ("summary_hour", 3600.0, 2.0),
        ("summary_day", 86400.0, 30.0),
    ):
        told = source.told(type_name)
        valid_s = sum(value["valid_percent"] / 100.0 * (length_s or _length_ms(value) / 1000.0) for value in told)
        assert valid_s == pytest.approx(heard_s, abs=told_within_s)
        assert {value["laeq_dbfs"] for value in told} == {-50.0}


def _length_ms(minute):
    seconds = [60 * int(minute[name][14:16]) + float(minute[name][17:23]) for name in ("start", "end")]
    return 1000.0 * ((seconds[1] - seconds[0]) % 3600.0)


def test_calibrated_minutes_are_told_re_20_upa():
    source = MeasuringSource(condition=Condition(Calibration(120.0, "2026-10-01", "calibrator")))
    source.hear(70)
    (minute,) = source.told()
    assert (minute["laeq_db"], minute["laeq_dbfs"], minute["la90_db"]) == (70.0, -50.0, 70.0)
    assert (minute["calibrated"], minute["calibration_method"]) == (True, "calibrator")


def test_where_no_levels_are_wanted_all_sound_is_valid_and_has_none():
    source = MeasuringSource(condition=None)
    source.hear(40)
    source.skip(30)
    source.hear(3600)
    first, second = source.told()[:2]
    assert (first["valid_percent"], second["valid_percent"]) == pytest.approx(
        (100.0 * 40 / 60, 100.0 * 50 / 60), abs=0.01
    )
    assert {first[name] for name in first if name.endswith(("_db", "_dbfs"))} == {None} == {first["calibrated"]}
    assert hour_of(source)["valid_percent"] == pytest.approx(100.0 * 3570 / 3600, abs=0.01)
    again = MeasuringSource(source.machine, source.kept[:30], condition=None)
    source.machine.true_s += 3600.0
    again.hear(70)
    assert hour_of(again)["valid_percent"] == pytest.approx(100.0 * 1770 / 3600, abs=0.01)


@pytest.mark.slow
def test_a_day_is_1440_minutes_24_hours_and_one_day_that_come_to_the_same():
    start_s = START_S - 43200.0
    source = MeasuringSource(start_time_s=start_s, calendar=LocalCalendar("Europe/Berlin", "07:00", "19:00", "23:00"))
    frames = street_of(3600.0)
    laf = [frame.laf_dbfs for frame in frames]
    source.hear(86400, lambda index: laf[index % len(laf)] + (index // len(laf)) % 5)
    source.summaries.finish()
    minutes, hours, (day,) = source.told(), source.told("summary_hour"), source.told("summary_day")
    assert len(minutes) == 1440 and len(hours) == 24
    assert {value["valid_percent"] for value in minutes + hours + [day]} == {100.0}
    for values, of_day in ((minutes, 1440), (hours, 24)):
        assert 10 * np.log10(np.mean([10 ** (v["laeq_dbfs"] / 10) for v in values])) == pytest.approx(
            day["laeq_dbfs"], abs=0.01
        )
        assert max(v["lafmax_dbfs"] for v in values) == day["lafmax_dbfs"] and len(values) == of_day
    shifts = np.array([(n % 5) for n in range(24)])
    every = (np.array(laf)[None, :] + shifts[:, None]).ravel()
    for percent in (10, 50, 90):
        assert day["la%d_dbfs" % percent] == pytest.approx(np.percentile(every, 100 - percent), abs=0.1)
    assert day["laeq_dbfs"] == pytest.approx(
        mean_level_of(frames) + 10 * np.log10(np.mean(10 ** (shifts / 10))), abs=0.01
    )
