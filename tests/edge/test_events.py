"""Events from windows: confirmed, bounded by the envelope, exactly one end for each start, whatever the hop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import EventsConfig
from edge.decision import Verdict
from edge.envelope import Envelope
from edge.events import EventDetector

RATE_HZ = 8000
WINDOW_S = 4.0
LABELS = ("dog_bark", "siren")


def scene(sounds, duration_s, bed=0.003):
    """Noise of a constant level with louder stretches [(start_s, end_s)]."""
    samples = np.random.RandomState(0).randn(int(duration_s * RATE_HZ)).astype(np.float32) * bed
    for start_s, end_s in sounds:
        samples[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)] *= 30.0
    return samples


def hear(sounds, duration_s, hop_s=1.0, config=EventsConfig(), label="siren"):
    """Run a detector over a scene; a window is accepted when it holds at least 0.8 s of sound, or a whole one."""
    envelope, samples = Envelope(RATE_HZ), scene(sounds, duration_s)
    detector = EventDetector(LABELS, config, envelope, hop_s, "test")
    changes, pushed, end_s = [], 0, WINDOW_S
    while end_s <= duration_s:
        envelope.push(samples[pushed : int(end_s * RATE_HZ)])
        pushed = int(end_s * RATE_HZ)
        held = any(min(end_s, b) - max(end_s - WINDOW_S, a) >= min(0.8, b - a) - 1e-9 for a, b in sounds)
        changes += detector.push(end_s - WINDOW_S, end_s, verdict(label if held else None))
        end_s += hop_s
    return changes + detector.finish("stop")


def verdict(label, score=0.9):
    scores = {name: score if name == label else 0.05 for name in LABELS}
    accepted = () if label is None else (label,)
    return Verdict(scores, label or LABELS[0], score, 0.1, accepted, accepted, None if label else "unsure")


@pytest.mark.parametrize("hop_s", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("sound", [(10.0, 13.0), (9.4, 10.0), (12.2, 30.0), (8.7, 14.3)])
def test_bounds_are_those_of_the_sound(sound, hop_s):
    start, end = hear([sound], 40.0, hop_s)
    assert (start.phase, end.phase, end.end_reason) == ("start", "end", "quiet")
    assert start.event_id == end.event_id and start.start_s == end.start_s
    assert abs(end.start_s - sound[0]) <= 0.3
    assert abs(end.end_s - sound[1]) <= 0.6


def test_of_several_barks_the_first_is_the_start():
    changes = hear([(10.0, 10.4), (11.0, 11.4), (12.0, 12.4)], 30.0, label="dog_bark")
    assert [c.phase for c in changes] == ["start", "end"]
    assert abs(changes[0].start_s - 10.0) <= 0.3 and abs(changes[1].end_s - 12.4) <= 0.6


def test_one_window_alone_starts_nothing():
    envelope = Envelope(RATE_HZ)
    detector = EventDetector(LABELS, EventsConfig(), envelope, 1.0, "test")
    envelope.push(scene([], 20.0))
    given_labels = [None, None, "siren", None, None, None]
    changes = [c for i, label in enumerate(given_labels) for c in detector.push(i, i + 4.0, verdict(label))]
    assert changes == [] and detector.finish("stop") == []


def test_a_recording_of_one_window_is_judged_by_that_window():
    envelope = Envelope(RATE_HZ)
    detector = EventDetector(LABELS, EventsConfig(), envelope, 1.0, "test")
    envelope.push(scene([(1.0, 2.0)], 3.0))
    detector.push(0.0, 3.0, verdict("dog_bark"))
    start, end = detector.finish("stop")
    assert end.end_reason == "stop" and abs(start.start_s - 1.0) <= 0.3 and abs(end.end_s - 2.0) <= 0.3


def test_a_sound_at_the_very_beginning_starts_at_the_beginning():
    start, end = hear([(0.0, 3.0)], 20.0)
    assert start.start_s <= 2.5 and abs(end.end_s - 3.0) <= 0.6


def test_a_long_event_is_updated_and_ended_once():
    changes = hear([(10.0, 100.0)], 120.0, config=EventsConfig(max_event_s=30.0))
    assert [c.phase for c in changes] == ["start", "update", "update", "end"] or [c.phase for c in changes] == [
        "start",
        "update",
        "update",
        "update",
        "end",
    ]
    assert len({c.event_id for c in changes}) == 1
    assert abs(changes[-1].end_s - 100.0) <= 0.6


def test_a_short_pause_is_merged_and_a_long_one_is_not():
    assert len(hear([(10.0, 14.0), (19.0, 23.0)], 50.0, config=EventsConfig(merge_gap_s=6.0))) == 2
    assert len(hear([(10.0, 14.0), (26.0, 30.0)], 50.0, config=EventsConfig(merge_gap_s=2.0))) == 4


def test_hysteresis_keeps_an_event_alive():
    envelope = Envelope(RATE_HZ)
    envelope.push(scene([(2.0, 12.0)], 30.0))
    detector = EventDetector(LABELS, EventsConfig(), envelope, 1.0, "test")
    changes = []
    for i in range(20):
        weak = Verdict({"dog_bark": 0.1, "siren": 0.4}, "siren", 0.4, 0.1, (), ("siren",), "unsure")
        changes += detector.push(i, i + 4.0, verdict("siren") if i < 4 else weak if i < 10 else verdict(None))
    assert [c.phase for c in changes] == ["start", "end"]
    assert changes[1].score_max == 0.9 and 0.5 < changes[1].score_mean < 0.9


LABEL_OR_NONE = st.sampled_from([None, "siren", "dog_bark"])


@settings(max_examples=200, deadline=None)
@given(st.lists(LABEL_OR_NONE, max_size=60), st.sampled_from([0.3, 1.0, 2.5]), st.integers(0, 59))
def test_exactly_one_end_for_each_start(labels, hop_s, break_at):
    envelope = Envelope(RATE_HZ)
    envelope.push(scene([(3.0, 5.0), (20.0, 40.0)], 60.0))
    detector = EventDetector(LABELS, EventsConfig(max_event_s=5.0), envelope, hop_s, "test")
    changes = []
    for i, label in enumerate(labels):
        if i == break_at:
            changes += detector.finish("gap")
        changes += detector.push(i * hop_s, i * hop_s + WINDOW_S, verdict(label))
    changes += detector.finish("stop")
    running = {}
    for change in changes:
        if change.phase == "start":
            assert change.label not in running.values() and change.event_id not in running
            running[change.event_id] = change.label
        else:
            assert running[change.event_id] == change.label
        if change.phase == "end":
            del running[change.event_id]
            assert change.end_s >= change.start_s + 0.3 - 1e-9 and change.end_reason in ("quiet", "gap", "stop")
    assert running == {} and detector.active_labels == ()
