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
        assert store.peek(3) == [(rows[0], make_message(0)), (rows[2], make_message(2)), (rows[3], make_message(3))]
        assert store.peek(3) == store.peek(3)
        assert store.counts() == (4, 0)


def test_full_store_drops_the_oldest_and_counts_it():
    store = MemoryStore(max_rows=3)
    rows = [store.put(make_message(number)) for number in range(5)]
    assert [message.payload for _, message in store.peek(10)] == [b"2", b"3", b"4"]
    assert store.counts() == (3, 2)
    store.ack(rows[0])  # dropped long ago: no error
    assert store.counts() == (3, 2)


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
        assert store.peek(100) == model
        assert store.counts() == (len(model), dropped)
    assert rows == sorted(set(rows))
