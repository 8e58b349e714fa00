"""A day that nobody recorded, written as parts: levels, spectra and events that are known beforehand."""

import math

import numpy as np

from edge.archive.chronicle import Chronicle
from edge.archive.level_rows import LevelScale
from edge.archive.part import FileRow, Measured, Part, PartWriter
from edge.archive.reels import Reel, Take
from edge.archive.seconds import OwnShare, Second
from edge.records import EventChange

RATE_HZ = 16000
MIDNIGHT_S = 1790812800.0  # 2026-10-01T00:00:00Z
LABELS = ("car_horn", "dog_bark", "siren")
NO_SHARE = OwnShare(0, 0.0, None)


def second_at(start_s, laeq_dbfs, overload=False, length_s=1):
    """One second of steady noise, or longer; its LAF is its LAeq."""
    samples = length_s * RATE_HZ
    energy = samples * 10.0 ** (laeq_dbfs / 10.0)
    return Second(
        float(start_s), samples, samples, RATE_HZ // 8 if overload else 0, energy, 2 * energy, 3 * energy,
        laeq_dbfs + 5.0, laeq_dbfs - 5.0, laeq_dbfs + 3.0, laeq_dbfs + 12.0, (laeq_dbfs,) * 8, None,
    )  # fmt: skip


def event_of(label, start_s, end_s, **values):
    """An event at its end; times from the reel's own beginning."""
    event = EventChange("x-1", "end", label, start_s, end_s, "quiet", 0.9, 0.8, 0.25)
    return event._replace(laeq_dbfs=-30.0, lafmax_dbfs=-25.0, background_la90_dbfs=-50.0)._replace(**values)


def take_at(start_s, duration_s, recorder="/archive/street"):
    """A file that began so many seconds after midnight."""
    start_epoch_s = None if start_s is None else MIDNIGHT_S + start_s
    path = "%s-%s.wav" % (recorder, start_s)
    return Take(path, 1000, 5, RATE_HZ, 1, int(duration_s * RATE_HZ), start_epoch_s, recorder)


def write_part(path, reel, seconds, events=(), column_s=10.0, measured=Measured(None, ()), shares=None):
    """A part with these seconds, and a spectrum that is loud at 1 kHz."""
    part = PartWriter(reel, LABELS, measured)
    for number, event in enumerate(events):
        part.write_event(event, 0.0, shares[number] if shares else NO_SHARE)
    energies = {}
    for second in seconds:
        part.write_second(second)
        energies[second.start_s // column_s * column_s] = second.energy_a
    for start_s in sorted(energies):
        level = 10.0 * math.log10(energies[start_s] / RATE_HZ)
        bands = [int(2 * (level - 8.0 - 12.0 * abs(math.log10((25.0 * 10 ** (n / 20.0)) / 1000.0)))) for n in range(49)]
        part.write_spectrum((start_s, column_s, bands))
    for take in reel.own:
        part.write_file(FileRow(take.path, 0.0, take.duration_s, "heard", "", None))
    path.write_bytes(part.finish())


def chronicle_of(reels_and_parts, calibration=None):
    """A chronicle of parts in files."""
    paths = {reel.own[0].path: path for reel, path in reels_and_parts}
    return Chronicle(
        [reel for reel, _ in reels_and_parts],
        lambda reel: (paths[reel.own[0].path].stem, Part(str(paths[reel.own[0].path]))),
        LABELS,
        LevelScale(calibration),
    )


def write_busy_day(folder):
    """Twenty-four hours with a rush hour, a hole from 03:00 to 04:30, and sirens.  Returns reels and parts."""
    random = np.random.RandomState(1)
    made = []
    for start_h, hours in ((0, 3), (4.5, 7.5), (12, 12)):
        start_s, duration_s = 3600.0 * start_h, 3600.0 * hours
        hour = (start_s + np.arange(int(duration_s))) / 3600.0
        levels = -62.0 + 12.0 * np.exp(-(((hour - 8) / 2.5) ** 2)) + 11.0 * np.exp(-(((hour - 17.5) / 3.0) ** 2))
        levels = levels + 2.5 * np.convolve(random.standard_normal(len(hour)), np.ones(9) / 3.0, "same")
        events = []
        for at_s in sorted(random.uniform(0, duration_s - 100, int(6 * hours))):
            length_s = float(random.uniform(2, 60))
            events.append(event_of(LABELS[random.randint(3)], float(at_s), float(at_s) + length_s))
            levels[int(at_s) : int(at_s + length_s)] += 14.0
        reel = Reel((), (take_at(start_s, duration_s),), ())
        path = folder / ("%04.1f.jsonl.gz" % start_h)
        seconds = (second_at(n, float(v), overload=start_h == 12 and n == 7000) for n, v in enumerate(levels))
        write_part(path, reel, seconds, events)
        made.append((reel, path))
    return made
