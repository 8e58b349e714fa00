"""Messages from before the machine knew the time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SourceClock, SystemClock
from edge.messages import MessageFactory
from edge.outbox import Outbox
from edge.records import Dating, EventChange
from edge.redating import Redater, redate
from edge.store import MemoryStore

GUESS_S, TRUTH_S = 1517000000.0, 1790000000.0  # what the board woke up with, and what it was


class Board:
    """A machine whose wall clock is set by hand."""

    def __init__(self):
        self.now_s, self.offset_s, self.synced = 1000.0, GUESS_S - 1000.0, False
        self.clock = SystemClock(lambda: self.synced, lambda: self.now_s, lambda: self.now_s + self.offset_s)

    def learn_the_time(self):
        """Three hours later a time server answers."""
        self.now_s += 3 * 3600.0
        self.offset_s, self.synced = TRUTH_S - 1000.0, True


def build_event(board, phase="end"):
    """An event of 2.5 s that began when the board's monotonic clock stood at 1010.25 s."""
    clock = SourceClock(system=board.clock)
    clock.observe(0, 48000, 1000.0)
    change = EventChange("e-1", phase, "siren", 10.25, 12.75, "quiet" if phase == "end" else None, 0.9, 0.8, 0.25)
    return MessageFactory("soundclr", "corner", "urban", "b00f", ["siren"]).build_event("street", change, clock)


def values_of(message):
    return json.loads(message.payload.decode("utf-8"))


@pytest.mark.parametrize("phase", ["start", "end"])
def test_every_time_of_a_message_moves_to_the_true_one(phase):
    board = Board()
    message = build_event(board, phase)
    before = values_of(message)
    assert (before["clock"], before["start"]) == ("unsynced", "2018-01-26T20:53:30.250Z")
    board.learn_the_time()
    corrected = Redater(board.clock).correct(message)
    after = values_of(corrected)
    assert after["start"] == "2026-09-21T14:13:30.250Z"
    assert after["end"] == "2026-09-21T14:13:32.750Z"
    assert after["time"] == after[phase]
    assert after["ts_ms"] == int(TRUTH_S * 1000) + (10250 if phase == "start" else 12750)
    assert after["clock"] == "synced"
    moved = ("start", "end", "time", "ts_ms", "clock")
    assert {k: v for k, v in after.items() if k not in moved} == {k: v for k, v in before.items() if k not in moved}
    assert corrected.dating is None and corrected._replace(payload=b"", dating=None) == message._replace(
        payload=b"", dating=None
    )


def test_while_the_time_is_not_known_nothing_is_claimed():
    board = Board()
    message = build_event(board)
    assert Redater(board.clock).correct(message) is message


def test_what_was_dated_well_is_never_touched_whatever_the_clock_does_later():
    board = Board()
    board.learn_the_time()
    message = build_event(board)
    assert message.dating is None and values_of(message)["clock"] == "synced"
    board.offset_s += 7200.0
    assert Redater(board.clock).correct(message) is message


def test_another_start_of_the_machine_says_nothing_about_the_time():
    board = Board()
    message = build_event(board)
    message = message._replace(dating=Dating("an-earlier-start", message.dating.monotonic_s))
    board.learn_the_time()
    assert Redater(board.clock).correct(message) is message


@pytest.mark.parametrize(
    "payload",
    [b"", b"no json", b"[1]", b"{}", b'{"type":"event"}', b'{"type":"what","ts_ms":5}']
    + [b'{"type":"event","ts_ms":5,"start":%s}' % start for start in (b"7", b'"yesterday"', b'""')],
)
def test_what_is_not_as_we_build_it_goes_out_as_it_is(payload):
    message = build_event(Board())._replace(payload=payload)
    assert redate(message, 0.0) is message


def test_the_store_keeps_the_guess_and_the_broker_gets_the_truth():
    board = Board()
    store, sent = MemoryStore(), []
    outbox = Outbox(
        store,
        monotonic_s=lambda: board.now_s,
        wall_s=lambda: board.now_s + board.offset_s,
        redater=Redater(board.clock),
    )
    outbox.add(build_event(board))
    board.learn_the_time()
    assert outbox.send_next(lambda message: sent.append(message) or 1)
    values = values_of(sent[0])
    assert (values["clock"], values["start"]) == ("synced", "2026-09-21T14:13:30.250Z")
    assert values["replayed"] is True  # three hours late, by the true time


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1e7), st.floats(0, 4e9), st.floats(0, 1e5), st.floats(0, 3600))
def test_durations_stay_and_moments_are_right_to_the_millisecond(monotonic_s, truth_s, start_s, length_s):
    board = Board()
    board.now_s = monotonic_s
    clock = SourceClock(system=board.clock)
    clock.observe(0, 48000, monotonic_s)
    change = EventChange("e-1", "start", "siren", start_s, start_s + length_s, None, 0.9, 0.8, 0.25)
    message = MessageFactory("soundclr", "corner", "urban", "b00f", ["siren"]).build_event("street", change, clock)
    before, after = values_of(message), values_of(redate(message, truth_s - monotonic_s))
    assert after["ts_ms"] == pytest.approx(1000 * (truth_s + start_s), abs=1)
    assert after["time"] == after["start"]
    assert _ms(after["end"]) - _ms(after["start"]) == _ms(before["end"]) - _ms(before["start"])


def _ms(text):
    import datetime as dt

    since = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ") - dt.datetime(1970, 1, 1)
    return (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000
