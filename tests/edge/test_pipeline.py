"""The way of one source's sound: the same whatever the blocks, nothing glued over a gap, times those of the source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import EventsConfig, GateConfig
from edge.pipeline import Pipeline
from edge.records import AudioBlock, Gap
from edge.scorer import open_scorer
from engines.bundle import load_bundle
from tests.engines.bundles import SPEC, write_tiny_bundle

HOP_S = 0.5
WINDOW_S = SPEC.window_samples / float(SPEC.sample_rate_hz)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def scorer(bundle):
    with open_scorer(bundle, "auto", 1, HOP_S) as scorer:
        yield scorer


def tone(frequency_hz, duration_s, rate_hz, amplitude=0.1):
    at_s = np.arange(int(duration_s * rate_hz)) / float(rate_hz)
    return (amplitude * np.sin(2 * np.pi * frequency_hz * at_s)).astype(np.float32)


def low_then_high(rate_hz, duration_s=24.0):
    """A quiet bed, 3 s of a low tone from 5.3 s on, 2 s of a high one from 14.1 s on."""
    samples = np.random.RandomState(1).randn(int(duration_s * rate_hz)).astype(np.float32) * 2e-3
    for start_s, length_s, frequency_hz in ((5.3, 3.0, 440.0), (14.1, 2.0, 5000.0)):
        sound = tone(frequency_hz, length_s, rate_hz, 0.2)
        samples[int(start_s * rate_hz) : int(start_s * rate_hz) + len(sound)] += sound
    return samples


def blocks_of(samples, rate_hz, cuts=(), first_sample=0, gap=None):
    """Blocks that end at these shares of the samples."""
    bounds = sorted(set([0, len(samples)] + [int(cut * len(samples)) for cut in cuts]))
    return [
        AudioBlock(samples[a:b], rate_hz, first_sample + a, 0.0, gap if a == 0 else None)
        for a, b in zip(bounds, bounds[1:])
    ]


def hear(bundle, scorer, blocks, rate_hz, end_reason="stop"):
    pipeline = Pipeline(
        bundle, scorer, rate_hz, GateConfig(), EventsConfig(confirm_s=1.0, off_ratio=0.9), HOP_S, "test"
    )
    classifications, events = [], []
    for heard in [pipeline.push(block) for block in blocks] + [pipeline.finish(end_reason)]:
        classifications += heard.classifications
        events += heard.events
    return classifications, events, pipeline.clip_answer()


def assert_same(left, right):
    assert [
        c._replace(scores=None, score=None, foreign=None, level_dbfs=None, background_dbfs=None) for c in left[0]
    ] == [c._replace(scores=None, score=None, foreign=None, level_dbfs=None, background_dbfs=None) for c in right[0]]
    for a, b in zip(left[0], right[0]):
        assert a.scores == pytest.approx(b.scores, abs=1e-4) and a.foreign == pytest.approx(b.foreign, abs=1e-4)
        assert a.level_dbfs == pytest.approx(b.level_dbfs, abs=0.01)
        assert a.background_dbfs == pytest.approx(b.background_dbfs, abs=0.01)
    assert [e._replace(score_max=0, score_mean=0, laeq_dbfs=0) for e in left[1]] == [
        e._replace(score_max=0, score_mean=0, laeq_dbfs=0) for e in right[1]
    ]
    assert [e.laeq_dbfs for e in left[1]] == pytest.approx([e.laeq_dbfs for e in right[1]], abs=1e-9)
    assert left[2].windows == right[2].windows
    assert left[2].verdict.scores == pytest.approx(right[2].verdict.scores, abs=1e-4)
    assert left[2].verdict.accepted == right[2].verdict.accepted


@pytest.mark.parametrize("rate_hz", [16000, 22050, 44100, 96000])
def test_what_sounds_is_named_where_it_sounds(bundle, scorer, rate_hz):
    _, events, _ = hear(bundle, scorer, blocks_of(low_then_high(rate_hz), rate_hz, np.arange(0.0, 1.0, 0.005)), rate_hz)
    assert [(e.label, e.phase) for e in events] == [
        ("low", "start"),
        ("low", "end"),
        ("high", "start"),
        ("high", "end"),
    ]
    assert [e.start_s for e in events[1::2]] == pytest.approx([5.3, 14.1], abs=0.3)
    assert [e.end_s for e in events[1::2]] == pytest.approx([8.3, 16.1], abs=0.4)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([16000, 22050, 44100]), st.lists(st.floats(0, 1, exclude_max=True), max_size=40))
def test_the_blocks_of_a_source_make_no_difference(bundle, scorer, rate_hz, cuts):
    samples = low_then_high(rate_hz)
    tenths = hear(bundle, scorer, blocks_of(samples, rate_hz, np.arange(0.0, 1.0, 1 / 240.0)), rate_hz)
    assert_same(hear(bundle, scorer, blocks_of(samples, rate_hz, cuts), rate_hz), tenths)


def test_a_gap_ends_what_sounds_and_nothing_is_glued(bundle, scorer):
    """Two stretches of 0.6 s, one low and one high: glued, they would fill a window that holds both."""
    rate_hz, first_sample = 16000, 5 * 16000
    low, high = tone(440.0, 0.6, rate_hz), tone(5000.0, 0.6, rate_hz)
    blocks = blocks_of(low, rate_hz, [0.3]) + blocks_of(high, rate_hz, [0.7], first_sample, Gap("overflow", 70400))
    classifications, events, answer = hear(bundle, scorer, blocks, rate_hz)
    assert [(c.label, c.start_s, c.end_s) for c in classifications] == [("low", 0.0, 0.6), ("high", 5.0, 5.6)]
    assert [(e.label, e.phase, e.end_reason) for e in events] == [
        ("low", "start", None),
        ("low", "end", "gap"),
        ("high", "start", None),
        ("high", "end", "stop"),
    ]
    assert events[1].end_s <= 0.6 and events[2].start_s >= 5.0 and answer.windows == 2
    alone = [hear(bundle, scorer, blocks_of(part, rate_hz), rate_hz)[0][0].scores for part in (low, high)]
    assert [c.scores for c in classifications] == [pytest.approx(scores, abs=1e-6) for scores in alone]


@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("lost_s", [0.0, 0.01, 0.3, 7.77, 400.0, 90000.0])
def test_times_after_a_gap_are_those_of_the_source(bundle, scorer, rate_hz, lost_s):
    before = low_then_high(rate_hz)[: int(7.0 * rate_hz)]  # breaks off within the low tone
    first_sample = len(before) + int(lost_s * rate_hz)
    blocks = blocks_of(before, rate_hz, [0.31, 0.77]) + blocks_of(
        low_then_high(rate_hz), rate_hz, np.arange(0.0, 1.0, 0.01), first_sample, Gap("stall", int(lost_s * rate_hz))
    )
    classifications, events, _ = hear(bundle, scorer, blocks, rate_hz)
    base_s = first_sample / float(rate_hz)
    later = [c for c in classifications if c.start_s >= base_s]
    assert all(c.end_s <= 7.0 + 1e-9 for c in classifications if c not in later)
    assert later[0].start_s == pytest.approx(base_s) and later[0].end_s == pytest.approx(base_s + WINDOW_S)
    assert all(c.level_dbfs is not None for c in classifications)
    ends = [(e.label, e.end_reason) for e in events if e.phase == "end"]
    assert ends == [("low", "gap"), ("low", "quiet"), ("high", "quiet")]
    starts = [e.start_s for e in events if e.phase == "start"]
    assert starts == pytest.approx([5.3, base_s + 5.3, base_s + 14.1], abs=0.3)
    assert events[1].phase == "end" and 6.5 < events[1].end_s <= 7.0 + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40000), st.integers(0, 60000), st.booleans()), min_size=1, max_size=8))
def test_any_gaps_leave_pairs_of_events_and_times_within_what_was_heard(bundle, scorer, stretches):
    rate_hz, at, blocks, heard = 16000, 0, [], []
    sound = tone(440.0, 3.0, rate_hz)
    for samples, lost, is_gap in stretches:
        at += lost if is_gap else 0
        blocks.append(AudioBlock(sound[:samples], rate_hz, at, 0.0, Gap("overflow", lost) if is_gap else None))
        heard.append((at / float(rate_hz), (at + samples) / float(rate_hz)))
        at += samples
    classifications, events, _ = hear(bundle, scorer, blocks, rate_hz)
    bounds_s = [0.0] + [start for (start, _), stretch in zip(heard, stretches) if stretch[2]] + [float("inf")]
    for c in classifications:
        stretch = [(a, b) for a, b in zip(bounds_s, bounds_s[1:]) if a - 1e-9 <= c.start_s < b]
        assert stretch and c.end_s <= max(end for start, end in heard if start < stretch[0][1]) + 1e-9
    phases = {}
    for e in events:
        phases.setdefault(e.event_id, []).append(e.phase)
        assert e.end_s >= e.start_s
    assert all(seen[0] == "start" and seen[-1] == "end" and seen.count("end") == 1 for seen in phases.values())


@pytest.mark.parametrize("duration_s", [0.05, 0.0626, 0.1, 0.124, 0.3, 0.9])
@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_a_clip_shorter_than_the_window_is_named(bundle, scorer, duration_s, rate_hz):
    classifications, _, answer = hear(bundle, scorer, blocks_of(tone(440.0, duration_s, rate_hz), rate_hz), rate_hz)
    assert [(c.label, c.start_s) for c in classifications] == [("low", 0.0)]
    assert classifications[0].end_s == pytest.approx(duration_s, abs=1e-3)
    assert answer.verdict.label == "low" and answer.windows == 1


@pytest.mark.parametrize("duration_s", [0.0, 0.001, 0.04])
def test_less_than_fifty_milliseconds_is_no_clip(bundle, scorer, duration_s):
    classifications, events, answer = hear(bundle, scorer, blocks_of(tone(440.0, duration_s, 44100), 44100), 44100)
    assert (classifications, events, answer) == ([], [], None)


def test_digital_silence_is_nothing(bundle, scorer):
    classifications, events, answer = hear(bundle, scorer, blocks_of(np.zeros(48000, np.float32), 16000), 16000)
    assert events == [] and len(classifications) == 5
    assert all((c.label, c.reason, c.accepted, c.level_dbfs) == (None, "silence", (), None) for c in classifications)
    assert (answer.verdict.label, answer.verdict.reason) == (None, "silence")


def test_a_block_of_another_rate_is_the_callers_mistake(bundle, scorer):
    pipeline = Pipeline(bundle, scorer, 16000, GateConfig(), EventsConfig(), HOP_S, "test")
    with pytest.raises(ValueError, match="44100"):
        pipeline.push(AudioBlock(np.zeros(100, np.float32), 44100, 0, 0.0))
