import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outbox import Outbox
from edge.records import Message
from edge.store import MemoryStore


class Time:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class Wire:
    """Takes what is sent; ids are given anew by each connection, as paho does."""

    def __init__(self):
        self.sent, self.message_id, self.is_cut = [], 0, False

    def send(self, message):
        if self.is_cut:
            raise OSError("cut")
        self.message_id += 1
        self.sent.append(message)
        return self.message_id

    def numbers(self):
        return [json.loads(message.payload.decode())["n"] for message in self.sent]

    def replayed(self):
        return [json.loads(message.payload.decode())["replayed"] for message in self.sent]


def make_message(number, at_s):
    payload = {"n": number, "ts_ms": int(at_s * 1000), "replayed": False}
    return Message("t", json.dumps(payload).encode(), 1, False, True)


def make_outbox(store=None, window=20, remembered=1024, replay_rate_hz=1e9):
    now = Time()
    return Outbox(store or MemoryStore(), window, remembered, replay_rate_hz, monotonic_s=now, wall_s=now), now


def send_all(outbox, wire):
    """Send what may go, without the broker's word.  Returns the ids."""
    before = wire.message_id
    while outbox.send_next(wire.send):
        pass
    return range(before + 1, wire.message_id + 1)


def drain(outbox, wire):
    """Send and acknowledge until nothing may go any more."""
    while True:
        sent = send_all(outbox, wire)
        if not sent:
            return
        for message_id in sent:
            outbox.acknowledge(message_id)


def test_no_more_than_a_window_is_on_its_way():
    outbox, now = make_outbox(window=3)
    wire = Wire()
    for number in range(5):
        outbox.add(make_message(number, now()))
    while outbox.send_next(wire.send):
        pass
    assert wire.numbers() == [0, 1, 2]
    assert outbox.in_flight == 3
    outbox.acknowledge(2)
    assert outbox.send_next(wire.send)
    assert wire.numbers() == [0, 1, 2, 3]


def test_acknowledged_rows_leave_the_store_and_foreign_ids_do_nothing():
    store = MemoryStore()
    outbox, now = make_outbox(store)
    outbox.add(make_message(0, now()))
    outbox.acknowledge(77)
    outbox.send_next(Wire().send)
    assert store.counts().waiting == 1
    outbox.acknowledge(1)
    assert store.counts().waiting == 0


def test_after_a_lost_connection_the_unacknowledged_go_again_first_and_in_order():
    outbox, now = make_outbox()
    first, second = Wire(), Wire()
    for number in range(4):
        outbox.add(make_message(number, now()))
    while outbox.send_next(first.send):
        pass
    outbox.acknowledge(2)
    outbox.forget_connection()
    outbox.add(make_message(4, now()))
    while outbox.send_next(second.send):
        pass
    assert second.numbers() == [0, 2, 3, 4]
    assert second.replayed() == [False] * 4


def test_news_do_not_wait_behind_a_backlog_which_says_that_it_is_one():
    outbox, now = make_outbox(window=2)
    wire = Wire()
    for number in range(5):
        outbox.add(make_message(number, now()))
    now.now_s += 60.0
    outbox.add(make_message(5, now()))
    for _ in range(10):
        while outbox.send_next(wire.send):
            pass
        for message_id in range(1, wire.message_id + 1):
            outbox.acknowledge(message_id)
    assert wire.numbers() == [5, 0, 1, 2, 3, 4]
    assert wire.replayed() == [False] + [True] * 5


def test_rows_of_an_earlier_start_are_sent_and_old_ones_marked():
    clock = Time()
    store = MemoryStore(wall_s=clock)
    for number, age_s in enumerate((3600.0, 31.0, 5.0, -10.0)):
        clock.now_s = 1000.0 - age_s
        store.put(make_message(number, clock.now_s))
    clock.now_s = 1000.0 + 3600.0
    store.put(make_message(4, clock.now_s))  # the clock has been set back since
    outbox, _ = make_outbox(store)
    wire = Wire()
    drain(outbox, wire)
    assert wire.numbers() == [0, 1, 2, 3, 4]
    assert wire.replayed() == [True, True, False, False, True]


def test_what_tells_of_long_ago_is_news_while_it_is_being_played():
    clock = Time()
    store = MemoryStore(wall_s=clock)
    store.put(make_message(0, 5.0))
    clock.now_s += 1.0
    store.put(make_message(1, 9999.0))
    outbox, _ = make_outbox(store)
    outbox.add(make_message(2, 5.0))
    wire = Wire()
    drain(outbox, wire)
    assert wire.numbers() == [2, 0, 1]
    assert wire.replayed() == [False] * 3


def test_a_live_message_counts_from_its_own_time():
    outbox, now = make_outbox()
    outbox.add(make_message(0, now() - 10.0))
    outbox.add(make_message(1, now()))
    now.now_s += 21.0
    wire = Wire()
    drain(outbox, wire)
    assert dict(zip(wire.numbers(), wire.replayed())) == {0: True, 1: False}


class SlowDisk(MemoryStore):
    """Holds rows back until they count as written."""

    written = 0

    @property
    def sendable_row(self):
        return self.written

    def peek(self, limit, after=0):
        return [stored for stored in super().peek(limit, after) if stored.row <= self.written]


def test_nothing_is_sent_before_it_is_written():
    store = SlowDisk()
    outbox, now = make_outbox(store)
    wire = Wire()
    for number in range(3):
        outbox.add(make_message(number, now()))
        assert not outbox.send_next(wire.send)
    store.written = 2
    outbox.look_again()
    drain(outbox, wire)
    assert wire.numbers() == [0, 1]
    store.written = 3
    assert outbox.send_next(wire.send) and not outbox.send_next(wire.send)
    assert wire.numbers() == [0, 1, 2]


def test_rows_to_be_sent_once_more_are_found_when_told():
    store = MemoryStore()
    outbox, now = make_outbox(store)
    wire = Wire()
    assert not outbox.send_next(wire.send)
    store.put(make_message(0, now()))
    outbox.look_again()
    assert outbox.send_next(wire.send)


def test_a_send_that_fails_leaves_the_row_unsent():
    outbox, now = make_outbox()
    outbox.add(make_message(0, now()))
    wire = Wire()
    wire.is_cut = True
    with pytest.raises(OSError, match="cut"):
        outbox.send_next(wire.send)
    wire.is_cut = False
    assert outbox.send_next(wire.send)
    assert wire.numbers() == [0]


def make_backlog(rows, **options):
    store = MemoryStore(max_rows=rows + 1000)
    for number in range(rows):
        store.put(make_message(number, 0.0))
    return make_outbox(store, **options)


def test_a_backlog_goes_at_its_rate_and_what_is_due_next_is_known():
    outbox, now = make_backlog(1000, replay_rate_hz=50.0)
    wire = Wire()
    for _ in range(100):
        drain(outbox, wire)
        assert 0.0 < outbox.due_in_s() <= 0.02
        now.now_s += 0.1
    assert 500 <= len(wire.sent) <= 505
    now.now_s += outbox.due_in_s()
    assert outbox.due_in_s() == 0.0
    assert wire.numbers() == list(range(len(wire.sent)))


def test_a_turn_that_comes_late_does_not_send_a_flood():
    outbox, now = make_backlog(1000, replay_rate_hz=50.0)
    wire = Wire()
    drain(outbox, wire)
    now.now_s += 60.0
    before = len(wire.sent)
    drain(outbox, wire)
    assert len(wire.sent) - before <= 5


def test_news_find_room_whatever_of_the_backlog_is_on_its_way():
    outbox, now = make_backlog(1000, window=20)
    wire = Wire()
    for _ in range(50):  # the broker answers at once, and then not any more
        for message_id in send_all(outbox, wire):
            outbox.acknowledge(message_id)
    send_all(outbox, wire)
    assert outbox.in_flight == 10
    assert outbox.due_in_s() is None
    for number in range(5):
        outbox.add(make_message(5000 + number, now()))
        assert outbox.due_in_s() == 0.0
        assert outbox.send_next(wire.send)
    assert wire.numbers()[-5:] == [5000, 5001, 5002, 5003, 5004]


def test_a_slow_link_has_few_of_the_backlog_on_their_way():
    """A link that takes a message in 0.4 s: what is on its way stays below 2 s of it, so news wait no longer."""
    outbox, now = make_backlog(1000, replay_rate_hz=50.0)
    wire, on_the_link, most_waiting_s = Wire(), [], 0.0
    free_at_s = now()
    for _ in range(3000):
        for message_id in send_all(outbox, wire):
            free_at_s = max(free_at_s, now()) + 0.4
            on_the_link.append((free_at_s, message_id))
        most_waiting_s = max(most_waiting_s, free_at_s - now())
        now.now_s += 0.05
        while on_the_link and on_the_link[0][0] <= now():
            outbox.acknowledge(on_the_link.pop(0)[1])
    assert most_waiting_s <= 2.0
    assert len(wire.sent) > 300  # of 375 that the link takes: it is used nearly to the full


def test_a_broker_that_owes_its_word_is_known():
    outbox, now = make_outbox()
    assert outbox.oldest_in_flight_s() == 0.0
    outbox.add(make_message(0, now()))
    outbox.send_next(Wire().send)
    now.now_s += 7.0
    assert outbox.oldest_in_flight_s() == 7.0
    outbox.acknowledge(1)
    assert outbox.oldest_in_flight_s() == 0.0


class Forgetful(MemoryStore):
    """Stands for one on a disk: takes no memory for what it holds."""

    rows = 0

    def put(self, message):
        self.rows += 1
        return self.rows


def test_an_absent_broker_does_not_fill_the_memory():
    outbox, now = make_outbox(Forgetful(), remembered=100000)
    tracemalloc.start()
    try:
        for number in range(10000):
            outbox.add(Message("t", b"x" * 1000 + b"%d" % number, 1, False, True))
            now.now_s += 1.0
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes < 500000  # of the 10 MB that went through


ACTIONS = st.lists(
    st.one_of(st.sampled_from(["add", "send", "send", "lose", "wait"]), st.integers(1, 12)), max_size=120
)


@given(ACTIONS, st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_every_row_arrives_and_none_twice_in_one_connection(actions, window, remembered):
    store = MemoryStore()
    outbox, now = make_outbox(store, window, remembered)
    wire, wires, added, acknowledged = Wire(), [], 0, set()

    def acknowledge(message_id):
        outbox.acknowledge(message_id)
        acknowledged.add(wire.numbers()[message_id - 1])

    for action in actions + ["lose"]:
        if action == "add":
            outbox.add(make_message(added, now()))
            added += 1
        elif action == "send":
            outbox.send_next(wire.send)
        elif action == "lose":
            outbox.forget_connection()
            wires.append(wire)
            wire = Wire()
        elif action == "wait":
            now.now_s += 20.0
        elif action <= wire.message_id:
            acknowledge(action)
        assert outbox.in_flight <= window
    answered = 0
    while outbox.send_next(wire.send) or answered < wire.message_id:
        answered = wire.message_id
        for message_id in range(1, answered + 1):
            acknowledge(message_id)
    for each in wires + [wire]:
        assert len(set(each.numbers())) == len(each.sent)
        old = [n for n, is_replayed in zip(each.numbers(), each.replayed()) if is_replayed]
        assert old == sorted(old)
    assert acknowledged == set(range(added))
    assert store.counts().waiting == 0
