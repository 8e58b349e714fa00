"""A real Home Assistant, a real mosquitto: what the node announces appears, follows it, and goes."""

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.clock import UtcTime
from edge.config import Config, HomeAssistantConfig, NodeConfig, PublishConfig, SourceConfig
from edge.home_assistant import Announcer, discovery_topic
from edge.messages import MessageFactory
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.retire import retire_node
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until
from tests.home_assistant.instance import HANG_S, VARIABLE, HomeAssistant
from tests.system.broker_fixtures import Mosquitto, skip_without_mosquitto
from tests.system.reader import Reader

pytestmark = pytest.mark.home_assistant
LABELS = ("car_horn", "siren")
WEEK_S = 7 * 86400.0
QUICK = RetryPolicy(first_s=0.05, longest_s=0.2, refused_s=0.3)
CALIBRATED = {"calibrated": True, "calibrated_on": "2026-09-14", "calibration_method": "calibrator"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    skip_without_mosquitto()
    mosquitto = Mosquitto(tmp_path_factory.mktemp("broker"))
    mosquitto.write_settings("topic readwrite #\n")
    settings = mosquitto.folder / "mosquitto.conf"
    settings.write_text(settings.read_text().replace("allow_anonymous false", "allow_anonymous true"))
    with mosquitto:
        yield mosquitto


@pytest.fixture(scope="module")
def home(broker, tmp_path_factory):
    hass = os.environ.get(VARIABLE) or shutil.which("hass", path=str(Path(".venv-home-assistant/bin").resolve()))
    if hass is None:
        pytest.skip("no Home Assistant: make test-home-assistant installs one, with Python 3.13")
    with HomeAssistant(hass, tmp_path_factory.mktemp("home") / "config", broker.port) as home_assistant:
        yield home_assistant


def config_of(broker, name, **changes):
    return Config(
        NodeConfig(name),
        (SourceConfig("mic", "microphone"),),
        broker.config(username="", password_file=""),
        home_assistant=HomeAssistantConfig(True),
    )._replace(**changes)


class Node:
    """All of a node but its ears: publisher, announcer, and messages of what it is told to have heard."""

    def __init__(self, config, directory, labels=LABELS, store=None):
        self.config, self.name = config, config.node.name
        self.factory = MessageFactory(config.mqtt.root, self.name, "urban", "boot-" + self.name, labels, ("mic",))
        self.labels, self.status, self.last = labels, "online", None
        self.announcer = Announcer(config, labels, directory, self._states, delay_s=lambda: 1.0)
        self.publisher = Publisher(
            config.mqtt,
            self.name,
            store or MemoryStore(),
            lambda: self._states() + self.announcer.messages_on_connect(),
            retry=QUICK,
            subscriptions=self.announcer.subscriptions,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.publisher.open()
        assert wait_until(lambda: self.publisher.connection_state == "connected", HANG_S)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join(HANG_S)
        self.publisher.close()

    def tell(self, active=(), **values):
        """A state."""
        values.update(("active_" + label, "ON" if label in active else "OFF") for label in self.labels)
        self.last = self.factory.build("state", UtcTime(time.time(), True), values, "mic")
        self.announcer.notice(self.last)
        self.publisher.publish(self.last)

    def tell_status(self, status):
        """Of the microphone."""
        self.status = status
        self.publisher.publish(self.factory.build_status(status, "mic"))

    def _states(self):
        return [self.factory.build_status(self.status, "mic")] + ([self.last] if self.last is not None else [])

    def _run(self):
        while not self._stop.is_set():
            for message in self.announcer.messages_due():
                self.publisher.publish(message)
            self._stop.wait(0.05)


def has_entities(home, name, *wanted):
    """Whether the node comes to have these entities and no others; the registry is written with some delay."""

    def entities():
        time.sleep(0.2)
        found = [entity.split(".")[1] for entity in home.registered()]
        return {entity[len(name) + 1 :] for entity in found if entity.startswith(name + "_")}

    assert wait_until(lambda: entities() == set(wanted), HANG_S), entities()
    return True


ALWAYS = ("node", "microphone", "fault", "car_horn", "siren")


def test_a_calibrated_node_appears_with_its_levels_and_sounds(home, broker, tmp_path):
    with Node(config_of(broker, "square"), tmp_path) as node:
        node.tell(["siren"], laeq_db=71.24, lafmax_db=83.0, laeq_dbfs=-42.0, lafmax_dbfs=-30.2, **CALIBRATED)
        assert home.has(
            binary_sensor__square_siren="on",
            binary_sensor__square_car_horn="off",
            binary_sensor__square_node="on",
            binary_sensor__square_microphone="on",
            sensor__square_laeq="71.24",
            sensor__square_lafmax="83.0",
            sensor__square_fault="none",
            sensor__square_calibrated_on="2026-09-14",
        ), home.output()
        assert has_entities(home, "square", *ALWAYS, "laeq", "lafmax", "calibrated_on")
        level = home.attributes("sensor.square_laeq")
        assert (level["device_class"], level["unit_of_measurement"], level["state_class"]) == (
            "sound_pressure",
            "dBA",
            "measurement",
        )
        assert home.attributes("binary_sensor.square_siren")["device_class"] == "sound"
        node.tell([], laeq_db=None, lafmax_db=83.0, **CALIBRATED)
        assert home.has(binary_sensor__square_siren="off", sensor__square_laeq="unknown")
    assert home.has(binary_sensor__square_siren="unavailable", binary_sensor__square_node="off")
    assert home.complaints() == []


def test_an_uncalibrated_node_has_levels_of_another_kind_until_it_is_calibrated(home, broker, tmp_path):
    with Node(config_of(broker, "park"), tmp_path) as node:
        node.tell([], laeq_dbfs=-42.0, lafmax_dbfs=-30.2, calibrated=False)
        assert home.has(sensor__park_laeq_uncalibrated="-42.0"), home.output()
        assert has_entities(home, "park", *ALWAYS, "laeq_uncalibrated", "lafmax_uncalibrated")
        level = home.attributes("sensor.park_laeq_uncalibrated")
        assert "device_class" not in level and level["unit_of_measurement"] == "dBFS"
        node.tell([], laeq_db=60.0, lafmax_db=70.0, laeq_dbfs=-42.0, lafmax_dbfs=-30.2, **CALIBRATED)
        assert home.has(sensor__park_laeq="60.0"), home.output()
        assert has_entities(home, "park", *ALWAYS, "laeq", "lafmax", "calibrated_on")
        node.tell([], laeq_dbfs=-42.0, lafmax_dbfs=-30.2, calibrated=False)  # somebody has turned the gain
        assert home.has(sensor__park_laeq="unknown", sensor__park_laeq_uncalibrated="-42.0")
    assert home.complaints() == []


def test_a_microphone_that_is_lost_says_why_and_nothing_else(home, broker, tmp_path):
    with Node(config_of(broker, "bridge"), tmp_path) as node:
        node.tell(["siren"])
        assert home.has(binary_sensor__bridge_siren="on")
        node.tell_status("offline")
        node.tell([], fault="missing", fault_detail="no device named streetmic; see whether it is plugged in")
        assert home.has(
            binary_sensor__bridge_siren="unavailable",
            binary_sensor__bridge_microphone="off",
            sensor__bridge_fault="missing",
        ), home.output()
        assert "streetmic" in home.attributes("sensor.bridge_fault")["detail"]


def test_what_no_longer_tells_its_state_is_not_believed(home, broker, tmp_path):
    config = config_of(broker, "silent", publish=PublishConfig(state_interval_s=0.1))
    with Node(config, tmp_path) as node:
        node.tell(["siren"])
        assert home.has(binary_sensor__silent_siren="on")
        assert home.has(binary_sensor__silent_siren="unavailable", binary_sensor__silent_node="on")  # after 31 s


def backlog(factory, age_s, count):
    """A store with sirens of long ago that no broker has got yet."""
    store = MemoryStore()
    now_s = time.time()
    for number in range(count):
        start_s = now_s - age_s + 10.0 * number
        for phase in ("start", "end"):
            values = dict(event_id="e%d" % number, phase=phase, label="siren", start=start_s, end=start_s + 5.0)
            values.update(duration_s=5.0, score_max=0.9, score_mean=0.9, replayed=False)
            values.update(end_reason="quiet" if phase == "end" else None)
            store.put(factory.build("event", UtcTime(start_s, True), values, "mic"))
    return store


def test_a_siren_of_last_week_fires_no_automation_and_one_of_now_fires_it_once(home, broker, tmp_path):
    config = config_of(broker, "corner")
    factory = MessageFactory("soundclr", "corner", "urban", "boot-before", LABELS, ("mic",))
    store = backlog(factory, WEEK_S, 100)
    with Reader(config.mqtt, "#", name="witness") as witness:
        with Node(config, tmp_path, store=store) as node:
            node.tell()
            assert home.has(binary_sensor__corner_siren="off"), home.output()
            assert wait_until(lambda: store.counts().waiting == 0, HANG_S)
            assert len(witness.payloads("soundclr/corner/mic/event")) == 200
            node.tell(["siren"])
            assert wait_until(lambda: witness.payloads("automation/siren"), HANG_S), home.output()
            node.tell(["car_horn"])
            assert home.has(binary_sensor__corner_siren="off", binary_sensor__corner_car_horn="on")
        assert witness.payloads("automation/siren") == [b"fired"]
    believed = [state for state in home.history("binary_sensor.corner_siren") if state in ("on", "off")]
    assert believed == ["off", "on", "off"]


def test_an_hour_of_the_same_state_is_one_row_in_its_data_base(home, broker, tmp_path):
    with Node(config_of(broker, "quiet"), tmp_path) as node:
        for number in range(360):  # one each 10 s; the level alone changes
            node.tell([], laeq_db=50.0 + number % 2, lafmax_db=60.0, **CALIBRATED)
            time.sleep(0.02)
        node.tell(["siren"], laeq_db=70.0, lafmax_db=80.0, **CALIBRATED)
        assert home.has(binary_sensor__quiet_siren="on", sensor__quiet_laeq="70.0")
    for entity in ("binary_sensor.quiet_car_horn", "sensor.quiet_fault", "sensor.quiet_calibrated_on"):
        rows = [state for state in home.history(entity) if state not in ("unknown", "unavailable")]
        assert len(rows) == 1, (entity, rows)
    assert len(home.history("sensor.quiet_laeq")) <= 365


def test_a_class_that_the_model_no_longer_has_goes(home, broker, tmp_path):
    config = config_of(broker, "school")
    with Node(config, tmp_path) as node:
        node.tell()
        assert home.has(binary_sensor__school_siren="off") and has_entities(home, "school", *ALWAYS)
    with Node(config, tmp_path, labels=("siren", "dog_bark")) as node:
        node.tell(["dog_bark"])
        assert home.has(binary_sensor__school_siren="off", binary_sensor__school_dog_bark="on"), home.output()
        assert has_entities(home, "school", "node", "microphone", "fault", "siren", "dog_bark")
    assert home.complaints() == []


def test_another_name_takes_the_old_ones_entities_with_it(home, broker, tmp_path):
    with Node(config_of(broker, "oldname"), tmp_path) as node:
        node.tell()
        assert home.has(binary_sensor__oldname_siren="off") and has_entities(home, "oldname", *ALWAYS)
    with Node(config_of(broker, "newname"), tmp_path) as node:
        node.tell()
        assert home.has(binary_sensor__newname_siren="off")
        assert has_entities(home, "oldname")


def test_retire_takes_the_device_back(home, broker, tmp_path):
    config = config_of(broker, "leaving")
    with Node(config, tmp_path) as node:
        node.tell()
        assert home.has(binary_sensor__leaving_siren="off") and has_entities(home, "leaving", *ALWAYS)
    done = retire_node(config)
    assert discovery_topic(config) in done.cleared and done.kept == []
    assert has_entities(home, "leaving")


def test_after_its_restart_it_knows_the_node_at_once(home, broker, tmp_path):
    config = config_of(broker, "tower")
    with Reader(config.mqtt, discovery_topic(config), name="witness-of-births") as witness:
        with Node(config, tmp_path) as node:
            node.tell(["siren"])
            assert home.has(binary_sensor__tower_siren="on")
            announced = len(witness.received)
            home.stop()
            broker_forgets(config)
            node.tell(["siren"])
            home.start()
            assert wait_until(lambda: len(witness.received) >= announced + 2, HANG_S), home.output()  # cleared, anew
            assert wait_until(
                lambda: home.history("binary_sensor.tower_siren")[-2:] == ["unavailable", "on"], HANG_S
            ), home.history("binary_sensor.tower_siren")


def broker_forgets(config):
    """What a broker without persistence does when it is restarted."""
    other = config._replace(node=NodeConfig("other"), home_assistant=HomeAssistantConfig(False))
    with Node(other, None) as node:
        node.publisher.publish(Message(discovery_topic(config), b"", 1, True, False))
        time.sleep(0.5)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Home Assistant is there for current Pythons alone")
def test_the_whole_daemon_appears(home, broker, tmp_path_factory):
    import numpy as np
    import soundfile

    from edge.config import EventsConfig, ModelConfig
    from engines.bundle import load_bundle
    from tests.edge.test_daemon import RATE_HZ, Running
    from tests.engines.bundles import write_tiny_bundle

    folder = tmp_path_factory.mktemp("daemon")
    bundle = load_bundle(write_tiny_bundle(folder / "tiny"))
    samples = 2e-3 * np.random.RandomState(1).randn(8 * RATE_HZ)
    samples[2 * RATE_HZ : 5 * RATE_HZ] += 0.2 * np.sin(2 * np.pi * 440.0 * np.arange(3 * RATE_HZ) / RATE_HZ)
    soundfile.write(str(folder / "street.wav"), samples, RATE_HZ)
    config = config_of(
        broker,
        "whole",
        source=(SourceConfig("tape", "file", path=str(folder / "street.wav"), loop=True),),
        model=ModelConfig(bundle=str(bundle.path), hop_s=0.25),
        events=EventsConfig(confirm_s=0.5, off_ratio=0.9, merge_gap_s=0.5),
    )
    with Running(config, bundle) as running:
        assert wait_until(lambda: home.history("binary_sensor.whole_low").count("on") >= 2, HANG_S), home.output()
        assert wait_until(lambda: (home.state("sensor.whole_laeq_uncalibrated") or "u")[0] == "-", HANG_S), (
            home.output()
        )
    assert running.failure is None
    assert home.has(binary_sensor__whole_node="off")
    assert home.complaints() == []
