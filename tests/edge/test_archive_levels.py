"""Tables of levels: sums of the seconds, by the daemon's own arithmetic."""

import numpy as np
import pytest
import soundfile

from edge.archive.level_tables import LevelTables
from edge.archive.part import Measured, Part
from edge.archive.reels import Reel, inspect_file, reels_of
from edge.archive.seconds import OwnShare, SecondsOfLevels
from edge.archive.work import Worker, hear_task, settings_from_config
from edge.config import Config, LevelsConfig, NodeConfig, SourceConfig
from edge.levels.local_day import LocalCalendar
from edge.levels.meter import LevelMeter
from edge.records import Calibration
from edge.rfc3339 import epoch_s_from_rfc3339
from edge.sources.recording import open_recording
from tests.edge.archive_command import write_recordings
from tests.edge.made_up_day import (
    MIDNIGHT_S,
    RATE_HZ,
    chronicle_of,
    event_of,
    second_at,
    take_at,
    write_part,
)
from tests.engines.bundles import write_tiny_bundle

CALIBRATION = Calibration(118.0, "2026-09-30", "calibrator")
CONFIG = Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))


def one_reel(path, start_s, levels, events=(), **options):
    """A chronicle of one file with these levels, second by second."""
    reel = Reel((), (take_at(start_s, float(len(levels))),), ())
    write_part(path, reel, (second_at(n, level) for n, level in enumerate(levels)), events, **options)
    return reel, path


def energetic_mean(levels):
    return 10.0 * np.log10(np.mean(10.0 ** (np.array(levels) / 10.0)))


def test_a_minute_is_the_sum_of_its_seconds_and_says_how_much_of_it_there_was(tmp_path):
    levels = np.linspace(-70.0, -30.0, 90)
    tables = LevelTables(chronicle_of([one_reel(tmp_path / "a.gz", 30.0, levels)], CALIBRATION))
    first, second = tables.minute_rows()
    assert (first["start"], first["end"]) == (MIDNIGHT_S, MIDNIGHT_S + 60.0)
    assert (first["valid_percent"], second["valid_percent"]) == (50.0, 100.0)
    assert first["laeq_dbfs"] == pytest.approx(energetic_mean(levels[:30]), abs=0.01)
    assert second["laeq_db"] == pytest.approx(energetic_mean(levels[30:]) + 118.0, abs=0.01)
    assert second["lceq_dbfs"] - second["laeq_dbfs"] == pytest.approx(3.01, abs=0.01)
    assert second["lafmax_dbfs"] == pytest.approx(levels[-1] + 5.0, abs=0.01)
    for percent in (10, 50, 90):
        expected = np.percentile(np.repeat(levels[30:], 8), 100 - percent)
        assert second["la%d_dbfs" % percent] == pytest.approx(expected, abs=0.4)
    assert (second["calibrated"], second["calibrated_on"], second["calibration_method"]) == (
        True, "2026-09-30", "calibrator",
    )  # fmt: skip


def test_without_a_calibration_no_level_claims_to_be_one_and_below_44_khz_the_reach_is_told(tmp_path):
    made = one_reel(tmp_path / "a.gz", 0.0, [-50.0] * 60, measured=Measured(8000.0, ()))
    (row,) = LevelTables(chronicle_of([made])).minute_rows()
    assert row["calibrated"] is False and row["bandwidth_hz"] == 8000.0
    assert not any(value is not None for name, value in row.items() if name.endswith("_db"))
    (second,) = list(LevelTables(chronicle_of([made])).second_rows())[:1]
    assert second["laeq_dbfs"] == pytest.approx(-50.0, abs=0.01) and second.get("laeq_db") is None


def test_time_with_a_class_is_shared_out_among_minutes_and_each_event_counts_once(tmp_path):
    events = [event_of("siren", 50.0, 130.0), event_of("siren", 140.0, 141.5), event_of("dog_bark", 1.0, 2.0)]
    rows = list(LevelTables(chronicle_of([one_reel(tmp_path / "a.gz", 0.0, [-50.0] * 180, events)])).minute_rows())
    assert [row["seconds_siren"] for row in rows] == pytest.approx([10.0, 60.0, 11.5])
    assert [row["events_siren"] for row in rows] == [1, 0, 1]
    assert [row["seconds_dog_bark"] for row in rows] == [1.0, 0.0, 0.0]
    assert [row["seconds_car_horn"] for row in rows] == [0.0] * 3


def test_minutes_of_a_file_that_nobody_dates_count_from_its_beginning(tmp_path):
    made = one_reel(tmp_path / "a.gz", None, [-50.0] * 90, [event_of("siren", 70.0, 75.0)])
    rows = list(LevelTables(chronicle_of([made])).minute_rows())
    assert [(row["start"], row["start_s"], row["file"]) for row in rows] == [
        (None, 0.0, made[0].own[0].path), (None, 60.0, made[0].own[0].path),
    ]  # fmt: skip
    assert [row["seconds_siren"] for row in rows] == [0.0, 5.0]
    assert not list(LevelTables(chronicle_of([made])).hour_rows())


def test_hours_and_days_are_sums_of_minutes_with_lden_of_the_local_day(tmp_path):
    made = []
    for hour in range(0, 48, 6):
        level = -50.0 if 6 <= hour % 24 < 18 else -60.0
        reel, path = Reel((), (take_at(3600.0 * hour, 6 * 3600.0),), ()), tmp_path / ("%d.gz" % hour)
        write_part(path, reel, [second_at(60 * n, level, length_s=60) for n in range(360)], column_s=3600.0)
        made.append((reel, path))
    tables = LevelTables(chronicle_of(made, CALIBRATION), LocalCalendar("Etc/UTC", "06:00", "18:00", "22:00"))
    hours, days = list(tables.hour_rows()), list(tables.day_rows())
    assert len(hours) == 48 and [row["valid_percent"] for row in hours] == [100.0] * 48
    assert [row["laeq_db"] for row in hours[:7]] == pytest.approx([58.0] * 6 + [68.0], abs=0.01)
    assert [row["start"] for row in days] == [MIDNIGHT_S, MIDNIGHT_S + 86400.0]
    assert days[0]["laeq_db"] == pytest.approx(energetic_mean([68.0, 58.0]), abs=0.01)
    assert (days[1]["local_date"], days[1]["time_zone"]) == ("2026-10-01", "Etc/UTC")
    expected = 10 * np.log10((12 * 10**6.8 + 4 * 10 ** (5.8 + 0.5) + 8 * 10 ** (5.8 + 1.0)) / 24)
    assert days[1]["lden_db"] == pytest.approx(expected, abs=0.01)


def test_an_event_over_a_cut_has_the_mean_level_of_both_halves(tmp_path):
    first, second = take_at(0.0, 7200.0), take_at(7200.0, 60.0)
    reels = [Reel((), (first,), (second,)), Reel((first,), (second,), ())]
    quiet, loud = RATE_HZ * 10.0 * 1e-5, RATE_HZ * 20.0 * 1e-4
    write_part(tmp_path / "a.gz", reels[0], [], [event_of("siren", 7190.0, 7225.0, score_mean=0.6)],
               shares=[OwnShare(RATE_HZ * 10, quiet, -44.0)])  # fmt: skip
    write_part(tmp_path / "b.gz", reels[1], [], [event_of("siren", -10.0, 20.0, score_max=0.95, lafmax_dbfs=-30.0)],
               shares=[OwnShare(RATE_HZ * 20, loud, -35.0)])  # fmt: skip
    chronicle = chronicle_of([(reels[0], tmp_path / "a.gz"), (reels[1], tmp_path / "b.gz")], CALIBRATION)
    (row,) = chronicle.event_rows()
    assert (row["start"], row["end"], row["duration_s"]) == (MIDNIGHT_S + 7190.0, MIDNIGHT_S + 7220.0, 30.0)
    assert row["laeq_dbfs"] == pytest.approx(10 * np.log10((1e-5 * 10 + 1e-4 * 20) / 30), abs=0.01)
    assert (row["lafmax_dbfs"], row["lafmax_db"], row["background_la90_dbfs"]) == (-35.0, 83.0, -50.0)
    assert row["score_max"] == 0.95 and 0.6 < row["score_mean"] < 0.8


def test_overload_in_one_channel_of_two_is_told_of_a_recording_too(tmp_path):
    frames = np.zeros((4 * RATE_HZ, 2), np.float32)
    frames[:, 0] = 0.2 * np.sin(np.arange(len(frames)))
    frames[int(2.3 * RATE_HZ), 1] = 1.0
    soundfile.write(str(tmp_path / "two.wav"), frames, RATE_HZ, subtype="PCM_16")
    worker = Worker(settings_from_config(CONFIG, write_tiny_bundle(tmp_path / "tiny")))
    (reel,) = reels_of([inspect_file(str(tmp_path / "two.wav"), "")])
    (tmp_path / "a.gz").write_bytes(worker.do(hear_task(reel)))
    worker.close()
    overloaded = [second.overload_samples for second in Part(str(tmp_path / "a.gz")).seconds()]
    assert overloaded == [0, 0, RATE_HZ // 8, 0]


@pytest.mark.parametrize("third_octaves", [False, True])
def test_seconds_are_those_of_the_daemons_meter(tmp_path, third_octaves):
    (path,) = write_recordings(tmp_path, 1, 20.0)
    config = CONFIG._replace(levels=LevelsConfig(third_octaves=third_octaves))
    worker = Worker(settings_from_config(config, write_tiny_bundle(tmp_path / "tiny")))
    (reel,) = reels_of([inspect_file(str(path), "file")])
    (tmp_path / "a.gz").write_bytes(worker.do(hear_task(reel)))
    worker.close()
    recording = open_recording(path)
    samples = recording.read(recording.frames)[:, 0]
    recording.close()
    meter = LevelMeter(RATE_HZ, third_octaves)
    frames = meter.push(samples, 0) + meter.finish()
    seconds = SecondsOfLevels(RATE_HZ, 0, len(samples))
    expected = seconds.push(frames) + seconds.finish()
    found = list(Part(str(tmp_path / "a.gz")).seconds())
    assert len(found) == len(expected) == 20
    for one, other in zip(found, expected):
        assert one.energy_a == pytest.approx(other.energy_a, rel=1e-5)
        assert (one.heard_samples, one.overload_samples) == (other.heard_samples, other.overload_samples)
        assert list(one.laf_dbfs) == pytest.approx(list(other.laf_dbfs), abs=0.006)
        assert (one.lcpeak_dbfs is None) == (other.lcpeak_dbfs is None)
    tables = LevelTables(chronicle_of([(reel, tmp_path / "a.gz")], CALIBRATION))
    rows = list(tables.second_rows())
    assert rows[0]["start"] == epoch_s_from_rfc3339("2026-10-01T01:59:00Z") and rows[5]["start_s"] == 5.0
    assert ("lzeq_1000hz_db" in rows[5]) is third_octaves
