"""Noticing another node that publishes under this node's name: cards get cloned, and names get typed twice.

Two such nodes overwrite each other's `status` and `info`, and dashboards take two corners for one. Client ids carry
the installation id, so the broker keeps both; a cloned card has that in common as well, and the two throw each other
off. Either way the other one's `info` arrives, with a `boot_id` that is not ours.
"""

import json
import logging
from typing import Any, Callable, Dict, Optional

from edge.connection import Received
from edge.messages import topic_of

_LOGGER = logging.getLogger(__name__)
_MAX_BYTES = 65536  # of an `info`; a longer one is none of ours


class NameGuard:
    """Reads the node's own `status` and `info`.  All methods are called in the publisher's thread.

    Args:
        boot_id: of this start; every `info` of ours carries it.
        on_found: called once for each other node; the moment to publish `info` anew.
    """

    def __init__(
        self, root: str, node: str, installation_id: str, boot_id: str, on_found: Callable[[], None] = lambda: None
    ) -> None:
        self._node, self._installation_id, self._boot_id = node, installation_id, boot_id
        self._on_found = on_found
        self._status_topic, self._info_topic = topic_of("status", root, node), topic_of("info", root, node)
        self._connections = 0
        self._was_online = False
        self.namesake: Optional[str] = None  # the other's installation id, the last one found

    @property
    def subscriptions(self) -> Dict[str, Callable[[Received], None]]:
        """Topics to read, in this order, and who takes what comes."""
        return {self._status_topic: self.hear_status, self._info_topic: self.hear_info}

    def begin_connection(self) -> None:
        """What the broker has kept comes now, before anything that we publish."""
        self._connections += 1
        self._was_online = False

    def hear_status(self, received: Received) -> None:
        """Somebody's `status`; what counts is whether one was online before us."""
        if received.retained:
            self._was_online = received.payload == b"online"

    def hear_info(self, received: Received) -> None:
        """Somebody's `info`: ours, that of an earlier start, or another node's."""
        info = info_from(received.payload)
        if info is None or info["boot_id"] == self._boot_id:
            return
        installation = printable(info.get("installation") or "").strip() or "of an older version"
        is_from_before = received.retained and self._connections < 2  # else it is said now, or has overwritten ours
        if is_from_before and (installation == self._installation_id or not self._was_online):
            return
        if installation != self.namesake:
            self.namesake = installation
            _LOGGER.warning("%s", describe_namesake(self._node, info, self._installation_id))
            self._on_found()


def info_from(payload: bytes) -> Optional[Dict[str, Any]]:
    """The fields of an `info` message; None where it is none."""
    try:
        info = json.loads(payload.decode("utf-8")) if len(payload) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    return info if isinstance(info, dict) and isinstance(info.get("boot_id"), str) else None


def describe_namesake(node: str, info: Dict[str, Any], installation_id: Optional[str]) -> str:
    """One line: who it is, and how to mend it."""
    site = " at %s" % printable(info["site"]) if info.get("site") else ""
    who = "installation %s%s, %s" % (
        printable(info.get("installation")),
        site,
        printable(info.get("machine")),
    )
    if info.get("installation") == installation_id:
        return (
            "a copy of this installation publishes as %r too (%s), and the two throw each other off the broker; on one "
            "of them remove installation-id from the state directory and give another name in [node]" % (node, who)
        )
    return "another node publishes as %r too (%s); give one of the two another name in [node]" % (node, who)


def printable(value: Any) -> str:
    """What somebody sent, for a line of text: cut, and nothing in it that moves a cursor."""
    text = str(value) if value is None or isinstance(value, (str, int, float)) else "?"
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])
