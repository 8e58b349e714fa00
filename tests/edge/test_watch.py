import io
import json
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import SourceClock, UtcTime
from edge.config import MqttConfig
from edge.connection_errors import RefusedError
from edge.contract.examples import example_message
from edge.messages import MessageFactory, status_message
from edge.records import Classification, EventChange
from edge.watch import Watcher, WatchModel, render
from edge.watch_view import event_line, status_line
from tests.edge.socket_broker import SocketBroker, wait_until

LABELS = ("siren", "dog_bark")


class Node:
    """Builds what a node sends."""

    def __init__(self, name="corner", start_s=1790856896.0):
        self.factory = MessageFactory("soundclr", name, "urban", "boot-" + name, LABELS)
        self.clock = SourceClock(start_time_utc_s=start_s)
        self.name = name

    def classification(self, score=0.9, accepted=("siren",), **changes):
        values = dict(
            start_s=0.0,
            end_s=4.0,
            scores={"siren": score, "dog_bark": 1.0 - score},
            label="siren",
            score=score,
            foreign=0.125,
            accepted=accepted,
            level_dbfs=-30.0,
            background_dbfs=-50.0,
            reason=None if accepted else "foreign",
        )
        values.update(changes)
        return self.factory.build_classification("street", Classification(**values), self.clock)

    def event(self, phase, event_id="e1", end_s=15.0, label="siren"):
        reason = "quiet" if phase == "end" else None
        return self.factory.build_event(
            "street", EventChange(event_id, phase, label, 1.0, end_s, reason, 0.97, 0.9, 0.1), self.clock
        )

    def status(self, state="online", source=None):
        return status_message("soundclr", self.name, state, source)

    def everything(self):
        return [
            self.status(),
            self.status(source="street"),
            self.classification(),
            self.event("start"),
            self.event("end"),
            self.factory.build_state("street", UtcTime(1.0, True), ("siren",), -30.0, -50.0),
        ]


def feed(model, *messages):
    return [update for message in messages for update in model.feed(message.topic, message.payload, False)]


needs_rich = pytest.mark.skipif(sys.version_info < (3, 10), reason="rich comes with the demo, from Python 3.10")


def rendered(model):
    from rich.console import Console

    output = io.StringIO()
    Console(file=output, width=100, color_system=None).print(render(model, "127.0.0.1:1883"))
    return output.getvalue()


def test_model_knows_what_the_messages_told():
    model = WatchModel("soundclr")
    feed(model, *Node().everything())
    node = model.nodes["corner"]
    source = node.sources["street"]
    assert (node.status, source.status) == ("online", "online")
    assert list(source.scores.items()) == [("dog_bark", 0.1), ("siren", 0.9)]
    assert (source.label, source.accepted_label, source.foreign) == ("siren", "siren", 0.125)
    assert source.active == ("siren",)
    assert (model.messages, model.classifications, model.rubbish) == (6, 1, 0)
    assert model.events_started == {"siren": 1}


def test_event_grows_from_start_to_end_and_duplicates_do_not_count():
    model, node = WatchModel("soundclr"), Node()
    start, end = node.event("start", end_s=3.0), node.event("end")
    updates = feed(model, start, start, end, end)
    assert [update.kind for update in updates] == ["event_start", "event_end"]
    assert len(model.events) == 1
    assert (model.events[0].duration_s, model.events[0].end_reason) == (14.0, "quiet")
    feed(model, node.event("update"))  # out of order: an event that has ended stays so
    assert model.events[0].end_reason == "quiet"
    assert model.events_started == {"siren": 1}


def test_start_is_the_same_moment_from_start_to_end():
    model, node = WatchModel("soundclr"), Node()
    feed(model, node.event("start", end_s=3.0))
    at_start = model.events[0].start_ms
    feed(model, node.event("end"))
    assert model.events[0].start_ms == at_start == 1790856897000


def test_several_nodes_are_kept_apart_and_a_longer_root_works():
    model = WatchModel("town/noise")
    for name in ("corner", "bridge"):
        for message in Node(name).everything():
            model.feed(message.topic.replace("soundclr", "town/noise"), message.payload, False)
    assert sorted(model.nodes) == ["bridge", "corner"]
    assert model.rubbish == 0
    assert model.events_started == {"siren": 2}


RUBBISH = [
    ("soundclr/corner/status", b"asleep"),
    ("soundclr/corner/status", b"\xff"),
    ("soundclr/corner/health", b"[1, 2]"),
    ("soundclr/corner/street/classification", b"{not json"),
    ("soundclr", b"online"),
    ("other/corner/status", b"online"),
    ("soundclr/corner/street/classification", b'{"score_siren": "loud"}'),
    ("soundclr//street/status", b"online"),
    ("soundclr/corner/street/classification", b'{"score_siren": 1e9}'),
    ("soundclr/corner/street/event", b"{}"),
    ("soundclr/corner/street/classification", b'{"score_siren": NaN}'),
    ("soundclr/corner/street/event", b'{"id":1,"phase":"start","event_id":"e","label":"x","ts_ms":1e999}'),
    ("soundclr/corner/street/state", b"[" * 100000),
    ("soundclr/corner/street/level", b'{"calibrated": true, "laeq_db": 1e300}'),
    ("soundclr/corner/street/level", b'{"calibrated": false, "laeq_dbfs": "loud"}'),
    ("soundclr/corner/street/summary", b'{"calibrated": true, "la10_db": NaN}'),
]


@pytest.mark.parametrize(("topic", "payload"), RUBBISH)
def test_rubbish_is_counted_shown_and_never_raised(topic, payload):
    model = WatchModel("soundclr")
    updates = model.feed(topic, payload, False)
    assert model.rubbish == 1
    assert "unreadable" in event_line(updates[0])
    assert "\n" not in event_line(updates[0])


@needs_rich
def test_rubbish_shows_in_the_picture():
    model = WatchModel("soundclr")
    for topic, payload in RUBBISH:
        model.feed(topic, payload, False)
    assert "%d unreadable" % len(RUBBISH) in rendered(model)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "label",
        "score_siren",
        "foreign",
        "level_dbfs",
        "phase",
        "id",
        "event_id",
        "ts_ms",
        "duration_s",
        "active_siren",
        "reason",
        "accepted_label",
        "uptime_s",
        "site",
        "score_max",
        "calibrated",
        "bandwidth_hz",
        "laeq_db",
        "la90_dbfs",
    ]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "corner/info",
                    "corner/health",
                    "corner/street/classification",
                    "corner/street/event",
                    "corner/street/state",
                    "corner/street/level",
                    "corner/street/summary",
                ]
            ),
            st.dictionaries(KEYS, st.one_of(JSON, st.sampled_from(["start", "end"]))),
        ),
        max_size=4,
    )
)
def test_whatever_comes_can_be_shown(messages):
    model = WatchModel("soundclr")
    for topic, values in messages:
        for update in model.feed("soundclr/" + topic, json.dumps(values).encode(), False):
            event_line(update)
    for node in model.nodes:
        for source in model.nodes[node].sources:
            assert "\n" not in status_line(model, node, source)
    if sys.version_info >= (3, 10):
        rendered(model)


@needs_rich
def test_picture_shows_what_a_person_wants_to_know():
    model = WatchModel("soundclr")
    feed(model, *Node().everything())
    picture = rendered(model)
    for word in ("corner", "online", "street", "siren", "dog_bark", "foreign", "0.90", "14.0 s", "127.0.0.1:1883"):
        assert word in picture
    feed(model, Node().status("offline"))
    assert "offline" in rendered(model)


def test_lines_tell_of_start_and_end_and_of_what_is_not_accepted():
    model, node = WatchModel("soundclr"), Node()
    lines = [
        event_line(update)
        for update in feed(
            model,
            node.event("start", end_s=2.0),
            node.event("update"),
            node.event("end"),
            node.classification(accepted=()),
        )
    ]
    assert "corner/street  siren begins" in lines[0]
    assert "siren ends after 14.0 s (quiet, score 0.97)" in lines[2]
    assert lines[1] is lines[3] is None
    assert "siren 0.90, foreign 0.12 (foreign)" in status_line(model, "corner", "street")


def example(name, **values):
    """The contract's example of a message, as this node's, with other values."""
    message = example_message(name)
    payload = dict(json.loads(message.payload.decode("utf-8")), **values)
    return message._replace(
        topic=message.topic.replace("main-st-5th-ave/mic", "corner/street"), payload=json.dumps(payload).encode()
    )


def test_levels_are_told_in_the_unit_that_they_deserve():
    model = WatchModel("soundclr")
    feed(model, *Node().everything())
    feed(model, example("level"))
    assert "LAeq 63.4  LAFmax 68.2 dB(A): siren" in status_line(model, "corner", "street")
    feed(model, example("level", bandwidth_hz=8000.0))
    assert "LAeq 63.4  LAFmax 68.2 dB up to 8.0 kHz: siren" in status_line(model, "corner", "street")
    feed(model, example("level", calibrated=False, laeq_db=None, lafmax_db=None))
    assert "LAeq -49.8  LAFmax -45.0 dBFS, not calibrated: siren" in status_line(model, "corner", "street")
    feed(model, example("level", calibrated=False, laeq_dbfs=None, lafmax_dbfs=None))  # a second without valid sound
    assert "LAeq" not in status_line(model, "corner", "street")


def test_an_event_tells_how_loud_it_was():
    model = WatchModel("soundclr")
    (update,) = feed(model, example("event"))
    assert "LAeq 71.2  LAFmax 83.0 dB(A)" in event_line(update)


@needs_rich
def test_the_picture_shows_levels_and_those_of_the_last_minute_but_no_history():
    model = WatchModel("soundclr")
    feed(model, *Node().everything())
    feed(model, example("level"), example("summary"), example("summary", replayed=True, la10_db=99.9), example("event"))
    picture = rendered(model)
    for words in ("LAeq 63.4  LAFmax 68.2 dB(A)", "L10 65.9  L50 62.2  L90 58.7 dB(A)", "LAeq 71.2"):
        assert words in picture, picture
    feed(model, Node().status("offline", "street"))
    assert "LAeq 63.4" not in rendered(model)


def test_strangers_text_cannot_command_the_terminal():
    model = WatchModel("soundclr")
    event = Node().event("start")
    values = json.loads(event.payload.decode())
    values["label"] = "\x1b[2Jsiren\nfake line"
    update = model.feed(event.topic, json.dumps(values).encode(), False)[0]
    assert "\x1b" not in event_line(update)
    assert "\n" not in event_line(update)
    if sys.version_info >= (3, 10):
        assert "\x1b" not in rendered(model)


def test_strangers_text_cannot_command_the_terminal_at_the_end_either():
    watcher = Watcher(MqttConfig(), io.StringIO())
    event = Node().event("start")
    values = dict(json.loads(event.payload.decode()), label="\x1b[2Jsiren\nfake line")
    watcher.model.feed(event.topic, json.dumps(values).encode(), False)
    watcher.model.feed("soundclr/\x1b[2J/status", b"rubbish", False)
    assert "\x1b" not in watcher.summary() and len(watcher.summary().splitlines()) == 4


def test_labels_without_end_are_counted_together():
    model = WatchModel("soundclr")
    event = Node().event("start")
    for number in range(1000):
        values = dict(json.loads(event.payload.decode()), label="l%d" % number, event_id=str(number), id=str(number))
        model.feed(event.topic, json.dumps(values).encode(), False)
    assert len(model.events_started) == 501 and model.events_started["others"] == 500


def test_watcher_shows_a_nodes_life_over_mqtt():
    output = io.StringIO()
    with SocketBroker() as broker:
        watcher = Watcher(MqttConfig(port=broker.port), output)
        stop = threading.Event()
        thread = threading.Thread(target=watcher.run, kwargs={"stop_event": stop, "duration_s": 60.0})
        thread.start()
        assert wait_until(lambda: broker.client_ids)

        def is_heard():
            broker.send("soundclr/corner/status", b"online")
            return "corner" in watcher.model.nodes

        assert wait_until(is_heard)
        for message in Node().everything():
            broker.send(message.topic, message.payload)
        assert wait_until(lambda: "siren ends" in output.getvalue())
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
    assert "1 classifications from 1 node(s)" in watcher.summary()
    assert "events: 1 siren" in watcher.summary()
    assert "first classification after" in watcher.summary()


def test_watcher_waits_for_a_broker_that_is_not_there_and_ends_in_time():
    output = io.StringIO()
    with SocketBroker() as broker:
        port = broker.port
    watcher = Watcher(MqttConfig(port=port), output)
    watcher.run(duration_s=0.5)
    assert output.getvalue().count("nothing listens there") == 1
    assert "no classification came" in watcher.summary()


def test_watcher_comes_back_after_the_broker_went():
    with SocketBroker() as broker:
        watcher, stop = Watcher(MqttConfig(port=broker.port), io.StringIO()), threading.Event()
        thread = threading.Thread(target=watcher.run, kwargs={"stop_event": stop})
        thread.start()
        assert wait_until(lambda: broker.connections == 1)
        broker.drop_all()
        assert wait_until(lambda: broker.connections == 2)
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_refused_watcher_says_so_instead_of_trying_for_ever():
    with SocketBroker(connack=5) as broker, pytest.raises(RefusedError, match="not authorised"):
        Watcher(MqttConfig(port=broker.port), io.StringIO()).run(duration_s=20.0)
