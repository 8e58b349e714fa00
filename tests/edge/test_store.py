from hypothesis import given
from hypothesis import strategies as st

from edge.records import Message
from edge.store import MemoryStore


def make_message(number):
    return Message("t", b"%d" % number, 1, False, True)


def test_rows_stay_until_acknowledged_and_come_oldest_first():
    with MemoryStore() as store:
        rows = [store.put(make_message(number)) for number in range(5)]
        store.ack(rows[1])
        store.ack(rows[1])
        assert [stored[:2] for stored in store.peek(3)] == [(rows[n], make_message(n)) for n in (0, 2, 3)]
        assert store.peek(3) == store.peek(3)
        assert [stored.row for stored in store.peek(3, after=rows[2])] == [rows[3], rows[4]]
        assert store.sendable_row == rows[4] and store.flush(0.0) and store.open_events() == []
        assert store.counts()[:4] == (4, 0, "memory", 4)


def test_age_and_size_of_what_waits():
    now = [1000.0]
    store = MemoryStore(wall_s=lambda: now[0])
    assert store.counts().oldest_s is None and store.counts().bytes == 0
    rows = [store.put(make_message(10)), store.put(make_message(1))]
    now[0] += 60.0
    assert store.counts().oldest_s == 60.0 and store.counts().bytes == 3
    store.ack(rows[0])
    assert store.counts().oldest_s == 60.0 and store.counts().bytes == 1


def test_full_store_drops_the_oldest_and_counts_it():
    store = MemoryStore(max_rows=3)
    rows = [store.put(make_message(number)) for number in range(5)]
    assert [stored.message.payload for stored in store.peek(10)] == [b"2", b"3", b"4"]
    assert store.counts()[:2] == (3, 2)
    store.ack(rows[0])  # dropped long ago: no error
    assert store.counts()[:2] == (3, 2)


@given(st.lists(st.one_of(st.just("put"), st.integers(0, 30)), max_size=60), st.integers(1, 10))
def test_behaves_as_a_bounded_list(actions, max_rows):
    store, model, rows, dropped = MemoryStore(max_rows), [], [], 0
    for number, action in enumerate(actions):
        if action == "put":
            rows.append(store.put(make_message(number)))
            model.append((rows[-1], make_message(number)))
            if len(model) > max_rows:
                model.pop(0)
                dropped += 1
        elif action < len(rows):
            store.ack(rows[action])
            model = [item for item in model if item[0] != rows[action]]
        assert [stored[:2] for stored in store.peek(100)] == model
        assert store.counts()[:2] == (len(model), dropped)
        assert store.counts().bytes == sum(len(message.payload) for _, message in model)
    assert rows == sorted(set(rows))
