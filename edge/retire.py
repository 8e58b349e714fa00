"""`soundclr-edge retire`: takes back what a node has retained at its broker, once it will not come back."""

import logging
import time
import uuid
from typing import Dict, List, NamedTuple, Set

from edge.config import Config
from edge.connection import Connection, Received
from edge.errors import EdgeError
from edge.home_assistant import discovery_topic
from edge.messages import topic_of
from edge.records import Message

_LOGGER = logging.getLogger(__name__)
_QUIET_S = 1.0  # a broker sends what is retained at once; so long a silence is its end


class StillOnlineError(EdgeError):
    """The node runs, and would retain everything again."""


class Retirement(NamedTuple):
    """What was found, and what has become of it."""

    cleared: List[str]  # topics
    kept: List[str]  # topics that still hold something: the broker's ACL swallows what we write


def retire_node(config: Config, *, force: bool = False, timeout_s: float = 10.0) -> Retirement:
    """Clear all retained topics of this node.

    What the broker lets us read of `<root>/<node>/#` is cleared, and in any case the topics that this configuration
    retains, Home Assistant's included; then it is read once more.

    Args:
        force: also where the broker has the node as online: it may have lost the node's last will.

    Raises:
        StillOnlineError: the node is online.
        NoConnectionError, ConfigError: the broker cannot be reached, or not as configured.
    """
    status = topic_of("status", config.mqtt.root, config.node.name)
    found = _retained(config, timeout_s)
    if found.get(status) == b"online" and not force:
        raise StillOnlineError(
            "node %s is online at %s:%d; stop it first (systemctl stop soundclr-edge), or give --force if it is gone"
            % (config.node.name, config.mqtt.host, config.mqtt.port)
        )
    topics = set(found) | retained_topics(config)
    _clear(config, topics, timeout_s)
    left = _retained(config, timeout_s)
    return Retirement(sorted(set(found) - set(left)), sorted(left))


def retained_topics(config: Config) -> Set[str]:
    """The topics that a node of this configuration retains."""
    root, node = config.mqtt.root, config.node.name
    of_sources = {topic_of("source_status", root, node, source.name) for source in config.source}
    discovery = {discovery_topic(config)} if config.home_assistant.discovery else set()
    return {topic_of("status", root, node), topic_of("info", root, node)} | of_sources | discovery


class _Retained(Dict[str, bytes]):
    """Payloads by topic, of messages that were retained."""

    def take(self, message: Received) -> None:
        if message.retained and message.payload:
            self[message.topic] = message.payload


def _retained(config: Config, timeout_s: float) -> "_Retained":
    found = _Retained()
    connection = _connect(config, timeout_s, found)
    try:
        connection.subscribe("%s/%s/#" % (config.mqtt.root, config.node.name), timeout_s=timeout_s)
        if config.home_assistant.discovery:
            connection.request([discovery_topic(config)])  # a broker that does not let us read it may let us write it
        deadline_s = time.monotonic() + timeout_s
        seen, quiet_since_s = len(found), time.monotonic()
        while time.monotonic() < deadline_s and time.monotonic() - quiet_since_s < _QUIET_S:
            connection.pump(0.1)
            if len(found) != seen:
                seen, quiet_since_s = len(found), time.monotonic()
        connection.close()
    finally:
        connection.abort()
    return found


def _clear(config: Config, topics: Set[str], timeout_s: float) -> None:
    connection = _connect(config, timeout_s, _Retained())
    try:
        waiting = {connection.publish(Message(topic, b"", 1, True, False)) for topic in sorted(topics)}
        deadline_s = time.monotonic() + timeout_s
        while waiting and time.monotonic() < deadline_s:
            connection.pump(0.25)
            waiting -= set(connection.take_acknowledged())
        connection.close()
    finally:
        connection.abort()


def _connect(config: Config, timeout_s: float, found: "_Retained") -> Connection:
    client_id = "%s-retire-%s" % (config.node.name, uuid.uuid4().hex[:8])
    connection = Connection(config.mqtt, client_id, on_message=found.take)
    try:
        connection.open(timeout_s)
    except Exception:
        connection.abort()
        raise
    return connection
