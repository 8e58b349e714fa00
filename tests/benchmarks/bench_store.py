"""What a day of a busy street costs the memory card, with the store as it ships.

The day is put through the real store with its hours shortened: events of Poisson arrivals with two messages each, and
1,440 summaries of a minute with what is kept of each for the hours and days, 24 of an hour and one of the day. Time is
shortened for the store too, so what waits for company in a day finds as much of it here. Three counts: the bytes that
the process hands to the kernel, the kernel's own count of what the process made it write (pages of 4 KiB, write_bytes
of /proc/self/io), and, as root, what an ext4 on a loop device wrote to its device, journal and all. An event is
written at once, and a page is the least that can be: with two messages an event the pages alone of 2,000 events are
16 MB.
"""

import contextlib
import dataclasses
import math
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
from edge.config import SHIPPED_BUNDLE
from edge.levels.keepsakes import KeptMark, keepsake_of_mark, keepsake_of_minute
from edge.levels.lden import NoiseDays
from edge.levels.local_day import LocalCalendar
from edge.levels.period import Period, SoundingTimes
from edge.levels.totals import Condition
from edge.messages import Message, MessageFactory
from edge.records import Calibration, Keepsake, LevelFrame
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm
from engines.bundle import load_bundle

DAY_S = 86400.0
MB = 1e6
LOOP_BYTES = 256 << 20
NOON_S = 1793534400.0
LABELS = tuple(load_bundle(SHIPPED_BUNDLE).labels)
CONDITION = Condition(Calibration(118.37, "2026-10-01", "calibrator"), None, -91.0)
FRAME_SAMPLES = 6000
FACTORY = MessageFactory("soundclr", "main-st-5th-ave", "soundclr-urban-1", "0" * 32, LABELS)
PLACE = LocalCalendar("Europe/Berlin", "07:00", "19:00", "23:00")
LENGTHS_S = {"summary": 60.0, "summary_hour": 3600.0, "summary_day": DAY_S}


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
    title = (
        f"What the store writes on a day of {street.events:g} events, and of summaries of minutes, hours and the day"
    )
    report = Report(title, [])
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name, ext4(Path(name)) as (directory, device):
        handed, paged, on_device, messages, kept = play(street, arguments.hours, directory, device)
    report.add_figure("messages a day", messages / share, "")
    report.add_figure("a minute's summary: what is sent", len(summary("summary", 60.0).payload), "bytes")
    report.add_figure("a minute's summary: what is kept of it", len(summary("summary", 60.0).keepsake.content), "bytes")
    report.add_figure("kept on the disk for 30 days", 30 * kept / share / MB, "MB")
    report.add_figure("handed to the kernel a day", handed / share / MB, "MB", below=20.0)
    report.add_figure("pages written a day (write_bytes)", paged / share / MB, "MB", below=20.0)
    if on_device is not None:
        report.add_figure("written to the device a day, ext4 with its journal", on_device / share / MB, "MB")
    else:
        report.add_remark("What a file system writes besides needs root and a loop device; not measured here.")
    report.add_remark("Of what is kept for hours and days five days stay at most: 30 days take less than it says here.")
    report.add_remark(f"{arguments.hours:g} h played at {arguments.speed:g} times their pace, scaled to a day.")
    report.write(as_json=arguments.json)


def play(
    street: Street, hours: float, directory: Path, device: str | None
) -> tuple[float, float, float | None, int, int]:
    """Put a part of the day through a store.  Returns what was counted."""
    rhythm = Rhythm(*[seconds / street.speed for seconds in Rhythm()])._replace(retry_s=5.0, stalled_s=60.0)
    with SqliteStore(directory, rhythm=rhythm).open() as store:
        warm = [store.put(event("start", 0.0, 0))] + [store.put(summary(kind, DAY_S)) for kind in LENGTHS_S]
        store.flush(60.0)
        before = counted(device)
        schedule, began_s = day(street, hours * 3600.0), time.monotonic()
        for at_s, kind, number in schedule:
            time.sleep(max(0.0, began_s + at_s / street.speed - time.monotonic()))
            row = store.put(summary(kind, at_s) if kind in LENGTHS_S else event(kind, at_s, number))
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
    for kind, period_s in LENGTHS_S.items():
        schedule += [(period_s * number, kind, 0) for number in range(1, int(length_s / period_s) + 1)]
    return sorted(message for message in schedule if message[0] <= length_s)


def event(phase: str, at_s: float, number: int) -> Message:
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
    return FACTORY.build("event", now, values, "mic")


def summary(kind: str, at_s: float) -> Message:
    """As a source's summaries build it: 480 level frames, some classes heard, and what is kept."""
    chance, end_s = random.Random(at_s), NOON_S - DAY_S / 2 + at_s
    period = Period(end_s - LENGTHS_S[kind], end_s)
    for number in range(480):
        laf = -52.0 + 6.0 * math.sin(number / 60.0 + at_s) + chance.gauss(0.0, 2.5) + 15.0 * (chance.random() < 0.02)
        energy = FRAME_SAMPLES * 10.0 ** (laf / 10.0)
        levels = (laf, laf + 0.6, laf - 0.7, laf + 0.2, laf + 9.3)
        energies = (energy, 1.3 * energy, 1.4 * energy)
        frame = LevelFrame(0, FRAME_SAMPLES, FRAME_SAMPLES, 0, *energies, *levels)
        period.totals_under(CONDITION).add(frame, 48000.0, CONDITION.noise_floor_dbfs)
    heard = chance.sample(LABELS, 2)
    period.sounding = SoundingTimes({label: chance.uniform(1.0, 30.0) for label in heard}, {heard[0]: 1})
    values = period.values(LABELS)
    if kind == "summary_day":
        values.update(NoiseDays(PLACE).values_at(end_s))
    kept = keepsake_of_minute(period, None) if kind == "summary" else keepsake_of_mark(KeptMark(kind, period.start_s))
    message = FACTORY.build(kind, UtcTime(end_s, True), values, "mic")
    return message._replace(keepsake=Keepsake("mic", kept))


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
