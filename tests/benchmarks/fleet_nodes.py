"""The nodes of `bench_fleet`, all in one process: connect as ours do, then publish at the rates of ours.

Messages are built by the node's own parts (`fleet_messages`); what changes from one to the next, the time, is filled
in when it is sent. Each is due at its own moment, and its `ts_ms` is that moment, so that time lost on the way to the
broker counts as well. One JSON line on stdin for each rate, and one on stdout when it is over.
"""

import argparse
import contextlib
import heapq
import json
import random
import resource
import selectors
import socket
import sys
import time
from typing import Any

from fleet_messages import RATES_HZ, NodeMessages, build_messages, renamed
from fleet_packets import CONNACK, PUBACK, PacketReader, Template, connect_packet, publish_packet, template_from
from report import quantile

from edge.config import SHIPPED_BUNDLE
from engines.bundle import load_bundle

_SEND_BUFFER_BYTES = 65536
_CONNECTING_AT_ONCE = 50
_TOGETHER = ("summary", "summary_hour")  # each node sends them at the end of the same minute
_TOGETHER_S = 1.0
_DRAIN_S = 300.0  # a broker that is behind may take so long to take what it was sent


class Node:
    """One simulated node."""

    def __init__(self, name: str, templates: list[Template], announcement: list[bytes], connect: bytes) -> None:
        self.name, self.templates, self.announcement, self.connect = name, templates, announcement, connect
        self.socket: Any = None
        self.reader = PacketReader()
        self.packet_id = 0
        self.unsent = b""

    def send(self, content: bytes) -> bool:
        """Hand over what the kernel takes and keep the rest.  Returns whether nothing is left."""
        self.unsent += content
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        return not self.unsent


def make_node(number: int, messages: NodeMessages) -> Node:
    """A node with a name, an announcement and one message of each kind."""
    name = f"corner-{number:05d}"
    announcement = []
    for index, message in enumerate((renamed(said, name) for said in messages.announcement), start=1):
        announcement.append(publish_packet(message.topic, message.payload, message.qos, message.retain, index))
    regular = [renamed(message, name) for message in messages.regular.values()]
    templates = [template_from(message.topic, message.payload, message.qos, message.retain) for message in regular]
    will = renamed(messages.will, name)
    return Node(name, templates, announcement, connect_packet(name, will.topic, will.payload))


def connect_all(nodes: list[Node], port: int, selector: selectors.BaseSelector) -> float:
    """Connect and announce every node, some at a time as a city comes back; the seconds that it took."""
    began_s = time.monotonic()
    for first in range(0, len(nodes), _CONNECTING_AT_ONCE):
        group = nodes[first : first + _CONNECTING_AT_ONCE]
        for node in group:
            node.socket = socket.create_connection(("127.0.0.1", port), 10)
            node.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            node.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            node.socket.setblocking(False)
            selector.register(node.socket, selectors.EVENT_READ, node)
            node.send(node.connect)
        waiting = len(group) * (1 + len(group[0].announcement))
        while waiting:
            for node, kind in _receive(selector, 10.0):
                waiting -= 1
                if kind == CONNACK:
                    node.send(b"".join(node.announcement))
    return time.monotonic() - began_s


def _receive(selector: selectors.BaseSelector, timeout_s: float) -> list[tuple[Node, int]]:
    found = []
    for key, _ in selector.select(timeout_s):
        content = key.fileobj.recv(65536)
        if not content:
            raise SystemExit(f"the broker closed the connection of {key.data.name}")
        found += [(key.data, kind) for kind, _, _ in key.data.reader.feed(content) if kind in (CONNACK, PUBACK)]
    return found


class Pace:
    """Publishes at one rate for some seconds.

    Args:
        factor: times the rates of ours.
        is_hour_end: every node's summaries of minute and hour are due in the first second, as at the end of an hour.
    """

    def __init__(
        self, nodes: list[Node], selector: selectors.BaseSelector, *, factor: float, seconds: float, is_hour_end: bool
    ) -> None:
        self._nodes, self._selector = nodes, selector
        self._factor, self._seconds, self._is_hour_end = factor, seconds, is_hour_end
        self.sent, self.sent_bytes, self.late_s = 0, 0, list[float]()
        self._owed = 0
        self._blocked: set[Node] = set()

    def run(self) -> dict[str, Any]:
        """Returns what was sent, and when."""
        queue, seconds = self._plan(), self._seconds
        began_s, began_ms = time.monotonic(), int(1000 * time.time())
        while queue[0][0] < seconds:
            now_s = time.monotonic() - began_s
            while queue[0][0] <= min(now_s, seconds - 1e-9):
                due_s, node, kind, period_s = queue[0]
                heapq.heapreplace(queue, (due_s + period_s, node, kind, period_s))
                self._send(self._nodes[node], kind, began_ms + int(1000 * due_s))
                self.late_s.append(now_s - due_s)
            self._hear(max(0.0, min(0.01, queue[0][0] - now_s)))
        ended_ms = int(1000 * time.time())
        until_s = time.monotonic() + _DRAIN_S
        while (self._owed > 0 or self._blocked) and time.monotonic() < until_s:
            self._hear(0.05)
        return {
            "began_ms": began_ms,
            "ended_ms": ended_ms,
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "unacknowledged": self._owed,
            "late_p99_s": quantile(self.late_s, 0.99),
        }

    def _plan(self) -> list[tuple[float, int, int, float]]:
        queue = []
        for number in range(len(self._nodes)):
            for kind, name in enumerate(RATES_HZ):
                period_s = 1.0 / (RATES_HZ[name] * self._factor)
                is_together = self._is_hour_end and name in _TOGETHER
                queue.append((random.uniform(0.0, _TOGETHER_S if is_together else period_s), number, kind, period_s))
        heapq.heapify(queue)
        return queue

    def _send(self, node: Node, kind: int, time_ms: int) -> None:
        template = node.templates[kind]
        node.packet_id = node.packet_id % 65535 + 1
        packet = template.packet(node.packet_id, time_ms)
        if not node.send(packet):
            self._blocked.add(node)
        self._owed += template.qos
        self.sent += 1
        self.sent_bytes += len(packet)

    def _hear(self, timeout_s: float) -> None:
        self._owed -= len(_receive(self._selector, timeout_s))
        self._blocked = {node for node in self._blocked if not node.send(b"")}


def main() -> None:
    """Connect, and go through the rates that stdin tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    random.seed(1)
    messages = build_messages(load_bundle(SHIPPED_BUNDLE))
    nodes = [make_node(number, messages) for number in range(arguments.nodes)]
    selector = selectors.DefaultSelector()
    took_s = connect_all(nodes, arguments.port, selector)
    print(json.dumps({"connected_s": took_s, "kinds": list(RATES_HZ)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(Pace(nodes, selector, **json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    main()
