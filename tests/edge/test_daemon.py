"""The daemon from a recording to a broker's subscribers, in this process and as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.config import Config, EventsConfig, ModelConfig, MqttConfig, NodeConfig, PublishConfig, SourceConfig
from edge.daemon import Daemon
from edge.errors import SourceError
from edge.message_types import MESSAGE_TYPES
from engines.bundle import load_bundle
from tests.contract.validation import type_of, validate
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.engines.bundles import LABELS, write_tiny_bundle

ROOT = Path(__file__).resolve().parent.parent.parent
RATE_HZ = 16000
HANG_S = 60
NODE = "soundclr/corner"
MIC = NODE + "/tape"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Five seconds: a quiet bed, and a low tone from 1.5 s to 3.5 s."""
    samples = 2e-3 * np.random.RandomState(1).randn(5 * RATE_HZ)
    samples[24000:56000] += 0.2 * np.sin(2 * np.pi * 440.0 * np.arange(32000) / RATE_HZ)
    path = tmp_path_factory.mktemp("sound") / "street.wav"
    soundfile.write(str(path), samples, RATE_HZ)
    return path


def config_of(bundle, path, port, **source):
    tape = SourceConfig("tape", "file", path=str(path))._replace(**source)
    return Config(
        NodeConfig("corner", site="Main St"),
        (tape,),
        MqttConfig(port=port),
        ModelConfig(bundle=str(bundle.path), hop_s=0.25),
        events=EventsConfig(confirm_s=0.5, off_ratio=0.9, merge_gap_s=0.5),
        publish=PublishConfig(classification_interval_s=0.25, state_interval_s=0.5, health_interval_s=1.0),
    )


def config_text(bundle, path, port, realtime=True, loop=False):
    return (
        '[node]\nname = "corner"\n[[source]]\nname = "tape"\ntype = "file"\npath = %s\nrealtime = %s\nloop = %s\n'
        "[mqtt]\nport = %d\n[model]\nbundle = %s\nhop_s = 0.25\n"
        "[events]\nconfirm_s = 0.5\noff_ratio = 0.9\nmerge_gap_s = 0.5\n"
        "[publish]\nclassification_interval_s = 0.25\n"
        % (json.dumps(str(path)), str(realtime).lower(), str(loop).lower(), port, json.dumps(str(bundle.path)))
    )


class Running:
    """A daemon in a thread of this process."""

    def __init__(self, config, bundle, duration_s=None):
        self.stop, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(config, bundle, duration_s))
        self.thread.start()

    def _run(self, config, bundle, duration_s):
        try:
            Daemon(config, bundle, "test", self.stop).run(duration_s)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop.set()
        self.join()

    def join(self):
        self.thread.join(HANG_S)
        assert not self.thread.is_alive()


def values_of(broker, kind):
    return [
        json.loads(message.payload.decode()) for message in list(broker.published) if type_of(message.topic) == kind
    ]


@pytest.fixture(scope="module")
def heard(bundle, street):
    """Everything that a broker got while the daemon heard the street once, in its time."""
    with SocketBroker() as broker:
        config = config_of(bundle, street, broker.port, start_time="2026-10-01T12:34:57Z")
        with Running(config, bundle) as running:
            running.join()  # ends by itself with its last source
        assert running.failure is None and wait_until(lambda: (NODE + "/status", b"offline") in bare(broker))
        yield broker


def bare(broker):
    return [(message.topic, message.payload) for message in list(broker.published)]


def test_node_and_source_say_that_they_come_and_go(heard):
    status = [(m.payload, m.qos, m.retain) for m in heard.published if m.topic == NODE + "/status"]
    assert status == [(b"online", 1, True), (b"offline", 1, True)]
    source = [(m.payload, m.qos, m.retain) for m in heard.published if m.topic == MIC + "/status"]
    assert source[-2:] == [(b"online", 1, True), (b"offline", 1, True)]
    assert [m.topic for m in heard.published[:3]] == [NODE + "/status", NODE + "/info", MIC + "/status"]
    assert heard.published[-1].topic == NODE + "/status" and heard.wills == []


def test_every_type_of_message_is_sent_as_its_definition_says(heard):
    kinds = {type_of(message.topic) for message in heard.published}
    if_asked_for = {"check", "clip"}
    assert kinds == set(MESSAGE_TYPES) - if_asked_for
    for message in heard.published:
        kind = MESSAGE_TYPES[type_of(message.topic)]
        assert (message.qos, message.retain) == (kind.qos, kind.retain)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="jsonschema is a tool of current Pythons")
def test_every_payload_fits_its_published_schema(heard):
    for message in heard.published:
        validate(message.topic, message.payload)


def test_messages_of_a_topic_are_counted_without_a_hole_and_in_the_order_of_time(heard):
    for kind in ("classification", "state", "event", "health", "info"):
        values = values_of(heard, kind)
        sequence = [value["seq"] for value in values]
        assert sequence == list(range(sequence[0], sequence[0] + len(values)))
        if kind in ("classification", "state", "health"):
            assert [value["ts_ms"] for value in values] == sorted(value["ts_ms"] for value in values)
    everything = [json.loads(text.decode()) for topic, text in bare(heard) if not topic.endswith("/status")]
    assert len({value["id"] for value in everything}) == len(everything)
    assert len({(value["boot_id"], value["node"], value["bundle"]) for value in everything}) == 1


def test_the_tone_is_one_event_with_one_end_where_it_sounded(heard):
    start, end = values_of(heard, "event")
    assert (start["phase"], end["phase"], end["end_reason"]) == ("start", "end", "quiet")
    assert start["event_id"] == end["event_id"] and start["label"] == end["label"] == "low"
    began_ms = values_of(heard, "classification")[-1]["ts_ms"] - 5000  # the last window ends with the recording
    assert start["ts_ms"] - began_ms == pytest.approx(1500, abs=500)
    assert end["duration_s"] == pytest.approx(2.0, abs=0.5)


def test_levels_are_told_each_second_and_the_event_says_how_loud_it_was(heard):
    levels = values_of(heard, "level")
    seconds = ["2026-10-01T12:34:57.000Z", "2026-10-01T12:34:58.000Z", "2026-10-01T12:34:59.000Z"]
    seconds += ["2026-10-01T12:35:00.000Z", "2026-10-01T12:35:01.000Z", "2026-10-01T12:35:02.000Z"]
    assert [value["start"] for value in levels] == seconds[:-1]
    assert [value["time"] for value in levels] == [value["end"] for value in levels] == seconds[1:]
    assert [value["valid_percent"] for value in levels] == [75.0, 100.0, 100.0, 100.0, 100.0]  # filters settle at first
    bed_dbfs, tone_dbfs = -54.0, -17.0  # noise of 2e-3; a sine of 0.2
    assert levels[0]["lzeq_dbfs"] == pytest.approx(bed_dbfs, abs=0.3) and levels[0]["lafmax_dbfs"] is None
    assert levels[2]["lzeq_dbfs"] == pytest.approx(tone_dbfs, abs=0.1)
    assert levels[2]["laeq_dbfs"] == pytest.approx(tone_dbfs - 4.1, abs=0.3)  # A at 440 Hz
    assert all(
        (value["calibrated"], value["laeq_db"], value["bandwidth_hz"]) == (False, None, 8000) for value in levels
    )
    start, end = values_of(heard, "event")
    assert end["lafmax_dbfs"] == pytest.approx(tone_dbfs - 4.1, abs=0.4)
    assert end["laeq_dbfs"] == pytest.approx(tone_dbfs - 4.1, abs=1.0)
    assert (start["calibrated"], end["laeq_db"], end["background_la90_dbfs"]) == (False, None, None)  # 1.5 s are few
    assert start["lafmax_dbfs"] == pytest.approx(tone_dbfs - 4.1, abs=0.4)
    loudest = max(value["lafmax_dbfs"] for value in values_of(heard, "state") if value["lafmax_dbfs"] is not None)
    assert loudest == pytest.approx(tone_dbfs - 4.1, abs=0.4)


def test_state_follows_the_event(heard):
    active = [value["active_low"] for value in values_of(heard, "state")]
    changes = [a for a, before in zip(active, [None] + active) if a != before]
    assert changes == ["OFF", "ON", "OFF"]
    topics = [(type_of(topic), text) for topic, text in bare(heard)]
    first_on = next(i for i, (kind, text) in enumerate(topics) if kind == "state" and b'"active_low":"ON"' in text)
    assert "event" in [kind for kind, _ in topics[: first_on + 2]]  # both leave at once, one after the other


def test_info_and_health_tell_what_the_node_is_and_has_done(heard, bundle):
    (info,), health = values_of(heard, "info"), values_of(heard, "health")
    assert info["labels"] == LABELS and info["sources"] == ["tape"] and info["site"] == "Main St"
    assert info["hop_s"] == 0.25 and info["bundle"] == bundle.id and "ONNX Runtime" in info["runtime"]
    assert health[-1]["sources_configured"] == 1 and health[-1]["sources_online"] == 1
    assert health[-1]["windows"] > health[0]["windows"] and health[-1]["gaps"] == 0


def test_a_recording_that_is_over_before_the_broker_answers_is_still_told_of(bundle, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(str(path), 0.2 * np.sin(2 * np.pi * 440.0 * np.arange(RATE_HZ) / RATE_HZ), RATE_HZ)
    with SocketBroker() as broker:
        with Running(config_of(bundle, path, broker.port, realtime=False), bundle) as running:
            running.join()
        assert running.failure is None
        assert wait_until(
            lambda: broker.topics()[-1:] == [NODE + "/status"] and broker.published[-1].payload == b"offline"
        )
        assert [value["phase"] for value in values_of(broker, "event")] == ["start", "end"]


def test_a_broker_that_comes_late_gets_what_is_durable(bundle, street):
    with SocketBroker() as broker:
        port = broker.port
    with Running(config_of(bundle, street, port, loop=True), bundle) as running:
        time.sleep(3.0)  # an event has started by now
        assert running.thread.is_alive()
        with SocketBroker(port=port) as broker:
            assert wait_until(lambda: len(values_of(broker, "event")) >= 2, HANG_S)
            running.stop.set()
            running.join()
            assert wait_until(lambda: broker.published[-1].payload == b"offline")
    assert running.failure is None
    events = values_of(broker, "event")
    assert events[0]["phase"] == "start" and events[0]["seq"] == 0
    starts, ends = ([e["event_id"] for e in events if e["phase"] == phase] for phase in ("start", "end"))
    assert sorted(starts) == sorted(ends) and len(set(starts)) == len(starts)


def test_stopping_ends_what_sounds(bundle, street):
    with SocketBroker() as broker:
        with Running(config_of(bundle, street, broker.port), bundle) as running:
            assert wait_until(lambda: values_of(broker, "event"))
            running.stop.set()
            running.join()
        assert running.failure is None and wait_until(lambda: broker.published[-1].payload == b"offline")
        assert [(e["phase"], e["end_reason"]) for e in values_of(broker, "event")] == [("start", None), ("end", "stop")]


def test_duration_ends_it_by_itself(bundle, street):
    with SocketBroker() as broker:
        with Running(config_of(bundle, street, broker.port, loop=True), bundle, duration_s=1.0) as running:
            running.join()
        assert running.failure is None
        assert wait_until(lambda: broker.published[-1].payload == b"offline")


def test_one_source_that_cannot_be_used_ends_the_node_with_its_reason(bundle, street, tmp_path):
    with SocketBroker() as broker:
        config = config_of(bundle, street, broker.port, loop=True)
        config = config._replace(
            source=config.source + (SourceConfig("lost", "file", path=str(tmp_path / "none.wav")),)
        )
        with Running(config, bundle) as running:
            running.join()
    assert isinstance(running.failure, SourceError) and "none.wav" in str(running.failure)


def start_edge(tmp_path, text, **options):
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--config", str(path), "--state-dir", str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=str(ROOT),
        **options,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(tmp_path, bundle, street, number):
    with SocketBroker() as broker:
        process = start_edge(tmp_path, config_text(bundle, street, broker.port, loop=True))
        try:
            assert wait_until(lambda: values_of(broker, "event"), HANG_S)
            began_s = time.monotonic()
            process.send_signal(number)
            output, log = process.communicate(timeout=HANG_S)
            assert time.monotonic() - began_s < 5.0  # what a service manager is told to expect
        finally:
            process.kill()
        assert process.returncode == 0 and output == "" and "Traceback" not in log
        assert wait_until(lambda: broker.published[-1].payload == b"offline")
        events = values_of(broker, "event")
        assert [e["phase"] for e in events].count("start") == [e["phase"] for e in events].count("end") >= 1
        assert broker.wills == []


def test_a_signal_ends_the_process_where_no_broker_is(tmp_path, bundle, street):
    with SocketBroker() as broker:
        port = broker.port
    process = start_edge(tmp_path, config_text(bundle, street, port, loop=True))
    try:
        lines = iter(process.stderr.readline, "")
        assert any("nothing listens there" in line for line in lines)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=HANG_S)
        assert time.monotonic() - began_s < 5.0
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in log


def test_a_file_that_is_not_there_ends_the_process_with_2_and_one_line(tmp_path, bundle):
    process = start_edge(tmp_path, config_text(bundle, tmp_path / "none.wav", 9))
    output, log = process.communicate(timeout=HANG_S)
    assert process.returncode == 2 and output == "" and "Traceback" not in log
    (line,) = [line for line in log.splitlines() if line.startswith("soundclr-edge: ")]
    assert "none.wav" in line


def test_a_fault_inside_a_source_ends_the_process_with_70(tmp_path, bundle, street):
    samples, _ = soundfile.read(str(street))
    soundfile.write(str(tmp_path / "a.wav"), samples, 44100)  # another rate than the bundle's needs soxr
    (tmp_path / "soxr.py").write_text("raise RuntimeError('a broken installation')\n", encoding="utf-8")
    process = start_edge(
        tmp_path, config_text(bundle, tmp_path / "a.wav", 9), env=dict(os.environ, PYTHONPATH=str(tmp_path))
    )
    _, log = process.communicate(timeout=HANG_S)
    assert process.returncode == 70 and "a broken installation" in log
