"""Telegraf's configuration against its documented options and against the definition of the messages."""

import fnmatch
import sys

import pytest

from edge.message_fields import COMMON_FIELDS
from edge.message_types import MESSAGE_TYPES
from tests.dashboards.servers import DASHBOARDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# as documented for Telegraf 1.2x and 1.3x: plugins/inputs/mqtt_consumer, parsers json and value, outputs/influxdb, and
# what every plugin takes
ANY = {"alias", "name_prefix", "name_override", "tags", "namepass"}
CONSUMER = {
    "servers", "topics", "username", "password", "qos", "persistent_session", "client_id", "max_undelivered_messages",
    "topic_tag", "topic_parsing", "data_format", "connection_timeout",
}  # fmt: skip
PARSERS = {
    "json": {"json_name_key", "json_time_key", "json_time_format", "tag_keys", "json_string_fields"},
    "value": {"data_type"},
}
INFLUXDB = {"urls", "database", "skip_database_creation", "retention_policy_tag", "exclude_retention_policy_tag"}
NO_FIELDS = {"type", "schema", "time"}  # the measurement's name, a constant, and what InfluxDB has for itself


@pytest.fixture(scope="module")
def telegraf():
    return tomllib.loads((DASHBOARDS / "telegraf.conf").read_text(encoding="utf-8"))


def matches(topic_filter, kind):
    topic = MESSAGE_TYPES[kind].topic.replace("<root>", "soundclr")
    levels, wanted = topic.split("/"), topic_filter.split("/")
    return len(levels) == len(wanted) and all(
        level == want or (want == "+" and level.startswith("<")) for level, want in zip(levels, wanted, strict=True)
    )


def kinds_of(consumer):
    return {kind for kind in MESSAGE_TYPES for topic in consumer["topics"] if matches(topic, kind)}


def test_options_are_documented_ones(telegraf):
    assert set(telegraf) == {"inputs", "outputs"}
    for consumer in telegraf["inputs"]["mqtt_consumer"]:
        assert set(consumer) <= ANY | CONSUMER | PARSERS[consumer["data_format"]]
        for parsing in consumer.get("topic_parsing", []):
            assert len(parsing["topic"].split("/")) == len(parsing["tags"].split("/"))
            assert parsing["topic"] in consumer["topics"]
    (output,) = telegraf["outputs"]["influxdb"]
    assert set(output) <= ANY | INFLUXDB


def test_every_message_but_info_and_check_is_taken_once_and_durable_ones_without_loss(telegraf):
    taken = [kind for consumer in telegraf["inputs"]["mqtt_consumer"] for kind in sorted(kinds_of(consumer))]
    assert sorted(taken) == sorted(set(MESSAGE_TYPES) - {"info", "check"})
    for consumer in telegraf["inputs"]["mqtt_consumer"]:
        is_durable = {MESSAGE_TYPES[kind].durable for kind in kinds_of(consumer)}
        assert is_durable == {consumer["tags"]["policy"] == "autogen"}
        if is_durable == {True}:
            assert consumer["qos"] == 1 and consumer["persistent_session"] and consumer["client_id"]


def test_no_string_and_no_flag_is_lost_and_none_is_named_that_there_is_not(telegraf):
    """Telegraf's json parser keeps numbers by itself, and the rest only where it is named."""
    for consumer in telegraf["inputs"]["mqtt_consumer"]:
        if consumer["data_format"] != "json":
            continue
        worded = set()
        for kind in kinds_of(consumer):
            for field in COMMON_FIELDS + MESSAGE_TYPES[kind].fields:
                if field.kind in ("text", "time", "flag", "switch"):
                    worded.add(field.name.replace("<label>", "siren").replace("<source>", "mic"))
        tags, strings = set(consumer["tag_keys"]), consumer["json_string_fields"]
        if not any(MESSAGE_TYPES[kind].has_source for kind in kinds_of(consumer)):
            worded -= {"source"}
        lost = {name for name in worded - tags - NO_FIELDS if not any(fnmatch.fnmatch(name, one) for one in strings)}
        assert lost == set()
        assert [one for one in strings if not fnmatch.filter(worded, one)] == []
        assert tags <= worded
