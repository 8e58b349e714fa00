"""Days of a street in hours: a whole daemon in this process, as fast as it goes, watched from within.

What is watched: anonymous memory (a leak is that, and nobody shares it), file descriptors, threads; and the messages,
on their way to the publisher: sample time and `seq` never go back, no `id` comes twice (from a look to the next: to
remember all would be a leak of our own), one end for each start. The recording begins before a midnight (UTC) and an
hour and a quarter before Central Europe's clocks go back, and that is this process's time zone; the wall clock that the
store reads is stepped both ways at each look. A recording's own time must not care.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from edge.clock import SystemClock
from edge.config import Config, StoreConfig
from edge.config_file import config_from_mapping
from edge.daemon import Daemon
from edge.publish import Publisher
from edge.records import Message
from edge.rfc3339 import epoch_s_from_rfc3339
from edge.storage.sqlite_store import SqliteStore
from engines.bundle import load_bundle

STREET = Path(__file__).parents[2] / "edge" / "demonstration" / "street.ogg"
START_TIME = "2026-10-25T01:45:00+02:00"
_DAY_S = 86400.0
_STEPS_S = (0.0, -3600.0, 3600.0, 86400.0, -7200.0, 0.25, -0.25)  # of the wall clock, one after the other
_BLOCKS = 24  # of samples, for the interval of the slope
_MOST_BYTES = 1000000  # of the store, the least that it takes: it must stay bounded within the time
_STALLED_S = 600.0


class Sample(NamedTuple):
    """The process at one moment of the simulated time."""

    at_s: float
    anonymous_mb: float
    descriptors: int
    threads: int


class Slope(NamedTuple):
    """Of a straight line through means of blocks, whose noise hardly depends on each other any more."""

    per_day: float
    low: float  # of the 95 % interval
    high: float


class Account:
    """What the messages say, checked as they come."""

    def __init__(self) -> None:
        self.messages = self.starts = self.ends = self.repeated = self.backwards = self.ends_alone = 0
        self.heard_s = 0.0
        self._ids: set[int] = set()
        self._open: set[str] = set()
        self._seq: dict[str, int] = {}
        self._start_ms: int | None = None
        self._last_ms: dict[str, int] = {}
        self.minutes = self.minutes_apart = self.hours = self.hours_wrong = 0
        self._minute_end = ""
        self._valid_s: dict[str, float] = {}  # of minutes, by the hour in which they begin

    @property
    def left_open(self) -> int:
        """Events without an end so far."""
        return len(self._open)

    def take(self, message: Message) -> None:
        """Note one message, in the order in which the node built it."""
        values = json.loads(message.payload.decode("utf-8")) if message.payload[:1] == b"{" else None
        if values is None:
            return
        self.messages += 1
        key = hash(values["id"])
        self.repeated += key in self._ids
        self._ids.add(key)
        self.backwards += values["seq"] <= self._seq.get(message.topic, -1)
        self._seq[message.topic] = values["seq"]
        if values["type"] == "classification":
            self._note_time(message.topic, values["ts_ms"])
        elif values["type"] == "event":
            self._note_event(values)
        elif values["type"] == "summary":
            self._note_minute(values)
        elif values["type"] == "summary_hour":
            self._note_hour(values)

    def forget_ids(self) -> None:
        """Ids of long ago take memory that is none of the node's."""
        self._ids = set()

    def _note_time(self, topic: str, time_ms: int) -> None:
        self._start_ms = time_ms if self._start_ms is None else self._start_ms
        self.backwards += time_ms <= self._last_ms.get(topic, -1)
        self._last_ms[topic] = time_ms
        self.heard_s = (time_ms - self._start_ms) / 1000.0

    def _note_minute(self, values: dict[str, Any]) -> None:
        """Minutes of a recording follow each other without a hole."""
        self.minutes += 1
        self.minutes_apart += self._minute_end not in ("", values["start"])
        self._minute_end = values["end"]
        start_s, end_s = (epoch_s_from_rfc3339(values[name]) for name in ("start", "end"))
        hour = values["start"][:13]
        valid_s = (end_s - start_s) * values["valid_percent"] / 100.0
        self._valid_s[hour] = self._valid_s.get(hour, 0.0) + valid_s

    def _note_hour(self, values: dict[str, Any]) -> None:
        """An hour holds what its minutes held."""
        self.hours += 1
        valid_s = self._valid_s.pop(values["start"][:13], 0.0)
        self.hours_wrong += abs(values["valid_percent"] * 36.0 - valid_s) > 1.0

    def _note_event(self, values: dict[str, Any]) -> None:
        if values["phase"] == "start":
            self.starts += 1
            self._open.add(values["event_id"])
        elif values["phase"] == "end":
            self.ends += 1
            self.ends_alone += values["event_id"] not in self._open
            self._open.discard(values["event_id"])


class Result(NamedTuple):
    """A soak, over."""

    account: Account
    samples: list[Sample]  # after the warm-up
    slope: Slope
    store_bytes: int
    took_s: float
    steps: int
    threads_after: int

    def failures(self, most_mb_per_day: float = 1.0) -> list[str]:
        """What was promised and not kept; one line each."""
        account, descriptors = self.account, [sample.descriptors for sample in self.samples]
        # files and sockets come and go; lost ones stay
        early, late = descriptors[: len(descriptors) // 2 + 1], descriptors[-(len(descriptors) // 4 + 1) :]
        conditions = [
            (
                self.slope.high <= most_mb_per_day,
                f"memory is not shown to grow by less than {most_mb_per_day:g} MB a day: up to {self.slope.high:.2f}",
            ),
            (min(late) <= max(early), f"descriptors: up to {max(early)} at first, {min(late)} and more at the end"),
            (len({sample.threads for sample in self.samples}) == 1, "the number of threads changed"),
            (account.backwards == 0, f"{account.backwards} times or numbers went back"),
            (account.repeated == 0, f"{account.repeated} ids came twice"),
            (account.starts == account.ends, f"{account.starts} starts and {account.ends} ends"),
            (account.minutes_apart == 0, f"{account.minutes_apart} minutes' summaries do not follow the one before"),
            (account.hours_wrong == 0, f"{account.hours_wrong} hours' summaries do not hold what their minutes did"),
            (account.ends_alone == 0 and account.left_open == 0, "ends without their starts, or starts without ends"),
            (self.store_bytes < 8 * _MOST_BYTES, f"the store takes {self.store_bytes} bytes"),
        ]
        return [complaint for holds, complaint in conditions if not holds]


def soak(config: Config, simulated_s: float, warm_up_s: float, interval_s: float = 60.0) -> Result:
    """Run a daemon for so much simulated time.

    Args:
        config: with one file source as fast as it goes, looped; no broker is there, as in a week without an uplink.
        interval_s: simulated time between two looks at the process.
    """
    wall = _WallClock()
    account, samples, stop = Account(), [], threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder), config.store, clock=SystemClock(lambda: True, wall_s=wall.now_s)).open()
        with store, _listening_in(account):
            daemon = Daemon(config, load_bundle(Path(config.model.bundle)), "soak", stop, store=store)
            runner = threading.Thread(target=daemon.run, name="soak-node", daemon=True)
            began_s = time.monotonic()
            runner.start()
            for sample in _samples(account, runner, simulated_s, interval_s):
                wall.step()
                account.forget_ids()
                if sample.at_s >= warm_up_s:
                    samples.append(sample)
            took_s = time.monotonic() - began_s
            stop.set()
            runner.join(30.0)
            if runner.is_alive():
                raise SystemExit("the daemon did not stop within 30 s")
        store_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return Result(account, samples, slope_of(samples), store_bytes, took_s, wall.steps, threading.active_count())


def slope_of(samples: list[Sample]) -> Slope:
    """Least squares through the means of blocks of samples; 95 % by Student's t with the blocks' own scatter."""
    size = max(1, len(samples) // _BLOCKS)
    blocks = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    if len(blocks) < 4:
        raise SystemExit(f"{len(samples)} looks after the warm-up; a slope with an interval needs at least 4")
    x = [sum(one.at_s for one in block) / len(block) / _DAY_S for block in blocks]
    y = [sum(one.anonymous_mb for one in block) / len(block) for block in blocks]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - mean_x) ** 2 for one in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    rest = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    error = math.sqrt(rest / (len(x) - 2) / spread)
    half = _student_t(len(x) - 2) * error
    return Slope(slope, slope - half, slope + half)


def config_for(bundle: Path | None, hop_s: float = 1.0) -> Config:
    """One street, looped from its recording, no broker."""
    values: dict[str, Any] = {
        "node": {"name": "soak"},
        "mqtt": {"port": 1},
        "model": {"hop_s": hop_s, **({"bundle": str(bundle)} if bundle else {})},
        "store": StoreConfig(max_bytes=_MOST_BYTES)._asdict(),
        "source": [
            {
                "name": "street",
                "type": "file",
                "path": str(STREET),
                "realtime": False,
                "loop": True,
                "start_time": START_TIME,
            }
        ],
    }
    return config_from_mapping(values)


def write_table(what: str, result: Result, simulated_s: float) -> None:
    """One row for each figure."""
    account, slope, samples = result.account, result.slope, result.samples
    heard_h = account.heard_s / 3600.0
    print(f"{what}: {heard_h:.2f} h of street in {result.took_s:.0f} s ({simulated_s / 3600:.2f} h were asked for)")
    for name, value in (
        ("memory, slope after warm-up", f"{slope.per_day:+.2f} MB/day (95 %: {slope.low:+.2f} to {slope.high:+.2f})"),
        ("memory, first and last look", f"{samples[0].anonymous_mb:.1f} and {samples[-1].anonymous_mb:.1f} MB"),
        ("descriptors, least and most", _range_of([sample.descriptors for sample in samples])),
        ("threads, least and most", _range_of([sample.threads for sample in samples])),
        (
            "messages",
            f"{account.messages}; {account.repeated} ids twice, {account.backwards} times or seq back",
        ),
        ("events", f"{account.starts} starts, {account.ends} ends"),
        ("store at the end", f"{result.store_bytes / 1e6:.1f} MB of files"),
        ("steps of the wall clock", str(result.steps)),
        ("looks", str(len(samples))),
    ):
        print(f"  {name:<28} {value}")
    for complaint in result.failures():
        print(f"  NOT KEPT: {complaint}")


def main() -> None:
    """A day with the shipped bundle and a week with a tiny one; less where asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--shipped-days", type=float, default=1.0, help="of the shipped bundle (default: %(default)s)")
    parser.add_argument("--tiny-days", type=float, default=7.0, help="of the tiny model (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    failed = False
    for what, days, make in (
        ("shipped bundle", arguments.shipped_days, lambda _: config_for(None)),
        ("tiny model", arguments.tiny_days, _tiny_config),
    ):
        if days <= 0:
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            result = soak(make(folder), days * _DAY_S, warm_up_s=0.2 * days * _DAY_S)
        finally:
            shutil.rmtree(folder)
        write_table(what, result, days * _DAY_S)
        failed = failed or bool(result.failures())
    sys.exit(1 if failed else 0)


class _WallClock:
    def __init__(self) -> None:
        self._offset_s = 0.0
        self.steps = 0

    def now_s(self) -> float:
        return time.time() + self._offset_s

    def step(self) -> None:
        self.steps += 1
        self._offset_s = _STEPS_S[self.steps % len(_STEPS_S)]


def _tiny_config(folder: Path) -> Config:
    from tests.engines.bundles import write_tiny_bundle

    return config_for(write_tiny_bundle(folder / "tiny"))


@contextlib.contextmanager
def _listening_in(account: Account) -> Iterator[None]:
    """Every message passes here on its way to the store; there is no broker."""
    publish, one_at_a_time = Publisher.publish, threading.Lock()

    def note_and_publish(publisher: Publisher, message: Message) -> None:
        with one_at_a_time:
            account.take(message)
        publish(publisher, message)

    with mock.patch.object(Publisher, "publish", note_and_publish):
        yield


def _samples(account: Account, runner: threading.Thread, simulated_s: float, interval_s: float) -> Iterator[Sample]:
    next_s, moved_s, last_s = 0.0, time.monotonic(), -1.0
    while account.heard_s < simulated_s:
        if not runner.is_alive():
            raise SystemExit("the daemon ended by itself; see its log above")
        heard_s = account.heard_s
        if heard_s != last_s:
            last_s, moved_s = heard_s, time.monotonic()
        elif time.monotonic() - moved_s > _STALLED_S:
            raise SystemExit(f"nothing was heard for {_STALLED_S:g} s, after {heard_s:.0f} s of sound")
        if heard_s >= next_s and heard_s > 0:
            next_s = heard_s + interval_s
            yield Sample(heard_s, _anonymous_mb(), len(os.listdir("/proc/self/fd")), threading.active_count())
        time.sleep(0.01)


def _anonymous_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("this kernel does not tell anonymous memory (RssAnon in /proc/self/status)")


def _student_t(degrees: int) -> float:
    """97.5 % quantile; Cornish-Fisher's expansion, good to 1 % from 3 degrees on."""
    z = 1.959964
    z3, z5 = z**3, z**5
    return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees**2) + 20.0 / (degrees**3 * 10)


def _range_of(values: list[int]) -> str:
    return f"{min(values)} and {max(values)}"


if __name__ == "__main__":
    main()
