"""Level frames made up of random sound, and what their samples come to when all are looked at at once."""

import numpy as np

from edge.records import LevelFrame

RATE_HZ = 8000
FRAME_SAMPLES = RATE_HZ // 8


def frame_at(index, laf_dbfs, *, rate_hz=RATE_HZ, heard=1.0, overload=0, offset_samples=0):
    """The frame of this number, steady at a level; C is 1 dB more, Z 2 dB, extremes lie around it."""
    length = rate_hz // 8
    first = index * length + offset_samples
    heard_samples = int(round(heard * length))
    if heard_samples == 0:
        return LevelFrame(first, first + length, 0, 0, 0.0, 0.0, 0.0, None, None, None, None, None)
    energies = [heard_samples * 10.0 ** ((laf_dbfs + over_db) / 10.0) for over_db in (0.0, 1.0, 2.0)]
    levels = (laf_dbfs, laf_dbfs + 0.5, laf_dbfs - 0.5, laf_dbfs + 0.25, laf_dbfs + 9.0)
    return LevelFrame(first, first + length, heard_samples, overload, *(tuple(energies) + levels))


def street_of(seconds, seed=1, **options):
    """Frames of a street: traffic that swells, and a passing now and then."""
    chance = np.random.RandomState(seed)
    count = int(seconds * 8)
    levels = -52.0 + 4.0 * np.sin(np.arange(count) / 90.0) + 2.0 * chance.randn(count)
    levels += 18.0 * (chance.rand(count) < 0.03)
    return [frame_at(index, float(level), **options) for index, level in enumerate(levels)]


def mean_level_of(frames):
    """LAeq of frames, by their definition."""
    heard = sum(frame.heard_samples for frame in frames)
    return 10.0 * np.log10(sum(frame.energy_a for frame in frames) / heard)
