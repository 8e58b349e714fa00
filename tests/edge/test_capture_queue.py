"""The child's queue: PortAudio never waits, and a parent that is late gets the newest."""

import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.capture_queue import CaptureQueue

RATE_HZ, FRAMES, CAPACITY = 16000, 800, 10


def make_queue():
    return CaptureQueue(RATE_HZ, 2, capacity_blocks=CAPACITY)


def put(queue, count, status=0):
    for _ in range(count):
        queue.put(b"\0\0" * FRAMES, status)


def drain(queue):
    records = []
    while True:
        record = queue.get(0.0)
        if record is None:
            return records
        records.append(record)


def test_the_older_half_goes_at_once_and_the_next_block_tells_of_it():
    queue = make_queue()
    put(queue, CAPACITY + 1)
    records = drain(queue)
    assert [record.first_frame // FRAMES for record in records] == [5, 6, 7, 8, 9, 10]
    assert records[0].dropped_frames == 5 * FRAMES
    assert not any(record.dropped_frames for record in records[1:])


def test_an_overflow_that_is_dropped_with_its_block_is_still_told():
    queue = make_queue()
    put(queue, 1, status=2)
    put(queue, CAPACITY)
    records = drain(queue)
    assert records[0].overflow and not any(record.overflow for record in records[1:])


def test_a_reader_is_woken_and_an_empty_queue_waited_for():
    queue = make_queue()
    assert queue.get(0.01) is None
    threading.Timer(0.05, put, (queue, 1)).start()
    assert queue.get(30.0) is not None


def test_the_time_is_of_the_first_frame():
    queue, before_s = make_queue(), time.monotonic()
    put(queue, 1)
    captured_s = queue.get(0.0).captured_ns * 1e-9
    assert before_s - 0.05 - 1e-3 <= captured_s <= time.monotonic() - 0.05


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=20))
def test_every_frame_is_given_or_counted_and_no_more_than_the_capacity_waits(steps):
    queue, records, sent = make_queue(), [], 0
    for puts, gets in steps:
        put(queue, puts)
        sent += puts
        records += [record for record in (queue.get(0.0) for _ in range(gets)) if record is not None]
    rest = drain(queue)
    assert len(rest) <= CAPACITY
    records += rest
    position = 0
    for record in records:
        assert record.first_frame == position + record.dropped_frames
        position = record.first_frame + record.frames
    assert position == sent * FRAMES
