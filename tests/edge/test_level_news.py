"""What is told of levels: each second by itself, calibrated or not, with what was lost, too loud or too soft."""

import json

import pytest

from edge.clock import SourceClock
from edge.config import LevelsConfig
from edge.level_news import LevelNews
from edge.levels.third_octaves import band_names
from edge.levels.told import condition_of, told_levels
from edge.messages import MessageFactory
from edge.records import Calibration, LevelFrame

RATE_HZ = 44100
CALIBRATION = Calibration(120.0, "2026-10-01", "calibrator")
CONFIG = LevelsConfig()


def frame(number, level_dbfs=-50.0, heard=True, overload=0, bands=None, end=None):
    first, last = number * RATE_HZ // 8, end or (number + 1) * RATE_HZ // 8
    if not heard:
        return LevelFrame(first, last, 0, 0, 0.0, 0.0, 0.0, None, None, None, None, None)
    energy = (last - first) * 10.0 ** (level_dbfs / 10.0)
    return LevelFrame(
        first,
        last,
        last - first,
        overload,
        energy,
        2.0 * energy,
        4.0 * energy,
        level_dbfs,
        level_dbfs + 1.0,
        level_dbfs - 1.0,
        level_dbfs + 0.5,
        level_dbfs + 12.0,
        bands,
    )


class Told:
    def __init__(self, bands=()):
        self.messages = []
        factory = MessageFactory("soundclr", "corner", "urban", "b00f", ["siren"], ["street"], bands)
        self.news = LevelNews("street", SourceClock(0.0), factory, self.messages.append)

    def take(self, frames, calibration=None, config=CONFIG, bandwidth_hz=None, band_names=()):
        self.news.take(frames, RATE_HZ, condition_of(config, bandwidth_hz, calibration), band_names)
        return self

    @property
    def values(self):
        return [json.loads(message.payload.decode("utf-8")) for message in self.messages]


def test_a_second_is_told_when_it_is_over_and_once():
    told = Told().take([frame(number) for number in range(7)])
    assert told.values == []
    told.take([frame(7), frame(8)]).news.finish()
    told.news.finish()
    first, second = told.values
    assert (first["start"], first["end"], first["time"]) == (
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:01.000Z",
    )
    assert (first["valid_percent"], second["valid_percent"]) == (100.0, pytest.approx(12.5, abs=0.01))
    assert first["laeq_dbfs"] == second["laeq_dbfs"] == -50.0
    assert (first["lceq_dbfs"], first["lzeq_dbfs"]) == (-46.99, -43.98)
    assert [first[name + "_dbfs"] for name in ("lafmax", "lafmin", "lasmax", "lcpeak")] == [-49.0, -51.0, -49.5, -38.0]
    message = told.messages[0]
    assert (message.topic, message.qos, message.retain, message.durable) == (
        "soundclr/corner/street/level",
        0,
        False,
        False,
    )


def test_without_a_calibration_there_are_no_sound_pressure_levels_and_that_is_said():
    (values,) = Told().take([frame(number) for number in range(8)]).values
    assert values["calibrated"] is False and values["calibrated_on"] is None and values["calibration_method"] is None
    assert all(value is None for name, value in values.items() if name.endswith("_db"))


def test_with_a_calibration_both_are_told_and_what_it_rests_on():
    (values,) = Told().take([frame(number) for number in range(8)], CALIBRATION).values
    assert (values["calibrated"], values["calibrated_on"], values["calibration_method"]) == (
        True,
        "2026-10-01",
        "calibrator",
    )
    assert (values["laeq_db"], values["laeq_dbfs"], values["lcpeak_db"]) == (70.0, -50.0, 82.0)


def test_a_second_is_never_half_calibrated():
    told = Told().take([frame(number) for number in range(4)])
    told.take([frame(number) for number in range(4, 8)], CALIBRATION)
    before, after = told.values
    assert [values["calibrated"] for values in (before, after)] == [False, True]
    assert [values["valid_percent"] for values in (before, after)] == [pytest.approx(50.0, abs=0.01)] * 2
    assert before["laeq_db"] is None and after["laeq_db"] == 70.0


def test_what_was_lost_too_loud_or_too_soft_is_told():
    frames = [frame(0, heard=False)] + [frame(n, -80.0) for n in range(1, 4)]
    frames += [frame(4, -10.0, overload=3)] + [frame(n, -40.0) for n in range(5, 8)]
    (values,) = Told().take(frames, config=LevelsConfig(noise_floor_dbfs=-70.0)).values
    assert values["valid_percent"] == pytest.approx(87.5, abs=0.01)
    assert values["overload_percent"] == pytest.approx(100.0 / 7.0, abs=0.02)
    assert values["under_range_percent"] == pytest.approx(300.0 / 7.0, abs=0.02)
    (values,) = Told().take(frames).values
    assert values["under_range_percent"] is None  # no floor was stated
    (values,) = Told().take([frame(number, heard=False) for number in range(8)]).values
    assert (values["valid_percent"], values["laeq_dbfs"], values["lafmax_dbfs"]) == (0.0, None, None)


def test_the_noise_floor_holds_as_far_as_it_can_be_told():
    both = LevelsConfig(noise_floor_db=30.0, noise_floor_dbfs=-80.0)
    assert condition_of(both, None, CALIBRATION).noise_floor_dbfs == -90.0
    assert condition_of(both, None, None).noise_floor_dbfs == -80.0
    assert condition_of(LevelsConfig(noise_floor_db=30.0), None, None).noise_floor_dbfs is None
    assert condition_of(LevelsConfig(enabled=False), None, CALIBRATION) is None


def test_a_gap_leaves_out_seconds_and_tells_the_rest_of_the_one_it_began_in():
    told = Told().take([frame(0), frame(1), frame(40), frame(47)])
    first, last = told.values
    assert first["start"] == "1970-01-01T00:00:00.000Z" and last["start"] == "1970-01-01T00:00:05.000Z"
    assert first["valid_percent"] == pytest.approx(25.0, abs=0.01)


def test_a_narrow_band_is_told():
    (values,) = Told().take([frame(number) for number in range(8)], bandwidth_hz=8000.0).values
    assert values["bandwidth_hz"] == 8000.0


def test_third_octaves_are_told_where_they_are_wanted_and_null_where_the_rate_does_not_hold_them():
    energies = tuple(RATE_HZ * 10.0 ** (-(60.0 + band) / 10.0) for band in range(26))
    frames = [frame(number) for number in range(7)] + [frame(7, bands=energies)]
    told = Told(band_names()).take(frames, CALIBRATION, band_names=band_names()[:26])
    (values,) = told.values
    assert (values["lzeq_25hz_dbfs"], values["lzeq_31_5hz_dbfs"], values["lzeq_25hz_db"]) == (-60.0, -61.0, 60.0)
    assert (values["lzeq_8000hz_dbfs"], values["lzeq_16000hz_dbfs"]) == (-85.0, None)
    assert not any("lzeq_25hz" in name for name in Told().take(frames).values[0])


def test_the_state_tells_levels_since_the_last_that_came_by_the_clock():
    told = Told()
    assert told.news.state_values["calibrated"] is None and told.news.state_values.get("laeq_dbfs") is None
    told.take([frame(number, -50.0) for number in range(8)])
    told.take([frame(number, -20.0) for number in range(8, 10)])
    assert told.news.state_values["laeq_dbfs"] == pytest.approx(-26.96, abs=0.05)
    assert told.news.state_values["lafmax_dbfs"] == -19.0
    told.news.begin_state()
    assert told.news.state_values["laeq_dbfs"] is None and told.news.state_values["calibrated"] is False
    told.take([frame(number, -50.0) for number in range(10, 14)], CALIBRATION)
    assert (told.news.state_values["laeq_db"], told.news.state_values["calibrated"]) == (pytest.approx(70.0), True)


def test_where_levels_are_not_wanted_nothing_is_told():
    told = Told().take([], config=LevelsConfig(enabled=False))
    told.news.finish()
    assert told.values == [] and told.news.state_values["calibrated"] is None


def test_nothing_becomes_something_by_a_calibration():
    assert told_levels({"laeq": None}, CALIBRATION) == {"laeq_dbfs": None, "laeq_db": None}
