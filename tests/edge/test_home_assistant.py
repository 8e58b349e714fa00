"""What Home Assistant is told, when, and what is taken back; a real Home Assistant is in tests/home_assistant."""

import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import UtcTime
from edge.config import (
    Config,
    HomeAssistantConfig,
    MqttConfig,
    NodeConfig,
    PublishConfig,
    SourceConfig,
)
from edge.config_file import config_from_mapping
from edge.connection import Received
from edge.daemon import Daemon
from edge.errors import ConfigError
from edge.home_assistant import Announcer, birth_topic, discovery_topic
from edge.home_assistant.entities import Levels, device_id, discovery_payload
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory
from edge.reload import is_new_node
from edge.retire import retained_topics
from edge.store import MemoryStore
from engines.bundle import load_bundle
from tests.contract.validation import type_of
from tests.edge.socket_broker import PUBLISH, SocketBroker, wait_until
from tests.edge.test_daemon import config_of as tape_config
from tests.edge.test_daemon import street  # noqa: F401 - a fixture
from tests.engines.bundles import LABELS as TINY_LABELS
from tests.engines.bundles import write_tiny_bundle

LABELS = ("car_horn", "siren")
TOPIC = "homeassistant/device/soundclr_corner/config"
CALIBRATED, UNCALIBRATED = Levels(True, "dBA"), Levels(False, None)
SLUGS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)


def make_config(name="corner", sources=("mic",), prefix="homeassistant", discovery=True, **changes):
    return Config(
        NodeConfig(name),
        tuple(SourceConfig(source, "microphone") for source in sources),
        home_assistant=HomeAssistantConfig(discovery, prefix),
    )._replace(**changes)


def components_of(levels=Levels(), config=None):
    return discovery_payload(config or make_config(), LABELS, {"mic": levels})["components"]


def topics_in(value):
    """All topics that a payload has Home Assistant read."""
    if isinstance(value, list):
        return set().union(*[topics_in(one) for one in value])
    if not isinstance(value, dict):
        return set()
    here = {one for key, one in value.items() if key.endswith("topic")}
    return here.union(*[topics_in(one) for one in value.values()])


def test_a_calibrated_node_has_sound_pressure_in_dba_and_a_sound_for_each_class():
    components = components_of(CALIBRATED)
    assert set(components) == {"node"} | {
        "mic." + key
        for key in ("microphone", "fault", "sound.car_horn", "sound.siren", "laeq", "lafmax", "calibrated_on")
    }
    assert components["mic.laeq"]["device_class"] == "sound_pressure"
    assert components["mic.laeq"]["unit_of_measurement"] == "dBA"
    assert components["mic.laeq"]["state_class"] == "measurement"
    assert components["mic.sound.siren"]["device_class"] == "sound" and components["mic.sound.siren"]["name"] == "Siren"


def test_uncalibrated_levels_are_called_so_and_are_no_sound_pressure():
    components = components_of(UNCALIBRATED)
    assert "mic.laeq" not in components
    level = components["mic.laeq_dbfs"]
    assert level["unit_of_measurement"] == "dBFS" and "device_class" not in level and "uncalibrated" in level["name"]


def test_levels_without_the_bandwidth_of_a_weighting_are_not_called_dba():
    level = components_of(Levels(True, "dB"))["mic.laeq"]
    assert level["unit_of_measurement"] == "dB" and level["name"] != "LAeq"


def test_a_node_that_lost_its_calibration_keeps_the_entities_that_say_so():
    components = components_of(Levels(False, "dBA"))
    assert {"mic.laeq", "mic.laeq_dbfs"} <= set(components)


def test_a_node_that_measures_no_levels_announces_none():
    assert not [key for key in components_of() if "laeq" in key or "lafmax" in key]


def test_it_reads_state_and_the_status_topics_alone_and_nothing_that_is_ever_replayed():
    topics = topics_in(components_of(Levels(False, "dBA")))
    types = {type_of(topic) for topic in topics}
    assert types == {"status", "source_status", "state"}
    assert not any(MESSAGE_TYPES[name].durable for name in types) and not MESSAGE_TYPES["state"].retain


def test_sounds_and_levels_need_node_and_microphone_and_expire():
    components = components_of(CALIBRATED, make_config(publish=PublishConfig(state_interval_s=20.0)))
    for key in ("mic.sound.siren", "mic.laeq"):
        needs = {one["topic"] for one in components[key]["availability"]}
        assert needs == {"soundclr/corner/status", "soundclr/corner/mic/status"}
        assert components[key]["availability_mode"] == "all" and components[key]["expire_after"] == 90
    assert [one["topic"] for one in components["mic.fault"]["availability"]] == ["soundclr/corner/status"]


@settings(max_examples=50)
@given(
    st.lists(SLUGS, min_size=1, max_size=4, unique=True),
    st.lists(SLUGS, min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from([CALIBRATED, UNCALIBRATED, Levels(False, "dB"), Levels()]), min_size=4, max_size=4),
)
def test_no_two_entities_are_taken_for_one(sources, labels, levels):
    payload = discovery_payload(make_config(sources=sources), labels, dict(zip(sources, levels)))
    components = payload["components"].values()
    assert len({one["unique_id"] for one in components}) == len(components)
    assert len({one["name"] for one in components if "(" in one["name"]}) >= (len(sources) > 1)


def test_nodes_of_two_roots_are_two_devices():
    roots = ("soundclr", "city/soundclr", "city_soundclr", "Straße")
    ids = {device_id(make_config(mqtt=MqttConfig(root=root))) for root in roots}
    assert len(ids) == len(roots)
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for one in ids)


class Clocked:
    """An announcer whose time is the test's."""

    def __init__(self, config=None, directory=None, labels=LABELS):
        self.now_s = 100.0
        self.states = [MessageFactory("soundclr", "corner", "urban", "boot", labels).build_status("online", "mic")]
        self.announcer = Announcer(
            config or make_config(),
            labels,
            directory,
            lambda: list(self.states),
            delay_s=lambda: 7.0,
            monotonic_s=lambda: self.now_s,
        )

    def connect(self):
        return self.announcer.messages_on_connect()

    def wait(self, seconds):
        """What is due by then."""
        self.now_s += seconds
        return self.announcer.messages_due()

    def hear(self, payload=b"online", retained=False):
        self.announcer.hear_birth(Received("homeassistant/status", payload, retained))

    def notice(self, **values):
        factory = MessageFactory("soundclr", "corner", "urban", "boot", LABELS)
        values.update(("active_" + label, "OFF") for label in LABELS)
        self.announcer.notice(factory.build("state", UtcTime(1e9, True), values, "mic"))


def announced(messages):
    """The components of the one announcement in them."""
    (message,) = [message for message in messages if message.topic == TOPIC]
    assert (message.qos, message.retain, message.durable) == (1, True, False)
    return json.loads(message.payload.decode("utf-8"))["components"]


def test_nothing_is_said_read_or_kept_where_discovery_is_off(tmp_path):
    off = Clocked(make_config(discovery=False), tmp_path)
    assert off.announcer.subscriptions == {} and off.connect() == [] and list(tmp_path.iterdir()) == []
    off.notice(calibrated=True)
    assert off.wait(100.0) == []


def test_it_is_said_on_each_connection_and_followed_by_the_states():
    one = Clocked()
    for _ in range(2):
        assert "mic.sound.siren" in announced(one.connect())
        assert one.wait(1.0) == [] and one.wait(1.0) == one.states and one.wait(100.0) == []


def test_after_home_assistants_birth_it_is_said_again_once_after_a_while():
    one = Clocked()
    one.connect()
    one.wait(50.0)
    for _ in range(1000):
        one.hear()
    assert one.wait(6.9) == [] and "node" in announced(one.wait(0.1))
    assert one.wait(2.0) == one.states and one.wait(100.0) == []


@given(st.one_of(st.binary(max_size=300), st.sampled_from([b"offline", b"ONLINE", b"online ", b""])))
def test_rubbish_on_the_birth_topic_is_harmless(payload):
    one = Clocked()
    one.connect()
    one.wait(50.0)
    one.hear(payload if payload != b"online" else b"")
    one.hear(b"online", retained=True)  # said before we came: we have just announced
    assert one.wait(100.0) == []


def test_the_delay_differs_from_node_to_node():
    delays = set()
    now_s = [0.0]
    for _ in range(20):
        announcer = Announcer(make_config(), LABELS, monotonic_s=lambda: now_s[0])
        began_s = now_s[0]
        announcer.hear_birth(Received("homeassistant/status", b"online", False))
        while not announcer.messages_due():
            now_s[0] += 0.25
        delays.add(now_s[0] - began_s)
    assert min(delays) >= 1.0 and max(delays) <= 10.25 and len(delays) > 3


def test_a_calibration_that_comes_or_goes_changes_the_entities_and_does_not_flap():
    one = Clocked()
    one.connect()
    one.wait(50.0)
    one.notice(calibrated=False)
    assert "mic.laeq_dbfs" in announced(one.wait(0.0))
    one.notice(calibrated=True)
    assert one.wait(1.0) == []  # Home Assistant is still at work on the one before
    one.wait(1.0)
    components = announced(one.wait(3.0))
    assert components["mic.laeq"]["unit_of_measurement"] == "dBA"
    assert components["mic.laeq_dbfs"] == {"platform": "sensor"}  # taken back
    for _ in range(10):
        one.notice(calibrated=True)
        one.notice(calibrated=None)  # the levels are not there yet, after a gap
    assert one.wait(10.0) == one.states and one.wait(10.0) == []


def test_what_is_gone_is_taken_back_after_a_restart_too(tmp_path):
    first = Clocked(directory=tmp_path)
    first.connect()
    first.notice(calibrated=True)
    first.wait(50.0)
    again = Clocked(directory=tmp_path, labels=("siren", "dog_bark"))
    components = announced(again.connect())
    assert components["mic.sound.car_horn"] == {"platform": "binary_sensor"}
    assert "mic.laeq" in components and "state_topic" in components["mic.laeq"]  # known before the microphone is open
    assert "state_topic" in components["mic.sound.dog_bark"]


@pytest.mark.parametrize(
    "changed", [make_config(name="yard"), make_config(prefix="home/assistant"), make_config(discovery=False)]
)
def test_another_name_or_prefix_or_none_clears_the_old_announcement_once(tmp_path, changed):
    first = Clocked(directory=tmp_path)
    first.connect()
    for _ in range(2):  # the connection was lost at once: nobody knows whether it got there
        again = Clocked(changed, tmp_path)
        cleared = [message for message in again.connect() if not message.payload]
        assert [(message.topic, message.qos, message.retain) for message in cleared] == [(TOPIC, 1, True)]
    again.wait(5.0)
    again.announcer.lose_connection()
    again.wait(3600.0)  # nobody knows whether it got there this time either
    assert [message for message in Clocked(changed, tmp_path).connect() if not message.payload]
    again.connect()
    again.wait(11.0)
    assert not [message for message in again.connect() if not message.payload]
    assert not [message for message in Clocked(changed, tmp_path).connect() if not message.payload]


@settings(max_examples=100)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["topic", "components", "levels", "to_clear", "mic", "x"]), inner, max_size=5
                ),
            ),
            max_leaves=15,
        ).map(lambda value: json.dumps(value).encode()),
        st.just(b"[" * 100000),
    )
)
def test_a_memory_that_was_damaged_is_no_memory(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("memory")
    (folder / "home-assistant.json").write_bytes(content)
    one = Clocked(directory=folder)
    assert "mic.sound.siren" in announced(one.connect())
    one.wait(20.0)
    assert "mic.sound.siren" in announced(Clocked(directory=folder).connect())


def test_a_folder_that_takes_nothing_does_no_harm(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert "node" in announced(Clocked(directory=tmp_path / "file" / "state").connect())
    assert "cannot be kept" in caplog.text


def test_retire_clears_the_announcement():
    assert discovery_topic(make_config()) in retained_topics(make_config())
    assert not [topic for topic in retained_topics(make_config(discovery=False)) if "homeassistant" in topic]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def test_the_daemon_announces_itself_hears_births_and_endures_rubbish(bundle, street, tmp_path):  # noqa: F811
    stop, failures = threading.Event(), []
    with SocketBroker() as broker:
        config = tape_config(bundle, street, broker.port, loop=True)._replace(home_assistant=HomeAssistantConfig(True))

        def run():
            try:
                Daemon(config, bundle, "test", stop, state_directory=tmp_path).run()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert wait_until(lambda: broker.payloads(TOPIC), 60)
            components = json.loads(broker.payloads(TOPIC)[0].decode())["components"]
            assert {"tape.sound." + label for label in TINY_LABELS} < set(components)
            assert wait_until(lambda: b"tape.laeq_dbfs" in broker.payloads(TOPIC)[-1], 60)  # known from the first state
            before = len(broker.payloads(TOPIC))
            for rubbish in (b"\xff\xfe", b"{" * 5000, b"", b"offline"):
                broker.send(birth_topic(config), rubbish)
            broker.send(birth_topic(config), b"online")
            assert wait_until(lambda: len(broker.payloads(TOPIC)) > before, 60)
        finally:
            stop.set()
            thread.join(60)
        assert not thread.is_alive() and not failures
        assert before <= 2 and len(broker.payloads(TOPIC)) == before + 1
        assert wait_until(lambda: broker.published[-1].payload == b"offline")


class Strict(SocketBroker):
    """A broker that throws out whoever writes what it may not."""

    def _answer(self, number, link, kind, flags, body):
        if kind == PUBLISH and body[2:].startswith(b"homeassistant/"):
            link.shutdown(2)
        SocketBroker._answer(self, number, link, kind, flags, body)


def test_a_broker_that_throws_out_who_announces_is_published_to_all_the_same(bundle, street, caplog):  # noqa: F811
    stop = threading.Event()
    with Strict() as broker:
        config = tape_config(bundle, street, broker.port, loop=True)._replace(home_assistant=HomeAssistantConfig(True))
        thread = threading.Thread(target=lambda: Daemon(config, bundle, "test", stop).run())
        thread.start()
        try:
            assert wait_until(lambda: broker.connections >= 3 and broker.payloads("soundclr/corner/tape/event"), 60)
        finally:
            stop.set()
            thread.join(60)
        assert wait_until(lambda: broker.published[-1].payload == b"offline")
        assert broker.connections == 3 and "not announced" in caplog.text


def test_a_reload_that_concerns_home_assistant_begins_the_node_anew():
    old = make_config()
    assert is_new_node(old, make_config(discovery=False), is_same_model=True)
    assert not is_new_node(old, make_config(publish=PublishConfig(state_interval_s=60.0)), is_same_model=True)


def test_a_reload_that_changes_the_pace_of_states_is_announced():
    one = Clocked()
    one.connect()
    one.wait(50.0)
    one.announcer.change(make_config(publish=PublishConfig(state_interval_s=60.0)))
    assert announced(one.wait(0.0))["mic.sound.siren"]["expire_after"] == 210


@pytest.mark.parametrize("prefix", ["", "/", "home/+", "soundclr", "soundclr/corner", "a//b"])
def test_a_prefix_that_cannot_be_is_refused(prefix):
    values = {
        "node": {"name": "corner"},
        "source": [{"name": "mic", "type": "microphone"}],
        "home_assistant": {"discovery": True, "prefix": prefix},
    }
    with pytest.raises(ConfigError, match=r"\[home_assistant\]: prefix"):
        config_from_mapping(values)
    values["home_assistant"]["discovery"] = False
    assert config_from_mapping(values).home_assistant.prefix == prefix


def test_a_backlog_of_last_week_touches_nothing_that_home_assistant_reads(bundle, street, tmp_path):  # noqa: F811
    week_ago_s = time.time() - 7 * 86400.0
    factory = MessageFactory("soundclr", "corner", "tiny", "boot-before", TINY_LABELS, ("tape",))
    store = MemoryStore()
    for number in range(100):
        start_s = week_ago_s + 10.0 * number
        values = dict(event_id="e%d" % number, phase="start", label="low", start=start_s, end=start_s, duration_s=0.0)
        values.update(score_max=0.9, score_mean=0.9, replayed=False)
        store.put(factory.build("event", UtcTime(start_s, True), values, "tape"))
    stop = threading.Event()
    with SocketBroker() as broker:
        config = tape_config(bundle, street, broker.port, loop=True)._replace(home_assistant=HomeAssistantConfig(True))
        thread = threading.Thread(target=lambda: Daemon(config, bundle, "test", stop, store=store).run())
        thread.start()
        try:
            assert wait_until(lambda: len(broker.payloads("soundclr/corner/tape/event")) >= 100, 60)
        finally:
            stop.set()
            thread.join(60)
        read = topics_in(json.loads(broker.payloads(TOPIC)[0].decode()))
        assert read == {"soundclr/corner/status", "soundclr/corner/tape/status", "soundclr/corner/tape/state"}
        states = [json.loads(text.decode()) for text in broker.payloads("soundclr/corner/tape/state")]
        assert states and min(state["ts_ms"] for state in states) > (week_ago_s + 86400.0) * 1000.0
        retained = {message.topic for message in broker.published if message.retain}
        assert "soundclr/corner/tape/state" not in retained
