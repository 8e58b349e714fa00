"""The AsyncAPI document, read by the official parser, says what the definition says."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.contract.__main__ import FOLDER
from edge.message_types import MESSAGE_TYPES

pytestmark = pytest.mark.system
HERE = Path(__file__).resolve().parent
ERROR, WARNING = 0, 1  # severities of its diagnostics; 2 is information: AsyncAPI 3.1 exists


@pytest.fixture(scope="module")
def node():
    """Path of Node.js; the packages of package-lock.json are there."""
    path = shutil.which("node")
    if path is None or not (HERE / "node_modules" / ".installed").exists():
        pytest.skip(
            "Node.js 18 or later with npm is not installed, or .ci/install-node-packages tests/contract not run"
        )
    return path


def parsed(node, path):
    output = subprocess.run(
        [node, "parse_asyncapi.mjs", path], cwd=HERE, check=True, timeout=300, stdout=subprocess.PIPE
    ).stdout
    return json.loads(output)


def test_the_official_parser_finds_every_topic_as_it_is_defined(node):
    found = parsed(node, FOLDER / "asyncapi.json")
    assert [one for one in found["diagnostics"] if one["severity"] in (ERROR, WARNING)] == []
    sent = {
        one["id"][len("send_") :]: (one["address"], one["qos"], one["retain"])
        for one in found["operations"]
        if one["action"] == "send" and "home_assistant" not in one["id"]
    }
    assert sent == {
        name: (kind.topic.replace("<", "{").replace(">", "}"), kind.qos, kind.retain)
        for name, kind in MESSAGE_TYPES.items()
    }
    received = {one["id"] for one in found["operations"] if one["action"] == "receive"}
    assert received == {"receive_status", "receive_info", "receive_check", "receive_home_assistant_birth"}
    will = {"topic": "{root}/{node}/status", "qos": 1, "retain": True, "message": "offline"}
    assert found["lastWill"] == [will, will]


def test_the_official_parser_refuses_a_damaged_document(node, tmp_path):
    document = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
    document["operations"]["send_event"]["action"] = "shout"
    document["channels"]["event"]["parameters"].pop("node")
    path = tmp_path / "asyncapi.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    errors = [one["path"] for one in parsed(node, path)["diagnostics"] if one["severity"] == ERROR]
    assert errors, "the parser lets everything through"
