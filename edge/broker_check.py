"""Whether the broker takes this node's messages, and whether nobody else uses its name there.

Reading back matters: a broker acknowledges a message that its ACL then swallows, as MQTT 3.1.1 wants it to.
"""

import time
import uuid
from typing import List, NamedTuple, Optional

from edge.clock import SourceClock, new_boot_id
from edge.config import Config, MqttConfig
from edge.connection import Connection, Received
from edge.connection_errors import NoConnectionError, account_of
from edge.errors import ConfigError
from edge.home_assistant import birth_topic, discovery_topic
from edge.messages import MessageFactory, topic_of
from edge.namesake import describe_namesake, info_from, printable


class CheckResult(NamedTuple):
    """One thing that was tried."""

    name: str
    ok: bool
    detail: str  # what was found, one line
    mend: str  # what to do about it, one line; empty where all is well


class _RoundTrip(NamedTuple):
    """What came of writing to the check topic."""

    took_s: Optional[float]  # until it came back; None where it did not
    kept: List[Received]  # what the broker had kept of the topics asked for


def check_broker(config: MqttConfig, node: str, timeout_s: float = 10.0) -> CheckResult:
    """Connect as the node does, write to its check topic and wait to read that back.  Never raises for the broker."""
    address = "%s:%d%s" % (config.host, config.port, " (TLS)" if config.tls else "")
    try:
        took_s = _make_round_trip(config, node, [], timeout_s).took_s
    except (NoConnectionError, ConfigError) as error:
        return _failure("broker", error)
    topic = topic_of("check", config.root, node)
    if took_s is None:
        return CheckResult(
            "broker",
            False,
            "broker %s took a message for %s and did not give it back" % (address, topic),
            "let %s write and read %s/%s/# in the broker's ACL" % (account_of(config), config.root, node),
        )
    return CheckResult(
        "broker",
        True,
        "%s took a message for %s and gave it back in %d ms" % (address, topic, round(took_s * 1000)),
        "",
    )


def check_name(config: MqttConfig, node: str, installation_id: Optional[str], timeout_s: float = 10.0) -> CheckResult:
    """Whether another node is online under this name.

    Args:
        installation_id: this node's own; None where it is not known.
    """
    status, info_topic = topic_of("status", config.root, node), topic_of("info", config.root, node)
    try:
        kept = {
            each.topic: each.payload for each in _make_round_trip(config, node, [status, info_topic], timeout_s).kept
        }
    except (NoConnectionError, ConfigError) as error:
        return _failure("name", error)
    info = info_from(kept.get(info_topic, b""))
    if info is None or kept.get(status) != b"online":
        return CheckResult("name", True, "nobody is online as %r" % node, "")
    installation = info.get("installation")
    if installation_id is None:
        return CheckResult(
            "name",
            True,
            "online as %r is installation %s; whether that is this one, --state-dir would tell"
            % (node, printable(installation)),
            "",
        )
    if installation != installation_id or info.get("namesake"):
        heard = info if installation != installation_id else dict(info, installation=info["namesake"], site=None)
        detail, _, mend = describe_namesake(node, heard, installation_id).rpartition("; ")
        return CheckResult("name", False, detail, mend)
    return CheckResult("name", True, "this installation alone is online as %r" % node, "")


def check_announcement(config: Config, timeout_s: float = 10.0) -> CheckResult:
    """Whether the broker lets this node's announcement through to Home Assistant; the node itself sends it."""
    mqtt, topic = config.mqtt, discovery_topic(config)
    status = topic_of("status", mqtt.root, config.node.name)
    try:
        kept = {
            each.topic: each.payload
            for each in _make_round_trip(mqtt, config.node.name, [status, topic], timeout_s).kept
        }
    except (NoConnectionError, ConfigError) as error:
        return _failure("home assistant", error)
    if kept.get(topic):
        return CheckResult("home assistant", True, "the node is announced at %s" % topic, "")
    if kept.get(status) != b"online":
        return CheckResult("home assistant", True, "the node will announce itself at %s once it runs" % topic, "")
    return CheckResult(
        "home assistant",
        False,
        "the node is online, and the broker has no announcement at %s" % topic,
        "let %s write and read that topic, and read %s, in the broker's ACL; then restart the node"
        % (account_of(mqtt), birth_topic(config)),
    )


def _failure(name: str, error: Exception) -> CheckResult:
    if isinstance(error, NoConnectionError):
        return CheckResult(name, False, error.detail, error.mend)
    detail, _, mend = str(error).rpartition("; ")
    return CheckResult(name, False, detail or str(error), mend if detail else "see [mqtt]")


def _make_round_trip(config: MqttConfig, node: str, topics: List[str], timeout_s: float) -> _RoundTrip:
    """Read these topics and write to the check topic: what the broker has kept comes before that comes back."""
    received: List[Received] = []
    connection = Connection(config, "%s-check-%s" % (node, uuid.uuid4().hex[:8]), on_message=received.append)
    try:
        connection.open(timeout_s)
        for topic in topics + [topic_of("check", config.root, node)]:
            connection.subscribe(topic, timeout_s=timeout_s)
        nonce = uuid.uuid4().hex
        factory = MessageFactory(config.root, node, "none", new_boot_id(), ())
        connection.publish(factory.build("check", SourceClock().utc_now(), {"nonce": nonce}))
        began_s = time.monotonic()
        took_s = None
        while took_s is None and time.monotonic() - began_s < timeout_s:
            connection.pump(0.25)
            if any(nonce.encode("ascii") in message.payload for message in received):
                took_s = time.monotonic() - began_s
        connection.close()
        return _RoundTrip(took_s, [message for message in received if message.retained])
    finally:
        connection.abort()
