"""What a microphone's faults do to the node behind it: nothing is forgotten, nothing glued, nothing left open."""

import datetime as dt
import json
import threading
import time

import pytest

from edge.config import Config, EventsConfig, GateConfig, ModelConfig, NodeConfig, PublishConfig, SourceConfig
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.scorer import Scorer
from edge.scorer_choice import open_listening_scorer
from edge.sources import faults
from engines.bundle import load_bundle
from tests.edge.microphones import make_microphone
from tests.engines.bundles import write_tiny_bundle

_GUARD_S = 60.0  # hang guard; other work on this machine may take most of its time
_HOP_S = 0.25


class Node:
    """One listener with the tiny model, a microphone whose child misbehaves, and all that it published."""

    def __init__(self, folder, source):
        self.source, self.messages = source, []
        config = Config(
            NodeConfig("corner"),
            (SourceConfig("mic", "microphone"),),
            model=ModelConfig(hop_s=_HOP_S),
            gate=GateConfig(over_background_db=0.0, floor_dbfs=-100.0),
            events=EventsConfig(confirm_s=0.5, confirm_share=0.5),
            publish=PublishConfig(classification_interval_s=0.1, state_interval_s=60.0),
        )
        bundle = load_bundle(write_tiny_bundle(folder / "tiny"))
        factory = MessageFactory("soundclr", "corner", bundle.id, "b00f", bundle.labels, ["mic"])
        self.stop = threading.Event()
        self.listener = Listener(config, config.source[0], bundle, factory, "b00f", self._take, self.stop)
        self.factory = factory

    def _take(self, message):
        self.messages.append((time.time(), message))

    def said(self, kind):
        """Payloads of one topic, oldest first; JSON where they are."""
        found = [message.payload for _, message in list(self.messages) if message.topic.endswith("/mic/" + kind)]
        return [payload.decode() if kind == "status" else json.loads(payload.decode()) for payload in found]

    def wait_until(self, condition):
        deadline_s = time.monotonic() + _GUARD_S
        while not condition():
            assert self.listener.failure is None, self.listener.failure
            assert time.monotonic() < deadline_s, "it did not happen; faults %s" % self.faults()
            time.sleep(0.02)

    def faults(self):
        """Every code that the source's state has told, without repetitions."""
        codes = [state["fault"] for state in self.said("state")]
        return [code for index, code in enumerate(codes) if index == 0 or codes[index - 1] != code]


@pytest.fixture
def node_with(tmp_path, monkeypatch):
    """Starts a node whose microphone's child behaves in one way; stops it at the end."""
    nodes = []
    with make_microphone(tmp_path) as make:

        def start(mode, **options):
            node = Node(tmp_path, make(mode, **options))
            monkeypatch.setattr("edge.listener.source_from_config", lambda config, **_options: node.source)
            node.listener.start()
            nodes.append(node)
            return node

        yield start
        for node in nodes:
            node.stop.set()
            assert node.listener.join(_GUARD_S)


def _epoch_s(text):
    return (dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ") - dt.datetime(1970, 1, 1)).total_seconds()


def test_a_device_that_goes_and_comes_again_ends_what_ran_and_nothing_is_forgotten(node_with):
    node = node_with("day")
    node.wait_until(lambda: node.said("event"))
    node.wait_until(lambda: "offline" in node.said("status"))
    node.wait_until(lambda: any(event["phase"] == "end" for event in node.said("event")))
    ended = [event for event in node.said("event") if event["phase"] == "end"]
    assert ended[0]["end_reason"] == "gap"  # at once, and not when the device is back
    assert ended[0]["event_id"] == node.said("event")[0]["event_id"]
    windows = node.listener.counts.windows
    node.wait_until(lambda: node.listener.counts.windows > windows + 8)
    assert node.said("status") == ["online", "offline", "online"]
    codes = node.faults()
    assert codes[0] is None and codes[-1] is None
    assert codes[1:-1] in ([faults.DIED, faults.MISSING], [faults.MISSING])
    health = node.listener.health()
    assert health["fault_mic"] is None and health["gaps_mic"] == 1 and health["restarts_mic"] == 6
    assert health["lost_s_mic"] > 0.1


@pytest.mark.parametrize("mode", ["day", "stall"])
def test_no_window_spans_a_gap(node_with, mode):
    node = node_with(mode)
    node.wait_until(lambda: node.listener.counts.gaps >= 1)
    windows = node.listener.counts.windows
    node.wait_until(lambda: node.listener.counts.windows > windows + 4)
    hops = [(_epoch_s(hop["start"]), _epoch_s(hop["end"])) for hop in node.said("classification")]
    assert all(0.9 < end - start < 1.1 for start, end in hops if end - start > 0.9)  # a window's sound, and no gap
    jumps = [index for index in range(1, len(hops)) if hops[index][0] - hops[index - 1][0] > 1.5 * _HOP_S]
    assert len(jumps) == 1  # after the gap the first window begins with the first sound, a whole window later
    assert hops[jumps[0]][0] >= hops[jumps[0] - 1][1]


class _SlowScorer(Scorer):
    """Takes three hops' time for each."""

    def __init__(self, quick):
        self._quick = quick

    def push(self, samples):
        answers = self._quick.push(samples)
        time.sleep(3 * _HOP_S * len(answers))
        return answers

    def finish(self):
        return self._quick.finish()

    def start_at(self, number):
        self._quick.start_at(number)

    def run_selftest(self):
        return self._quick.run_selftest()

    def describe(self):
        return self._quick.describe()

    def close(self):
        self._quick.close()


def test_a_node_that_is_too_slow_hears_the_newest_and_counts_what_it_skipped(node_with, monkeypatch):
    def open_slow(*arguments, **options):
        return _SlowScorer(open_listening_scorer(*arguments, **options))

    monkeypatch.setattr("edge.listener.open_listening_scorer", open_slow)
    node = node_with("queue", stall_s=30.0)
    node.wait_until(lambda: node.listener.health()["skips_mic"] >= 2)
    windows = node.listener.counts.windows
    node.wait_until(lambda: node.listener.counts.windows >= windows + 3)
    late_s = [
        at_s - _epoch_s(json.loads(message.payload.decode())["end"])
        for at_s, message in node.messages
        if message.topic.endswith("classification")
    ]
    assert max(late_s) < 8.0  # what queue and pipe hold, and a hop: it does not grow
    counts = node.listener.counts
    assert counts.gaps >= 2 and counts.lost_s > 1.0
    assert node.said("status") == ["online"] and node.faults() == [None]  # slow is no fault of the microphone
