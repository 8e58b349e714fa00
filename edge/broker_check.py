"""Whether the broker takes this node's messages: connected with its credentials, written, and read back.

Reading back matters: a broker acknowledges a message that its ACL then swallows, as MQTT 3.1.1 wants it to.
"""

import time
import uuid
from typing import List, NamedTuple, Optional

from edge.clock import SourceClock, new_boot_id
from edge.config import MqttConfig
from edge.connection import Connection, Received
from edge.connection_errors import NoConnectionError, account_of
from edge.errors import ConfigError
from edge.messages import MessageFactory, topic_of

_NAME = "broker"


class CheckResult(NamedTuple):
    """One thing that was tried."""

    name: str
    ok: bool
    detail: str  # what was found, one line
    mend: str  # what to do about it, one line; empty where all is well


def check_broker(config: MqttConfig, node: str, timeout_s: float = 10.0) -> CheckResult:
    """Connect as the node does, write to its check topic and wait to read that back.  Never raises for the broker."""
    address = "%s:%d%s" % (config.host, config.port, " (TLS)" if config.tls else "")
    try:
        took_s = _round_trip_s(config, node, timeout_s)
    except NoConnectionError as failure:
        return CheckResult(_NAME, False, failure.detail, failure.mend)
    except ConfigError as error:
        detail, _, mend = str(error).rpartition("; ")
        return CheckResult(_NAME, False, detail or str(error), mend if detail else "see [mqtt]")
    topic = topic_of("check", config.root, node)
    if took_s is None:
        return CheckResult(
            _NAME,
            False,
            "broker %s took a message for %s and did not give it back" % (address, topic),
            "let %s write and read %s/%s/# in the broker's ACL" % (account_of(config), config.root, node),
        )
    return CheckResult(
        _NAME, True, "%s took a message for %s and gave it back in %d ms" % (address, topic, round(took_s * 1000)), ""
    )


def _round_trip_s(config: MqttConfig, node: str, timeout_s: float) -> Optional[float]:
    received: List[Received] = []
    connection = Connection(config, "%s-check-%s" % (node, uuid.uuid4().hex[:8]), on_message=received.append)
    try:
        connection.open(timeout_s)
        connection.subscribe(topic_of("check", config.root, node), timeout_s=timeout_s)
        nonce = uuid.uuid4().hex
        factory = MessageFactory(config.root, node, "none", new_boot_id(), ())
        connection.publish(factory.build("check", SourceClock().utc_now(), {"nonce": nonce}))
        began_s = time.monotonic()
        while time.monotonic() - began_s < timeout_s:
            connection.pump(0.25)
            if any(nonce.encode("ascii") in message.payload for message in received):
                took_s = time.monotonic() - began_s
                connection.close()
                return took_s
        connection.close()
        return None
    finally:
        connection.abort()
