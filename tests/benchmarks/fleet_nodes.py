"""The nodes of `bench_fleet`, all in one process: connect as ours do, then publish at the rates of ours.

Messages are built by the real MessageFactory, by the real definitions; what changes from one to the next, the time, is
filled in when it is sent. Each is due at its own moment, and its `ts_ms` is that moment, so that time lost on the way
to the broker counts as well. One JSON line on stdout for each rate.
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

from fleet_packets import CONNACK, PUBACK, PacketReader, Template, connect_packet, publish_packet, template_from

from edge.clock import UtcTime, new_boot_id
from edge.config import SHIPPED_BUNDLE
from edge.message_fields import Field
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory, status_message
from engines.bundle import load_bundle

SOURCE = "mic"
# seconds between two of a kind, of a street with a sounding a minute; kinds that the node does not have are left out
PERIODS_S = {"classification": 1.0, "level": 1.0, "state": 10.0, "health": 30.0, "event": 30.0, "summary": 60.0}
_SEND_BUFFER_BYTES = 65536
_CONNECTING_AT_ONCE = 50


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


def make_node(number: int, labels: tuple[str, ...], bundle_id: str) -> Node:
    """A node with a name, an announcement and one message of each kind."""
    name = f"corner-{number:05d}"
    factory = MessageFactory("soundclr", name, bundle_id, new_boot_id(), labels, (SOURCE,))
    now = UtcTime(time.time(), True)
    templates, announcement = [], []
    offline, online = status_message("soundclr", name, "offline"), status_message("soundclr", name, "online")
    said = [online, factory.build("info", now, values_of("info", labels)), factory.build_status("online", SOURCE)]
    for index, message in enumerate(said, start=1):
        announcement.append(publish_packet(message.topic, message.payload, message.qos, message.retain, index))
    for kind in kinds():
        source = SOURCE if MESSAGE_TYPES[kind].has_source else None
        message = factory.build(kind, now, values_of(kind, labels), source)
        templates.append(template_from(message.topic, message.payload, message.qos, message.retain))
    return Node(name, templates, announcement, connect_packet(name, offline.topic, offline.payload))


def kinds() -> list[str]:
    """The kinds of messages that a node sends by itself, as far as this version has them."""
    return [kind for kind in PERIODS_S if kind in MESSAGE_TYPES]


def values_of(kind: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """A plausible value for every field, so that each message is as long as a real one."""
    values: dict[str, Any] = {}
    for field in MESSAGE_TYPES[kind].fields:
        names = [field.name]
        for placeholder, choices in (("<label>", labels), ("<source>", (SOURCE,))):
            names = [
                each.replace(placeholder, choice)
                for each in names
                for choice in (choices if placeholder in each else ("",))
            ]
        values.update((name, _plausible(field)) for name in names)
    return values


def _plausible(field: Field) -> Any:
    by_kind = {
        "text": field.choices[0] if field.choices else "as long as a word or two",
        "texts": ["siren", "car_horn", "dog_bark", "drilling", "jackhammer", "gun_shot", "engine_idling"],
        "time": time.time(),
        "flag": False,
        "switch": "OFF",
        "count": 12345,
        "score": 0.1234,
        "seconds": 1234.567,
        "level": -34.56,
        "number": 123.456,
        "degrees": 52.516275,
    }
    return by_kind[field.kind]


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
    """Publishes at one rate for some seconds."""

    def __init__(self, nodes: list[Node], selector: selectors.BaseSelector, factor: float) -> None:
        self._nodes, self._selector, self._factor = nodes, selector, factor
        self.sent, self.sent_bytes, self.late_s = 0, 0, []
        self._owed = 0
        self._blocked: set[Node] = set()

    def run(self, seconds: float) -> dict[str, Any]:
        """Returns what was sent, and when."""
        queue = self._plan()
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
        until_s = time.monotonic() + 10.0
        while (self._owed > 0 or self._blocked) and time.monotonic() < until_s:
            self._hear(0.05)
        late = sorted(self.late_s)
        return {
            "factor": self._factor,
            "began_ms": began_ms,
            "ended_ms": ended_ms,
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "unacknowledged": self._owed,
            "late_p99_s": late[int(0.99 * (len(late) - 1))],
        }

    def _plan(self) -> list[tuple[float, int, int, float]]:
        queue = []
        for number in range(len(self._nodes)):
            for kind, name in enumerate(kinds()):
                period_s = PERIODS_S[name] / self._factor
                queue.append((random.uniform(0.0, period_s), number, kind, period_s))
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
    """Connect, wait for a line on stdin, and go through the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    random.seed(1)
    bundle = load_bundle(SHIPPED_BUNDLE)
    nodes = [make_node(number, tuple(bundle.labels), bundle.id) for number in range(arguments.nodes)]
    selector = selectors.DefaultSelector()
    took_s = connect_all(nodes, arguments.port, selector)
    print(json.dumps({"connected_s": took_s, "kinds": kinds()}), flush=True)
    for line in sys.stdin:  # a rate each
        print(json.dumps(Pace(nodes, selector, float(line)).run(arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
