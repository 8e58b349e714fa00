"""Sound levels through the pipeline: measured before resampling, joined with events, and what the gate makes of it."""

import sys
import threading

import numpy as np
import pytest

from edge.config import Config, EventsConfig, GateConfig, LevelsConfig, NodeConfig, SourceConfig
from edge.daemon import Daemon
from edge.levels.filtering import LevelsError
from edge.pipeline import Pipeline
from edge.records import AudioBlock, Calibration, Gap
from edge.reload import Reload, changed_sources, is_new_node
from edge.scorer import open_scorer
from engines.bundle import load_bundle
from tests.edge.socket_broker import wait_until
from tests.engines.bundles import write_tiny_bundle

HOP_S = 0.5
EVENTS = EventsConfig(confirm_s=1.0, off_ratio=0.9)
CALIBRATION = Calibration(110.0, "2026-10-01", "calibrator")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def scorer(bundle):
    with open_scorer(bundle, "auto", 1, HOP_S) as scorer:
        yield scorer


def street(rate_hz, duration_s=40.0, tone_from_s=20.0, tone_s=4.0, amplitude=0.1):
    """A quiet bed with one tone of 1 kHz, which the tiny bundle calls low."""
    samples = np.random.RandomState(1).randn(int(duration_s * rate_hz)).astype(np.float32) * 1e-3
    at_s = np.arange(int(tone_s * rate_hz)) / float(rate_hz)
    first = int(tone_from_s * rate_hz)
    samples[first : first + len(at_s)] += (amplitude * np.sin(2.0 * np.pi * 1000.0 * at_s)).astype(np.float32)
    return samples


def hear(bundle, scorer, samples, rate_hz, gate=None, levels=None, calibration=None, gap_at=None):
    pipeline = Pipeline(
        bundle, scorer, rate_hz, gate or GateConfig(), EVENTS, HOP_S, "test", levels=levels or LevelsConfig()
    )
    pipeline.calibration = calibration
    classifications, events, frames = [], [], []
    size = rate_hz // 20
    for first in range(0, len(samples), size):
        gap = Gap("overflow", 0) if first == gap_at else None
        heard = pipeline.push(AudioBlock(samples[first : first + size], rate_hz, first, 0.0, gap))
        classifications, events, frames = (
            classifications + heard.classifications,
            events + heard.events,
            frames + heard.levels,
        )
    heard = pipeline.finish("stop")
    return classifications + heard.classifications, events + heard.events, frames + heard.levels, pipeline


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_an_event_says_how_loud_it_was_and_how_loud_it_was_before(bundle, scorer, rate_hz):
    _, events, frames, _ = hear(bundle, scorer, street(rate_hz), rate_hz)
    (start, end) = events
    assert (start.label, start.phase, end.phase) == ("low", "start", "end")
    assert end.lafmax_dbfs == pytest.approx(-23.0, abs=0.1)  # 0.1 at 1 kHz, where A is 0 dB
    assert end.laeq_dbfs == pytest.approx(-23.0, abs=0.7)
    in_bed = [frame.laf_dbfs for frame in frames[8 * 8 : 19 * 8]]
    assert end.background_la90_dbfs == pytest.approx(np.percentile(in_bed, 10), abs=0.5)
    assert start.background_la90_dbfs == end.background_la90_dbfs
    assert start.lafmax_dbfs == pytest.approx(-23.0, abs=0.1)


def test_every_sample_is_in_one_frame_and_what_is_not_wanted_costs_nothing(bundle, scorer):
    samples = street(48000, 10.0, 5.0, 1.0)
    frames = hear(bundle, scorer, samples, 48000)[2]
    assert frames[0].first_sample == 0 and frames[-1].end_sample == len(samples)
    assert all(a.end_sample == b.first_sample for a, b in zip(frames, frames[1:]))
    _, events, none, pipeline = hear(bundle, scorer, samples, 48000, levels=LevelsConfig(enabled=False))
    assert none == [] and pipeline.condition is None and pipeline.band_names == ()
    assert all(event.laeq_dbfs is None and event.background_la90_dbfs is None for event in events)


def test_a_gap_of_unknown_length_is_not_glued(bundle, scorer):
    samples = street(48000, 10.0, 5.0, 1.0)
    frames = hear(bundle, scorer, samples, 48000, gap_at=48000 * 3 + 2400)[2]
    after = [frame for frame in frames if frame.first_sample >= 48000 * 3 + 2400]
    assert after[0].first_sample == 48000 * 3 + 2400 and frames[24].end_sample == after[0].first_sample
    assert after[0].heard_samples == 0 and after[0].lafmax_dbfs is None and after[20].lafmax_dbfs is not None


def test_the_condition_follows_rate_and_calibration(bundle, scorer):
    _, _, _, pipeline = hear(bundle, scorer, street(16000, 2.0, 1.0, 0.5), 16000)
    assert pipeline.condition == (None, 8000.0, None)
    pipeline.calibration = CALIBRATION
    assert pipeline.condition == (CALIBRATION, 8000.0, None)
    wide = Pipeline(bundle, scorer, 44100, GateConfig(), EVENTS, HOP_S, "test", levels=LevelsConfig(True, True, 20.0))
    wide.calibration = CALIBRATION
    assert wide.condition == (CALIBRATION, None, -90.0) and len(wide.band_names) == 29


@pytest.mark.parametrize("floor_db, is_named", [(86.0, True), (88.0, False)])
def test_the_gates_floor_is_a_sound_pressure_level_where_the_source_is_calibrated(bundle, scorer, floor_db, is_named):
    gate = GateConfig(floor_dbfs=0.0, floor_db=floor_db)  # the tone's LAFmax is 87 dB
    samples = street(48000)
    classifications, events, _, pipeline = hear(bundle, scorer, samples, 48000, gate, calibration=CALIBRATION)
    assert [event.phase for event in events] == (["start", "end"] if is_named else [])
    assert {c.reason for c in classifications if 20.0 < c.start_s < 23.0} == ({None} if is_named else {"below_gate"})
    assert bool(pipeline.clip_answer().verdict.reason == "below_gate") != is_named
    assert (
        hear(bundle, scorer, samples, 48000, gate)[1] == []
    )  # not calibrated: the other floor holds, and nothing passes


def test_a_device_that_returns_with_another_rate_takes_a_meter_of_its_own(bundle, scorer):
    """As the listener does it: the stream's time goes on, in samples of the new rate."""
    old = hear(bundle, scorer, street(44100, 10.0, 5.0, 1.0), 44100)[2]
    pipeline = Pipeline(bundle, scorer, 48000, GateConfig(), EVENTS, HOP_S, "test-2")
    first = int(10.3 * 48000)
    frames = pipeline.push(AudioBlock(street(48000, 10.0, 5.0, 1.0), 48000, first, 0.0, Gap("restart", 14400))).levels
    assert old[-1].end_sample / 44100.0 < frames[0].first_sample / 48000.0 == first / 48000.0
    assert [frame.heard_samples > 0 for frame in frames[:4]] == [False, False, False, True]
    assert frames[-1].end_sample % 6000 == 0


def test_without_scipy_the_node_says_at_its_start_what_to_do(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    config = Config(NodeConfig("corner"), (SourceConfig("tape", "file", path="street.wav"),))
    with pytest.raises(LevelsError, match=r"need SciPy.*pip install scipy, or set enabled = false under \[levels\]"):
        Daemon(config, bundle, "test", threading.Event())
    without = config._replace(
        levels=LevelsConfig(enabled=False), model=config.model._replace(bundle=str(bundle.path)), source=()
    )
    Daemon(without, bundle, "test", threading.Event())
    reload = Reload(lambda: without._replace(levels=LevelsConfig()), without, bundle)
    assert wait_until(lambda: reload.is_over) and "need SciPy" in reload.complaint and reload.config is None


def test_third_octaves_are_in_every_message_so_they_need_a_node_that_begins_anew():
    old = Config(NodeConfig("corner"), (SourceConfig("tape", "file", path="street.wav"),))
    assert is_new_node(old, old._replace(levels=LevelsConfig(third_octaves=True)), is_same_model=True)
    none = old._replace(levels=LevelsConfig(enabled=False, third_octaves=True))
    assert is_new_node(none, old._replace(levels=LevelsConfig(third_octaves=True)), is_same_model=True)
    assert not is_new_node(none, old._replace(levels=LevelsConfig(enabled=False)), is_same_model=True)
    other_floor = old._replace(levels=LevelsConfig(noise_floor_db=20.0))
    assert not is_new_node(old, other_floor, is_same_model=True) and changed_sources(old, other_floor) == ["tape"]
