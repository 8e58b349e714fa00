"""Samples that were too loud to be told: at full scale, or cut off flat below it."""

import numpy as np

FULL_SCALE = 1.0 - 2.0**-15  # the highest sample of 16 bits; louder ones of 24 bits count too
_QUIET = 0.1  # nothing this far below full scale is clipped by a converter of ours
_RUN_SAMPLES = 3  # equal ones in a row make a plateau
_PLATEAU_SAMPLES = 8  # so many on plateaus at the highest magnitude, in an eighth of a second
_EDGE = 2.0**-10  # a crest's rounding makes plateaus too, but steps of one or two parts in 32768 lead up to them


def count_overloaded(samples: np.ndarray) -> int:
    """How many samples of an eighth of a second were overloaded.

    At full scale a single one counts. Sound that was clipped and turned down afterwards, by a digital volume behind
    the converter, shows itself by plateaus: runs of the very same value, the highest there is, that are reached in a
    step and not by a crest's gentle curve.

    Args:
        samples: of one channel, full scale 1.  Shape [T]; T at least 1.
    """
    highest, lowest = float(samples.max()), float(samples.min())
    if max(highest, -lowest) >= FULL_SCALE:
        return int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
    count = sum(_on_plateaus(samples, limit) for limit in (highest, lowest) if abs(limit) > _QUIET)
    return count if count >= _PLATEAU_SAMPLES else 0


def _on_plateaus(samples: np.ndarray, limit: float) -> int:
    """How many samples lie in runs of this value that begin or end with a step."""
    at = np.flatnonzero(samples == limit)
    if len(at) < _RUN_SAMPLES:
        return 0
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(at) > 1) + 1])
    lengths = np.diff(np.append(firsts, len(at)))
    begins = at[firsts]
    ends = begins + lengths  # one past each run
    before = np.abs(samples[np.maximum(begins - 1, 0)] - limit)
    behind = np.abs(samples[np.minimum(ends, len(samples) - 1)] - limit)
    is_plateau = (lengths >= _RUN_SAMPLES) & (np.maximum(before, behind) >= _EDGE)
    return int(lengths[is_plateau].sum())
