"""The commented example: it loads, also with every line taken in, leaves nothing out and shows true defaults."""

import json
import re
from pathlib import Path

import pytest

from edge.config import (
    ClipsConfig,
    EventsConfig,
    GateConfig,
    HomeAssistantConfig,
    LevelsConfig,
    ModelConfig,
    MqttConfig,
    NodeConfig,
    PrometheusConfig,
    PublishConfig,
    SourceConfig,
    StoreConfig,
    SummaryConfig,
)
from edge.config_file import load_config

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "systemd" / "soundclr-edge.example.toml"
TABLES = {
    "node": NodeConfig,
    "source": SourceConfig,
    "mqtt": MqttConfig,
    "model": ModelConfig,
    "gate": GateConfig,
    "levels": LevelsConfig,
    "events": EventsConfig,
    "publish": PublishConfig,
    "store": StoreConfig,
    "prometheus": PrometheusConfig,
    "summary": SummaryConfig,
    "home_assistant": HomeAssistantConfig,
    "clips": ClipsConfig,
}
SETTING = re.compile(r"#(?=[a-z\[])")  # explanations have a blank after the #


def uncommented(text):
    return "\n".join(SETTING.sub("", line) if SETTING.match(line) else line for line in text.splitlines())


def commented_settings():
    """(table, key, text of the value, explanation above it) of each setting that is commented out."""
    found, table, explanation, is_explaining = [], "", "", False
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        bare = SETTING.sub("", line)
        if bare.startswith("["):
            table = bare.strip("[]")
        if line.startswith("# "):
            explanation = explanation + " " + line if is_explaining else line
        elif SETTING.match(line) and " = " in bare:
            key, value = bare.split(" = ")
            found.append((table, key, value, explanation))
        is_explaining = line.startswith("# ")
    return found


def load_text(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_as_it_stands_it_is_a_node_with_one_microphone_and_defaults():
    config = load_config(EXAMPLE)
    assert config == config._replace(
        node=NodeConfig(config.node.name),
        mqtt=MqttConfig(),
        model=ModelConfig(),
        gate=GateConfig(),
        events=EventsConfig(),
        publish=PublishConfig(),
        prometheus=PrometheusConfig(),
        home_assistant=HomeAssistantConfig(),
        clips=ClipsConfig(),
        source=(SourceConfig("mic", "microphone"),),
    )


def test_it_loads_with_every_setting_taken_in(tmp_path):
    config = load_text(tmp_path, uncommented(EXAMPLE.read_text(encoding="utf-8")))
    assert [source.type for source in config.source] == ["microphone", "file", "stdin"]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_no_key_is_left_out(table):
    shown, here = set(), ""
    for line in uncommented(EXAMPLE.read_text(encoding="utf-8")).splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        elif here == table and " = " in line and not line.startswith("#"):
            shown.add(line.split(" = ")[0])
    assert shown == set(TABLES[table]._fields)


def test_what_is_commented_out_is_the_default_or_called_an_example():
    settings = [setting for setting in commented_settings() if setting[1] not in ("name", "type")]
    assert len(settings) > 30
    for table, key, value, explanation in settings:
        shown, default = json.loads(value), TABLES[table]._field_defaults[key]  # its scalars are JSON's too
        assert (shown == default) != ("xample" in explanation), (table, key, value, explanation)
