"""What the fleet's benchmark sends is what nodes send."""

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from edge.config import SHIPPED_BUNDLE
from edge.message_schema import json_schema
from edge.message_types import MESSAGE_TYPES
from engines.bundle import load_bundle

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))
from fleet_messages import RATES_HZ, build_messages, renamed
from fleet_packets import PUBLISH, PacketReader, template_from, time_ms_in

# on connection or once in a while: not at a rate of their own
_ELSEWHERE = {"status", "source_status", "info", "clip", "check", "summary_day"}


@pytest.fixture(scope="module")
def messages():
    return build_messages(load_bundle(SHIPPED_BUNDLE))


def test_every_type_of_message_is_sent_by_the_fleet_or_named_as_left_out():
    assert set(RATES_HZ) | _ELSEWHERE == set(MESSAGE_TYPES)
    assert RATES_HZ["level"] == 1.0 and RATES_HZ["summary"] == 1.0 / 60.0


@pytest.mark.parametrize("kind", sorted(RATES_HZ))
def test_each_message_obeys_the_contract_and_is_told_by_its_own_type(messages, kind):
    message, definition = messages.regular[kind], MESSAGE_TYPES[kind]
    values = json.loads(message.payload)
    jsonschema.validate(values, json_schema(kind))
    assert values["type"] == kind
    assert (message.qos, message.retain) == (definition.qos, definition.retain)


def test_levels_and_summaries_are_those_of_a_calibrated_street_that_sounded(messages):
    level, minute, hour = (json.loads(messages.regular[kind].payload) for kind in ("level", "summary", "summary_hour"))
    for values in (level, minute, hour):
        assert values["calibrated"] and values["valid_percent"] == 100.0 and values["lafmax_db"] > values["laeq_db"]
    begun = {kind: sum(v for name, v in values.items() if name.startswith("events_")) for kind, values in
             (("minute", minute), ("hour", hour))}  # fmt: skip
    assert begun == {"minute": 1, "hour": 60}


def test_another_node_sends_the_same_under_its_own_name(messages):
    message = renamed(messages.regular["summary"], "corner-00917")
    assert message.topic == "soundclr/corner-00917/mic/summary"
    assert json.loads(message.payload)["node"] == "corner-00917"
    assert b"corner-00000" not in message.payload
    with pytest.raises(ValueError, match="expected 12 characters"):
        renamed(message, "corner")


def test_the_time_is_filled_in_and_read_again(messages):
    for message in messages.regular.values():
        template = template_from(message.topic, message.payload, message.qos, message.retain)
        ((kind, _, body),) = PacketReader().feed(template.packet(7, 1793534400123))
        assert kind == PUBLISH and time_ms_in(body) == 1793534400123
