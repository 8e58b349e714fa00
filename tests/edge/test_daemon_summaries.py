"""Summaries from a recording to a broker: levels as computed from its samples by other means, and after a restart."""

import functools
import json
import threading
import time

import numpy as np
import pytest
import soundfile

import edge.clock
from edge.clock import SystemClock
from edge.config import (
    Config,
    EventsConfig,
    ModelConfig,
    MqttConfig,
    NodeConfig,
    PublishConfig,
    SourceConfig,
    SummaryConfig,
)
from edge.daemon import Daemon
from edge.storage.sqlite_store import SqliteStore
from engines.bundle import load_bundle
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.engines.bundles import write_tiny_bundle

RATE_HZ = 48000
LENGTH_S = 130
FIRST_S = 30  # of the recording lie in the minute in which it begins
HANG_S = 120.0
NOON_S = 1793534400.0  # 2026-11-01T12:00:00Z


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="module")
def street():
    """Noise that swells, and two low tones."""
    moments_s = np.arange(LENGTH_S * RATE_HZ) / RATE_HZ
    samples = 0.01 * np.random.RandomState(1).randn(len(moments_s)) * (1.0 + 0.8 * np.sin(moments_s / 7.0))
    for start_s, end_s in ((50.0, 56.0), (86.0, 94.0)):
        tone = slice(int(start_s * RATE_HZ), int(end_s * RATE_HZ))
        samples[tone] += 0.3 * np.sin(2.0 * np.pi * 440.0 * moments_s[tone])
    return samples


@pytest.fixture(scope="module")
def path(street, tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "street.wav"
    soundfile.write(str(path), street, RATE_HZ, subtype="FLOAT")
    return path


def config_of(bundle, path, port, **source):
    return Config(
        NodeConfig("corner"),
        (SourceConfig("tape", "file", path=str(path), realtime=False)._replace(**source),),
        MqttConfig(port=port),
        ModelConfig(bundle=str(bundle.path), hop_s=0.5),
        events=EventsConfig(confirm_s=0.5, off_ratio=0.9, merge_gap_s=0.5),
        publish=PublishConfig(classification_interval_s=10.0),
        summary=SummaryConfig("Europe/Berlin"),
    )


def run(config, bundle, store=None):
    Daemon(config, bundle, "test", threading.Event(), store=store).run()


def told(broker, type_name):
    payloads = [message.payload for message in list(broker.published) if "/summary" in message.topic]
    values = [json.loads(payload.decode()) for payload in payloads]
    return [value for value in values if value["type"] == type_name]


@pytest.fixture(scope="module")
def heard(bundle, path):
    with SocketBroker() as broker:
        run(config_of(bundle, path, broker.port, start_time="2026-10-01T12:34:30Z"), bundle)
        assert wait_until(lambda: broker.published[-1].payload == b"offline", HANG_S)
    return broker


def weighted_level(samples, weighting):
    """LAeq or LCeq by the spectrum and the formulas of IEC 61672-1, annex E: no filter has a part in it."""
    frequencies = np.fft.rfftfreq(len(samples), 1.0 / RATE_HZ)
    squares = frequencies**2
    gain = 12194.0**2 * squares / ((squares + 20.6**2) * (squares + 12194.0**2))
    if weighting == "A":
        gain *= squares / np.sqrt((squares + 107.7**2) * (squares + 737.9**2))
    at_1_khz = np.interp(1000.0, frequencies, gain)
    power = np.abs(np.fft.rfft(samples) * gain / at_1_khz) ** 2
    return 10.0 * np.log10(2.0 * power.sum() / len(samples) ** 2)


def part(street, start_s, end_s):
    return street[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]


def test_a_whole_minute_has_the_levels_of_its_samples(heard, street):
    minute = told(heard, "summary")[1]
    assert (minute["start"], minute["end"]) == ("2026-10-01T12:35:00.000Z", "2026-10-01T12:36:00.000Z")
    sound = part(street, FIRST_S, FIRST_S + 60)
    assert minute["laeq_dbfs"] == pytest.approx(weighted_level(sound, "A"), abs=0.1)
    assert minute["lceq_dbfs"] == pytest.approx(weighted_level(sound, "C"), abs=0.1)
    assert minute["lzeq_dbfs"] == pytest.approx(10.0 * np.log10(np.mean(sound**2)), abs=0.2)
    seconds = [weighted_level(part(sound, second, second + 1), "A") for second in range(60)]
    assert minute["la50_dbfs"] == pytest.approx(np.median(seconds), abs=1.0)
    assert minute["lafmax_dbfs"] == pytest.approx(max(seconds), abs=1.5)
    assert minute["la90_dbfs"] < minute["la50_dbfs"] < minute["la10_dbfs"] <= minute["lafmax_dbfs"]
    assert minute["valid_percent"] == 100.0 and minute["bandwidth_hz"] is None
    assert minute["calibrated"] is False and minute["laeq_db"] is None


def test_the_parts_at_both_ends_say_what_they_cover_and_what_was_valid(heard, street):
    first, _, last = told(heard, "summary")
    assert (first["start"], last["end"]) == ("2026-10-01T12:34:30.000Z", "2026-10-01T12:36:40.000Z")
    assert 98.0 < first["valid_percent"] < 100.0  # the filters settle
    assert last["valid_percent"] == 100.0
    assert last["laeq_dbfs"] == pytest.approx(weighted_level(part(street, 90, 130), "A"), abs=0.1)


def test_hour_and_day_are_the_whole_recording(heard, street):
    (hour,), (day,) = told(heard, "summary_hour"), told(heard, "summary_day")
    assert (hour["start"], hour["end"]) == ("2026-10-01T12:00:00.000Z", "2026-10-01T13:00:00.000Z")
    assert hour["valid_percent"] == pytest.approx(100.0 * LENGTH_S / 3600.0, abs=0.02)
    for value in (hour, day):
        assert value["laeq_dbfs"] == pytest.approx(weighted_level(street, "A"), abs=0.1)
    assert hour["lafmax_dbfs"] == max(minute["lafmax_dbfs"] for minute in told(heard, "summary"))
    assert day["local_date"] == "2026-09-30" and day["time_zone"] == "Europe/Berlin"
    assert day["lden_dbfs"] is None and day["lden_valid_percent"] == 0.0


def test_what_was_heard_is_in_the_minute_in_which_it_sounded(heard):
    minutes, (hour,) = told(heard, "summary"), told(heard, "summary_hour")
    assert [minute["events_low"] for minute in minutes] == [0, 2, 0]
    assert [minute["seconds_low"] for minute in minutes] == pytest.approx([0.0, 10.0, 4.0], abs=1.6)
    assert hour["events_low"] == 2
    assert hour["seconds_low"] == pytest.approx(sum(minute["seconds_low"] for minute in minutes), abs=0.01)


def set_clock(monkeypatch, now_s):
    """The machine's clock is right, and it is this time now."""
    ahead_s = now_s - time.time()
    clock = functools.partial(SystemClock, lambda: True, wall_s=lambda: time.time() + ahead_s)
    monkeypatch.setattr(edge.clock, "SystemClock", clock)


def test_an_hour_is_told_by_the_next_start_with_what_the_first_had_heard(bundle, path, tmp_path, monkeypatch):
    set_clock(monkeypatch, NOON_S + 600.0)
    with SocketBroker() as broker:
        config = config_of(bundle, path, broker.port)
        with SqliteStore(tmp_path).open() as store:
            run(config, bundle, store)
            assert store.counts().state == "ok"
        before = told(broker, "summary")
        assert told(broker, "summary_hour") == [] and before
        set_clock(monkeypatch, NOON_S + 7800.0)
        with SqliteStore(tmp_path).open() as store:
            run(config, bundle, store)
        (hour,) = told(broker, "summary_hour")
    assert (hour["start"], hour["end"]) == ("2026-11-01T12:00:00.000Z", "2026-11-01T13:00:00.000Z")
    assert hour["valid_percent"] == pytest.approx(100.0 * LENGTH_S / 3600.0, abs=0.02)
    assert hour["lafmax_dbfs"] == max(minute["lafmax_dbfs"] for minute in before)
    assert hour["events_low"] == sum(minute["events_low"] for minute in before) == 2
