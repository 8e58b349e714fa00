"""Whatever stands in the configuration, the answer is a configuration or one clear line."""

import json
from typing import Any

import pytest
from hypothesis import given

from edge.config import Config
from edge.config_file import load_config
from edge.errors import ConfigError
from tests.fuzz.inputs import fuzzed, one_input
from tests.fuzz.mutations import damaged_bytes, damaged_values

EXAMPLES = [
    {"node": {"name": "corner"}, "source": [{"name": "street", "type": "microphone"}]},
    {
        "node": {"name": "corner", "site": "Main St", "latitude_deg": 52.5, "longitude_deg": 13},
        "source": [
            {"name": "street", "type": "microphone", "device": "USB", "sample_rate_hz": 48000, "channels": 0},
            {"name": "file", "type": "file", "path": "a.wav", "realtime": False, "start_time": "2026-10-01T12:34:56Z"},
            {"name": "pipe", "type": "stdin", "sample_rate_hz": 16000, "sample_format": "f32le", "channel": 0},
        ],
        "mqtt": {"host": "b", "port": 8883, "root": "a/b", "username": "u", "password_file": "p", "tls": True},
        "model": {"runtime": "auto", "precision": "fp32", "threads": 2, "hop_s": 0.5, "workspace_mib": 64},
        "gate": {"over_background_db": 3.0, "floor_dbfs": -70},
        "events": {"confirm_s": 1.0, "confirm_share": 0.5, "off_ratio": 0.5, "max_event_s": 30},
        "publish": {"classification_interval_s": 1, "state_interval_s": 5.0},
        "store": {"kind": "memory", "max_bytes": 1000000, "max_age_days": 1},
        "prometheus": {"listen": "[::1]:9464"},
    },
]


def toml_of(tables: Any) -> bytes:
    """TOML, or what a confused editor would make of it."""
    if not isinstance(tables, dict):
        return _value(tables).encode("utf-8", "surrogatepass")
    lines = []
    for name, table in tables.items():
        for one in table if isinstance(table, list) and table else [table]:
            if isinstance(one, dict):
                lines.append(("[[%s]]" if isinstance(table, list) else "[%s]") % _key(name))
                lines += ["%s = %s" % (_key(key), _value(value)) for key, value in one.items()]
            else:
                lines.insert(0, "%s = %s" % (_key(name), _value(one)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _key(name: Any) -> str:
    return name if str(name).isalnum() else json.dumps(str(name))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s = %s" % (_key(key), _value(one)) for key, one in value.items())
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def look_at(tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    with one_input("configuration", ConfigError):
        assert isinstance(load_config(path), Config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Any:
    return tmp_path_factory.mktemp("config")


def test_the_examples_themselves_are_good(tmp_path):
    for example in EXAMPLES:
        (tmp_path / "node.toml").write_bytes(toml_of(example))
        assert load_config(tmp_path / "node.toml").node.name == "corner"


@fuzzed(share=20, examples=300)
@given(tables=damaged_values(EXAMPLES))
def test_damaged_tables(folder, tables):
    look_at(folder, toml_of(tables))


@fuzzed(share=12, examples=200)
@given(content=damaged_bytes([toml_of(example) for example in EXAMPLES]))
def test_damaged_text(folder, content):
    look_at(folder, content)


@pytest.mark.parametrize(
    "content",
    [
        b"[node]\nname" + b".a" * 400 + b" = 1",
        b"[node]\nname" + b".a" * 20000 + b" = 1",
        b"[" + b"a." * 20000 + b"a]",
        b"[node]\n" + b"".join(b"k%d.a.b.c = 1\n" % number for number in range(5000)),
        b"node = " + b"[" * 5000,
        b"node = " + b"{a=" * 5000,
        b"[node]\nname = [0x" + b"f" * 20000 + b"]",
        b"[node]\nname = " + b"9" * 20000,
        b"[node]\n" + b"x" * 60000 + b" = 1",
        b"[node]\nname = '" + b"x" * 60000 + b"'",
        b"x" * (1 << 20),
        b"x" * ((1 << 20) + 1),
        b"a" + b".a" * 500000 + b" = 1",
    ],
    ids=lambda content: "%s..., %d bytes" % (content[:12].decode().replace("\n", " "), len(content)),
)
def test_what_is_made_to_cost_time_or_memory(tmp_path, content):
    look_at(tmp_path, content)
