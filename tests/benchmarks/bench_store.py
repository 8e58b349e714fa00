"""What a day of a busy street costs the memory card, with the store as it ships.

The day is put through the real store with its hours shortened: events of Poisson arrivals with two messages each, and
1,440 summaries of a minute. Time is shortened for the store too, so what waits for company in a day finds as much of
it here. Three counts: the bytes that the process hands to the kernel, the kernel's own count of what the process made
it write (pages of 4 KiB, write_bytes of /proc/self/io), and, as root, what an ext4 on a loop device wrote to its
device, journal and all. An event is written at once, and a page is the least that can be: with two messages an event
the pages alone of 2,000 events are 16 MB.
"""

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from report import Report, build_parser, positive

from edge.clock import UtcTime
from edge.messages import Message, MessageFactory
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm

DAY_S = 86400.0
MB = 1e6
LOOP_BYTES = 256 << 20
NOON_S = 1793534400.0


@dataclasses.dataclass(frozen=True)
class Street:
    """How busy it is."""

    events: int
    speed: float  # seconds of the day in one of ours


def main() -> None:
    """Measure and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--events", type=positive, default=2000, help="a day (default: %(default)s)")
    parser.add_argument("--hours", type=positive, default=2.0, help="of the day that are played (default: %(default)s)")
    parser.add_argument("--speed", type=positive, default=120.0, help="times faster than a day (default: %(default)s)")
    arguments = parser.parse_args()
    street, share = Street(int(arguments.events), arguments.speed), arguments.hours * 3600.0 / DAY_S
    report = Report(f"What the store writes on a day of {street.events:g} events and 1,440 summaries", [])
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name, ext4(Path(name)) as (directory, device):
        handed, paged, on_device, messages, kept = play(street, arguments.hours, directory, device)
    report.add_figure("messages a day", messages / share, "")
    report.add_figure("kept on the disk for 30 days", 30 * kept / share / MB, "MB")
    report.add_figure("handed to the kernel a day", handed / share / MB, "MB", below=20.0)
    report.add_figure("pages written a day (write_bytes)", paged / share / MB, "MB", below=20.0)
    if on_device is not None:
        report.add_figure("written to the device a day, ext4 with its journal", on_device / share / MB, "MB")
    else:
        report.add_remark("What a file system writes besides needs root and a loop device; not measured here.")
    report.add_remark(f"{arguments.hours:g} h played at {arguments.speed:g} times their pace, scaled to a day.")
    report.write(as_json=arguments.json)


def play(
    street: Street, hours: float, directory: Path, device: str | None
) -> tuple[float, float, float | None, int, int]:
    """Put a part of the day through a store.  Returns what was counted."""
    factory = MessageFactory("soundclr", "main-st-5th-ave", "soundclr-urban-1", "0" * 32, ("siren",))
    rhythm = Rhythm(*[seconds / street.speed for seconds in Rhythm()])._replace(retry_s=5.0, stalled_s=60.0)
    with SqliteStore(directory, rhythm=rhythm).open() as store:
        warm = [store.put(event(factory, "start", 0.0, 0)), store.put(summary(factory, 0.0))]
        store.flush(60.0)
        before = counted(device)
        schedule, began_s = day(street, hours * 3600.0), time.monotonic()
        for at_s, kind, number in schedule:
            time.sleep(max(0.0, began_s + at_s / street.speed - time.monotonic()))
            row = store.put(summary(factory, at_s) if kind == "summary" else event(factory, kind, at_s, number))
            for sent in store.peek(20):
                store.ack(sent.row)
        store.flush(60.0)
        kept = store.counts().bytes
    os.sync()
    after = counted(device)
    assert row - warm[-1] == len(schedule)
    on_device = None if after[2] is None or before[2] is None else after[2] - before[2]
    return after[0] - before[0], after[1] - before[1], on_device, len(schedule), kept


def day(street: Street, length_s: float) -> list[tuple[float, str, int]]:
    """When which message comes."""
    chance, schedule, at_s, number = random.Random(1), [], 0.0, 0
    while at_s < length_s:
        number += 1
        at_s += chance.expovariate(street.events / DAY_S)
        schedule += [(at_s + 3.0, "start", number), (at_s + 3.0 + chance.lognormvariate(1.6, 0.9), "end", number)]
    schedule += [(60.0 * minute, "summary", 0) for minute in range(1, int(length_s / 60.0) + 1)]
    return sorted(message for message in schedule if message[0] < length_s)


def event(factory: MessageFactory, phase: str, at_s: float, number: int) -> Message:
    """As a listener builds it, with all levels."""
    chance = random.Random(number)
    now = UtcTime(NOON_S + at_s, True)
    values = {
        "event_id": f"0123456789ab-mic-1-{number}",
        "phase": phase,
        "label": chance.choice(["siren", "dog_bark", "car_horn", "engine_idling", "street_music"]),
        "start": UtcTime(NOON_S + at_s - 4.1, True),
        "end": now,
        "duration_s": 4.1,
        "end_reason": "quiet" if phase == "end" else None,
        "score_max": chance.random(),
        "score_mean": chance.random(),
        "start_uncertainty_s": 0.25,
        "replayed": False,
        "calibrated": True,
        "calibrated_on": "2026-10-01",
    }
    names = ("laeq_db", "lafmax_db", "background_la90_db", "laeq_dbfs", "lafmax_dbfs")
    values.update((name, chance.uniform(30.0, 90.0)) for name in names)
    return factory.build("event", now, values, "mic")


def summary(factory: MessageFactory, at_s: float) -> Message:
    """A payload of the size of a minute's summary: twenty numbers more than an event."""
    chance = random.Random(at_s)
    message = event(factory, "end", at_s, int(at_s))
    numbers = "".join(',"value_%d":%.2f' % (n, chance.uniform(0, 90)) for n in range(20))
    payload = message.payload[:-1] + numbers.encode() + b"}"
    return message._replace(topic=message.topic.replace("/event", "/summary"), payload=payload)


def counted(device: str | None) -> tuple[float, float, float | None]:
    """Bytes handed over, bytes of pages written, bytes that went to the device; each since the start."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    sectors = None if device is None else float(Path(f"/sys/block/{device}/stat").read_text().split()[6])
    return float(lines["wchar"]), float(lines["write_bytes"]), None if sectors is None else 512.0 * sectors


@contextlib.contextmanager
def ext4(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """A folder on a fresh ext4 and its device; a plain folder and None where no such can be made."""
    image, mounted = folder / "card", folder / "mounted"
    mounted.mkdir()
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        yield mounted, None
        return
    with image.open("wb") as file:
        file.truncate(LOOP_BYTES)
    subprocess.check_call(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)])
    if subprocess.call(["mount", "-o", "loop,noatime", str(image), str(mounted)], stderr=subprocess.DEVNULL) != 0:
        yield mounted, None
        return
    try:
        source = subprocess.check_output(["findmnt", "-n", "-o", "SOURCE", str(mounted)], text=True).strip()
        yield mounted, source.removeprefix("/dev/")
    finally:
        subprocess.check_call(["umount", str(mounted)])


if __name__ == "__main__":
    main()
