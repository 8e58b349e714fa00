"""A thousand nodes against one real mosquitto: where does one broker end?

The nodes are simulated in one process and publish as ours do; a reader in another takes everything. The rate is raised
step by step until messages are lost or come late, and the table says who was at its end: the broker, or the two
processes of this benchmark, which share the machine with it. The processor time that the broker takes for a message
does not depend on what else the machine does.
"""

import contextlib
import json
import os
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fleet_packets import PUBLISH, PacketReader, connect_packet, subscribe_packet, time_ms_in
from report import Report, build_parser, positive, quantile

_HERE = Path(__file__).resolve().parent
_LATE_MS = 1000.0
_BUSY = 0.95
_PATIENCE_S = 60.0


class Step(NamedTuple):
    """One rate."""

    factor: float
    rate_hz: float
    lost: int
    p50_ms: float
    p99_ms: float
    broker_cpu: float  # 1 is one core
    broker_mb: float
    cpu_us: float  # of the broker, for each message in and out
    sender_late_p99_s: float
    took_s: float

    @property
    def end(self) -> str:
        """Who was at its end; empty where nobody was."""
        if self.sender_late_p99_s > 0.5:
            return "the simulated nodes"
        if self.lost:
            return "messages lost"
        if self.broker_cpu > _BUSY:
            return "the broker"
        return "messages late" if self.p99_ms > _LATE_MS else ""


def main() -> None:
    """Raise the rate until something gives, and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="connections (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=8.0, help="for each rate (default: %(default)s)")
    parser.add_argument(
        "--most", type=positive, default=32.0, help="highest multiple of the rate (default: %(default)s)"
    )
    parser.add_argument(
        "--max-queued-messages",
        type=int,
        default=1000,
        help="mosquitto's, for a reader (default: its own, %(default)s)",
    )
    arguments = parser.parse_args()
    if find_mosquitto() is None:
        print("bench_fleet: mosquitto is not installed: apt-get install mosquitto", file=sys.stderr)
        return
    report = Report(f"A fleet of {arguments.nodes} nodes on one mosquitto", [])
    with tempfile.TemporaryDirectory() as folder, running_mosquitto(folder, arguments.max_queued_messages) as broker:
        port, process = broker
        idle_mb = memory_mb(process.pid)
        with Fleet(port, arguments.nodes, arguments.seconds) as fleet:
            connected = fleet.hear()
            report.add_figure("connected and announced, all nodes", connected["connected_s"], "s")
            per_node_kb = 1000.0 * (memory_mb(process.pid) - idle_mb) / arguments.nodes
            report.add_figure("the broker's memory for each node", per_node_kb, "kB")
            steps: list[Step] = []
            with FleetReader(port) as reader:
                kept = reader.kept
                steps += measure(reader, process.pid, fleet, arguments.most)
    write_steps(steps, connected["kinds"], as_json=arguments.json)
    retained = 3 * arguments.nodes
    report.add_figure(f"kept messages that a new reader gets at once, of {retained}", kept, "", at_least=retained)
    for step in steps[:1]:
        report.add_figure("messages a second that the fleet sends", step.rate_hz, "1/s")
        report.add_figure("of these lost", step.lost, "", below=1)
        report.add_figure("due to delivered, median", step.p50_ms, "ms")
        report.add_figure("due to delivered, p99", step.p99_ms, "ms")
    best = min(steps, key=lambda step: step.cpu_us)
    report.add_figure("broker's processor time a message, in and out", best.cpu_us, "us")
    report.add_figure("so one core of this machine ends at about", 1e6 / best.cpu_us, "1/s")
    report.add_remark(f"broker {version_of_mosquitto()}, persistence off, one reader of everything at QoS 1")
    report.add_remark("due to delivered: whole milliseconds, and the sender's own lateness is in it")
    report.write(as_json=arguments.json)


def measure(reader: "FleetReader", pid: int, fleet: "Fleet", most: float) -> Iterator[Step]:
    """One step after the other, each twice the rate, until one ends badly."""
    factor = 1.0
    while factor <= most:
        step = run_step(reader, pid, fleet, factor)
        yield step
        if step.end:
            return
        factor *= 2.0


def run_step(reader: "FleetReader", pid: int, fleet: "Fleet", factor: float) -> Step:
    """Send at one rate and read until all is there or nothing comes any more."""
    reader.times.clear()
    cpu_s, began_s = cpu_seconds(pid), time.monotonic()
    fleet.ask(factor)
    told: dict[str, Any] | None = None
    quiet_since_s = time.monotonic()
    while told is None or (len(reader.times) < told["sent"] and time.monotonic() - quiet_since_s < 3.0):
        if reader.read(0.05):
            quiet_since_s = time.monotonic()
        if told is None and fleet.has_answer():
            told, quiet_since_s = fleet.hear(), time.monotonic()
        if time.monotonic() - began_s > 10 * _PATIENCE_S:
            raise SystemExit("bench_fleet: the fleet does not come to an end")
    took_s = time.monotonic() - began_s
    used_s = cpu_seconds(pid) - cpu_s
    delays_ms = [arrived - due for due, arrived in reader.times] or [float("nan")]
    sending_s = (told["ended_ms"] - told["began_ms"]) / 1000.0
    return Step(
        factor,
        told["sent"] / sending_s,
        told["sent"] - len(reader.times),
        quantile(delays_ms, 0.5),
        quantile(delays_ms, 0.99),
        used_s / took_s,
        memory_mb(pid),
        1e6 * used_s / max(1, told["sent"]),
        told["late_p99_s"],
        took_s,
    )


class FleetReader:
    """Takes everything, at QoS 1, and notes when each message was due and when it came."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._packets = PacketReader()
        self.times: list[tuple[int, int]] = []
        self.kept = 0  # messages that the broker had kept and gave at the beginning
        self._socket.sendall(connect_packet("reader") + subscribe_packet("soundclr/#", 1))
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
        now_ms, answers, before = int(1000 * time.time()), bytearray(), len(self.times)
        for kind, flags, body in self._packets.feed(self._socket.recv(1 << 18)):
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

    def __init__(self, port: int, nodes: int, seconds: float) -> None:
        command = [sys.executable, str(_HERE / "fleet_nodes.py"), "--port", str(port), "--nodes", str(nodes)]
        environment = dict(os.environ, PYTHONPATH=str(_HERE.parents[1]))
        self._process: Any = subprocess.Popen(
            [*command, "--seconds", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, factor: float) -> None:
        """Let it send at so many times its normal rate."""
        self._process.stdin.write(f"{factor}\n")
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


def write_steps(steps: list[Step], kinds: list[str], *, as_json: bool) -> None:
    """The table, or one JSON object."""
    if as_json:
        print(json.dumps({"kinds": kinds, "steps": [dict(step._asdict(), end=step.end) for step in steps]}))
        return
    print("\nEach node sends " + ", ".join(kinds) + "; at 1 times the rate as ours do.")
    print(" times      1/s     lost   p50 ms   p99 ms  broker CPU  broker MB  us/message  at its end")
    for step in steps:
        print(
            f"{step.factor:6g}{step.rate_hz:9.0f}{step.lost:9d}{step.p50_ms:9.0f}{step.p99_ms:9.0f}"
            f"{100 * step.broker_cpu:10.0f} %{step.broker_mb:11.1f}{step.cpu_us:12.1f}  {step.end or '-'}"
        )


@contextlib.contextmanager
def running_mosquitto(folder: str, max_queued_messages: int) -> Iterator[tuple[int, Any]]:
    """A broker of its own on loopback."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    lines = ["allow_anonymous true", "persistence false", f"max_queued_messages {max_queued_messages}"]
    lines += [f"listener {port} 127.0.0.1"] + (["user root"] if os.geteuid() == 0 else [])
    settings = Path(folder) / "mosquitto.conf"
    settings.write_text("\n".join(lines) + "\n")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = subprocess.Popen([str(find_mosquitto()), "-c", str(settings)], stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield port, process
    finally:
        process.kill()
        process.wait()


def find_mosquitto() -> str | None:
    """The program, also where only root's PATH has it."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def version_of_mosquitto() -> str:
    """As it says itself."""
    told = subprocess.run([str(find_mosquitto()), "-h"], capture_output=True, text=True, check=False).stdout
    return told.splitlines()[0] if told else "mosquitto"


def cpu_seconds(pid: int) -> float:
    """Processor time of a process since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
