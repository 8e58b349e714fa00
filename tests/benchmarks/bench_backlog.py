"""A million stored messages go out after a long outage: pace, order, memory, and how long news wait behind them.

The store is the node's own, on this disk; the broker a real mosquitto. With `--rate` at the node's default a million
take hours, so the benchmark looks at so many seconds of it; 0 seconds drains them all.
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from fleet_broker import find_mosquitto, memory_mb, running_mosquitto, version_of_mosquitto
from report import Report, build_parser

from edge.clock import UtcTime
from edge.config import MqttConfig, StoreConfig
from edge.connection import Connection, Received
from edge.messages import MessageFactory
from edge.publish import Publisher
from edge.records import Message
from edge.storage import SqliteStore

_EVENT_TOPIC = "soundclr/corner/street/event"
_AGO_S = 7 * 86400.0


class WeekOldClock:
    """The machine's clock, a week ago."""

    def now(self) -> UtcTime:
        """As it was."""
        return UtcTime(time.time() - _AGO_S, True)

    def read(self) -> tuple[float, bool]:
        """UTC minus monotonic time, and whether a time server has set the clock."""
        return time.time() - _AGO_S - time.monotonic(), True


class CountingReader:
    """Reads events and keeps only what the figures need."""

    def __init__(self, port: int) -> None:
        self._stop = threading.Event()
        self._connection = Connection(MqttConfig(port=port), "reader", on_message=self._take)
        self.old, self.out_of_order, self.not_marked, self.bytes = 0, 0, 0, 0
        self.arrived_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> "CountingReader":
        self._connection.open()
        self._connection.subscribe(_EVENT_TOPIC)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._connection.abort()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._connection.pump(0.2)

    def _take(self, received: Received) -> None:
        values = json.loads(received.payload)
        self.bytes += len(received.payload)
        if values["boot_id"] == "now":
            self.arrived_s[values["event_id"]] = time.monotonic()
            return
        self.out_of_order += values["event_id"] != f"e{self.old}"
        self.not_marked += not values["replayed"]
        self.old += 1


def main() -> None:
    """Fill, drain for a while, report."""
    parser = build_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100000, help="stored messages (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10000.0, help="replay_rate_hz (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="0: until all are out (default: %(default)s)")
    arguments = parser.parse_args()
    if find_mosquitto() is None:
        print("bench_backlog: mosquitto is not installed: apt-get install mosquitto", file=sys.stderr)
        return
    report = Report(f"{arguments.rows} stored messages after an outage, replay_rate_hz {arguments.rate:g}", [])
    with tempfile.TemporaryDirectory() as folder, running_mosquitto(folder, 1000) as (port, _):
        state = Path(folder) / "state"
        report.add_figure("putting and writing one", 1e6 * fill(state, arguments.rows) / arguments.rows, "us")
        config = MqttConfig(port=port, replay_rate_hz=arguments.rate)
        with CountingReader(port) as reader, SqliteStore(state, StoreConfig(max_bytes=10**10)).open() as store:
            with Publisher(config, "corner", store, list) as publisher:
                drain(report, reader, store, publisher, arguments.rows, arguments.seconds)
    report.add_remark(f"{version_of_mosquitto()}, max_queued_messages 1000; store, publisher and reader in one process")
    report.write(as_json=arguments.json)


def drain(report: Report, reader: CountingReader, store: Any, publisher: Publisher, rows: int, seconds: float) -> None:
    """Let it drain, with a new message each half second."""
    factory = make_factory("now")
    began_s, sent_s, memory = time.monotonic(), {}, []
    while store.counts().waiting and (not seconds or time.monotonic() - began_s < seconds):
        number = len(sent_s)
        sent_s[f"e{number}"] = time.monotonic()
        publisher.publish(make_event(factory, UtcTime(time.time(), True), number))
        memory.append(memory_mb_of_this())
        time.sleep(0.5)
    took_s = time.monotonic() - began_s
    until_s = time.monotonic() + 30.0
    while len(reader.arrived_s) < len(sent_s) and time.monotonic() < until_s:
        time.sleep(0.05)
    waited_s = [reader.arrived_s[name] - at_s for name, at_s in sent_s.items() if name in reader.arrived_s]
    report.add_figure("messages of the backlog a second", reader.old / took_s, "1/s")
    report.add_figure("of them out of order", reader.out_of_order, "", below=1)
    report.add_figure("of them not marked replayed", reader.not_marked, "", below=1)
    report.add_figure("new messages that did not arrive", len(sent_s) - len(waited_s), "", below=1)
    report.add_row("a new message, published to read", waited_s, "ms", 1e3)
    report.add_figure("the longest of these", max(waited_s), "s", below=2.0)
    report.add_figure("memory a quarter of the way", memory[len(memory) // 4], "MB")
    report.add_figure("memory at the end", memory[-1], "MB")
    report.add_remark(f"{reader.old} of {rows} read in {took_s:.0f} s, {reader.bytes / 1e6:.0f} MB")


def fill(state: Path, rows: int) -> float:
    """A store of an earlier start; the seconds that it took."""
    factory, began_s = make_factory("before"), time.monotonic()
    with SqliteStore(state, StoreConfig(max_bytes=10**10), clock=WeekOldClock()).open() as store:  # type: ignore
        for number in range(rows):
            store.put(make_event(factory, WeekOldClock().now(), number))
            if number % 5000 == 4999 and not store.flush(60.0):
                raise SystemExit("bench_backlog: the disk does not take it")
        store.flush(60.0)
    return time.monotonic() - began_s


def make_factory(boot_id: str) -> MessageFactory:
    """Builds this node's messages."""
    return MessageFactory("soundclr", "corner", "b", boot_id, ("siren",))


def make_event(factory: MessageFactory, at: UtcTime, number: int) -> Message:
    """One event."""
    values = dict(event_id=f"e{number}", phase="end", label="siren", start=at, end=at, duration_s=0.0)
    return factory.build(
        "event", at, dict(values, end_reason="quiet", score_max=0.5, score_mean=0.5, replayed=False), "street"
    )


def memory_mb_of_this() -> float:
    """Resident memory of this process."""
    return memory_mb(os.getpid())


if __name__ == "__main__":
    main()
