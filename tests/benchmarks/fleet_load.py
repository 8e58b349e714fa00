"""One rate after the other through one broker: the process of the simulated nodes, the reader, and what they saw."""

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from fleet_broker import cpu_seconds, memory_mb
from fleet_packets import PUBLISH, PacketReader, connect_packet, subscribe_packet, time_ms_in
from report import quantile

_HERE = Path(__file__).resolve().parent
LATE_MS = 1000.0
_BUSY = 0.95
_LONGEST_S = 900.0
_QUIET_S = 3.0  # nothing more comes


class Step(NamedTuple):
    """One rate."""

    factor: float  # times that of our nodes
    rate_hz: float
    lost: int
    p50_ms: float
    p99_ms: float
    growth: float  # seconds that a message is later with each second that it is due later
    behind: int  # messages sent and not delivered when the sending ended
    delivered_hz: float  # while it lasted
    broker_cpu: float  # while it lasted; 1 is one core
    broker_mb: float
    cpu_us: float  # of the broker, for each message in and out
    sender_late_p99_s: float

    @property
    def end(self) -> str:
        """Who was at its end; empty where nobody was."""
        if self.sender_late_p99_s > 0.5:
            return "the simulated nodes"
        if self.lost:
            return "messages lost"
        if self.broker_cpu > _BUSY:
            return "the broker"
        return "messages late" if self.p99_ms > LATE_MS else ""


class FleetReader:
    """Takes everything, at QoS 1, and notes when each message was due and when it came."""

    def __init__(self, port: int, topic: str = "soundclr/#") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._packets = PacketReader()
        self.times: list[tuple[int, int]] = []
        self.kept = 0  # messages that the broker had kept and gave at the beginning
        self._socket.sendall(connect_packet("reader") + subscribe_packet(topic, 1))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        quiet_from_s = time.monotonic() + 1.0
        while time.monotonic() < quiet_from_s:
            before = self.kept
            self.read(0.1)
            if self.kept > before:
                quiet_from_s = time.monotonic() + 1.0

    def __enter__(self) -> "FleetReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._selector.close()
        self._socket.close()

    def read(self, timeout_s: float) -> int:
        """Take what is there.  Returns how many messages that were."""
        if not self._selector.select(timeout_s):
            return 0
        content = self._socket.recv(1 << 18)
        if not content:
            raise SystemExit("bench_fleet: the broker closed the reader's connection")
        now_ms, answers, before = int(1000 * time.time()), bytearray(), len(self.times)
        for kind, flags, body in self._packets.feed(content):
            if kind != PUBLISH:
                continue
            if flags & 6:
                at = 2 + (body[0] << 8 | body[1])
                answers += b"\x40\x02" + body[at : at + 2]
            if flags & 1:
                self.kept += 1
            else:
                self.times.append((time_ms_in(body), now_ms))
        if answers:
            self._socket.sendall(answers)
        return len(self.times) - before


class Fleet:
    """The process of the simulated nodes."""

    def __init__(self, port: int, nodes: int) -> None:
        command = [sys.executable, str(_HERE / "fleet_nodes.py"), "--port", str(port), "--nodes", str(nodes)]
        environment = dict(os.environ, PYTHONPATH=str(_HERE.parents[1]))
        self._process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, factor: float, seconds: float, *, is_hour_end: bool = False) -> None:
        """Let it send at so many times its normal rate."""
        wish = {"factor": factor, "seconds": seconds, "is_hour_end": is_hour_end}
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()

    def has_answer(self) -> bool:
        """Whether it has come to an end."""
        return bool(self._selector.select(0))

    def hear(self) -> dict[str, Any]:
        """What it tells, waited for."""
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("bench_fleet: the simulated nodes have ended")
        return dict(json.loads(line))


class Bench:
    """A broker's process with a fleet and a reader at it."""

    def __init__(self, pid: int, fleet: Fleet, reader: FleetReader) -> None:
        self._pid, self._fleet, self._reader = pid, fleet, reader

    def run_step(self, factor: float, seconds: float, *, is_hour_end: bool = False) -> Step:
        """Send at one rate and read until all is there or nothing comes any more."""
        reader, began_s = self._reader, time.monotonic()
        reader.times.clear()
        cpu_s = cpu_seconds(self._pid)
        self._fleet.ask(factor, seconds, is_hour_end=is_hour_end)
        while time.monotonic() < began_s + seconds:
            reader.read(0.05)
        lasted_s, used_s = time.monotonic() - began_s, cpu_seconds(self._pid) - cpu_s
        delivered = len(reader.times)
        told = self._await_rest(began_s + _LONGEST_S)
        delays_ms = [float(arrived - due) for due, arrived in reader.times] or [float("nan")]
        sending_s = (told["ended_ms"] - told["began_ms"]) / 1000.0
        return Step(
            factor,
            told["sent"] / sending_s,
            told["sent"] - len(reader.times),
            quantile(delays_ms, 0.5),
            quantile(delays_ms, 0.99),
            growth_of(reader.times),
            sum(arrived > told["ended_ms"] for _, arrived in reader.times),
            delivered / lasted_s,
            used_s / lasted_s,
            memory_mb(self._pid),
            1e6 * used_s / max(1, delivered),
            told["late_p99_s"],
        )

    def _await_rest(self, until_s: float) -> dict[str, Any]:
        told: dict[str, Any] | None = None
        quiet_since_s = time.monotonic()
        while told is None or (len(self._reader.times) < told["sent"] and time.monotonic() < quiet_since_s + _QUIET_S):
            if self._reader.read(0.05):
                quiet_since_s = time.monotonic()
            if told is None and self._fleet.has_answer():
                told, quiet_since_s = self._fleet.hear(), time.monotonic()
            if time.monotonic() > until_s:
                raise SystemExit("bench_fleet: the fleet does not come to an end")
        return told


def growth_of(times: list[tuple[int, int]]) -> float:
    """Seconds that messages come later with each second that they are due later; 0 of a queue that does not grow.

    From the medians of the second and the last quarter by due time: the first settles, and one stray counts for little.

    Args:
        times: when each was due and when it came, milliseconds.
    """
    ordered = sorted(times)
    quarter = len(ordered) // 4
    if quarter == 0:
        return 0.0
    early, late = (_medians(part) for part in (ordered[quarter : 2 * quarter], ordered[-quarter:]))
    between_ms = late[0] - early[0]
    return (late[1] - early[1]) / between_ms if between_ms > 0 else 0.0


def _medians(times: list[tuple[int, int]]) -> tuple[float, float]:
    """Of due times and of delays."""
    due_ms = quantile([float(due) for due, _ in times], 0.5)
    return due_ms, quantile([float(arrived - due) for due, arrived in times], 0.5)
