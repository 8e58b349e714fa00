"""Counting of captured samples: whatever is lost, stream time keeps up with the clock."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources import framing
from edge.sources.framing import FramingError, Record
from edge.sources.timeline import CaptureTimeline

RATE_HZ = 16000
FRAMES = 1600


def _timeline():
    counters = {"overflows": 0, "skips": 0, "drifts": 0, "lost_samples": 0}
    return CaptureTimeline(counters), counters


def _record(first_frame, captured_s, **more):
    return Record(framing.AUDIO, b"", first_frame, int(captured_s * 1e9), FRAMES, **more)


def _place_steadily(timeline, seconds, start_s=0.0, slow=1.0, first_frame=0):
    return [
        _place(timeline, _record(first_frame + i * FRAMES, start_s + i * 0.1 * slow)) for i in range(int(seconds * 10))
    ]


def _place(timeline, record):
    timeline.watch(record, RATE_HZ)
    return timeline.place(record, RATE_HZ)


def test_a_steady_stream_has_no_gaps():
    timeline, counters = _timeline()
    placements = _place_steadily(timeline, 60)
    assert [placement.first_sample for placement in placements] == [i * FRAMES for i in range(600)]
    assert not any(placement.gap for placement in placements)
    assert set(counters.values()) == {0}


@pytest.mark.parametrize("slow", [1 - 2e-4, 1 + 2e-4])
def test_a_clock_that_is_a_little_wrong_is_no_loss(slow):
    timeline, _ = _timeline()
    assert not any(placement.gap for placement in _place_steadily(timeline, 600, slow=slow))


def test_sound_lost_without_a_word_is_found_by_the_clock():
    timeline, counters = _timeline()
    _place_steadily(timeline, 30)
    later = _place_steadily(timeline, 30, start_s=30.5, first_frame=300 * FRAMES)  # half a second is missing
    gaps = [placement.gap for placement in later if placement.gap]
    assert len(gaps) == 1
    assert gaps[0].reason == "overflow"
    assert counters["lost_samples"] == pytest.approx(0.5 * RATE_HZ, abs=2)


def test_an_overflow_is_measured_by_the_clock():
    timeline, counters = _timeline()
    _place(timeline, _record(0, 1.0))
    placement = _place(timeline, _record(FRAMES, 3.1, overflow=True))
    assert placement.gap == ("overflow", 2 * RATE_HZ)
    assert (counters["overflows"], counters["lost_samples"]) == (1, 2 * RATE_HZ)


def test_a_lost_device_outlives_other_reasons():
    timeline, _ = _timeline()
    _place(timeline, _record(0, 1.0))
    for reason in ("stall", "device_lost", "restart"):
        timeline.interrupt(reason)
    assert _place(timeline, _record(0, 6.1)).gap == ("device_lost", 5 * RATE_HZ)


def test_an_interruption_before_the_first_sound_loses_nothing():
    timeline, _ = _timeline()
    timeline.interrupt("stall")
    assert _place(timeline, _record(0, 100.0)) == (0, None)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["steady", "drop", "overflow", "restart"]), st.integers(1, 10**6)), max_size=40)
)
def test_samples_given_and_lost_add_up_and_follow_the_clock(steps):
    timeline, counters = _timeline()
    now, frame, placed = 0, 0, 0  # now in samples since the start
    for step, lost in [("steady", 0)] + steps:
        lost = 0 if step == "steady" else lost
        now += lost
        if step == "restart":
            timeline.interrupt("restart")
            timeline.begin_stream()
            frame = 0
        elif step == "drop":
            frame += lost
        record = Record(framing.AUDIO, b"", frame, round(now * 1e9 / RATE_HZ), FRAMES, overflow=step == "overflow")
        placement = _place(timeline, record)
        placed += FRAMES
        assert abs(placement.first_sample - now) <= 2 * len(steps)  # each gap may round by a sample
        assert placement.first_sample + FRAMES == placed + counters["lost_samples"]
        now += FRAMES
        frame += FRAMES


@settings(max_examples=200, deadline=None)
@given(payloads=st.lists(st.binary(max_size=300), max_size=5), cut=st.integers(1, 64), overflow=st.booleans())
def test_records_survive_any_cutting_of_the_pipe(payloads, cut, overflow):
    sent = [Record(framing.AUDIO, payload, 2**40 + i, -i, 7, 3, overflow) for i, payload in enumerate(payloads)]
    data = b"".join(framing.bytes_from_record(record) for record in sent)
    buffer, received = bytearray(), []
    for start in range(0, len(data), cut):
        buffer += data[start : start + cut]
        record = framing.take_record(buffer)
        while record is not None:
            received.append(record)
            record = framing.take_record(buffer)
    assert received == sent
    assert not buffer


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=100))
def test_garbage_is_refused_or_waited_on_but_never_a_record(data):
    buffer = bytearray(b"x" + data)
    with pytest.raises(FramingError):
        framing.take_record(buffer)
