"""Samples that were too loud to be told: at full scale, or cut off flat below it."""

from typing import Optional

import numpy as np

FULL_SCALE = 1.0 - 2.0**-15  # the highest sample of 16 bits; louder ones of 24 bits count too
_QUIET = 0.1  # nothing this far below full scale is clipped by a converter of ours
_RUN_SAMPLES = 3  # equal ones in a row make a plateau
_PLATEAU_SAMPLES = 8  # so many on plateaus at the highest magnitude, in an eighth of a second
_EDGE = 2.0**-10  # a crest's rounding makes plateaus too, but steps of one or two parts in 32768 lead up to them
_EDGE_CODES = 8  # and of coarser codes: where a parabola has three samples in one, the next is within five
_SIXTEEN_BITS = 2.0**15
_COARSEST, _COARSEST_LOUD = 2.0**-7, 2.0**-5  # steps of 8 bits, and of G.711's loudest; a few samples may share more


def count_overloaded(samples: np.ndarray) -> int:
    """How many samples of an eighth of a second were overloaded.

    At full scale (`full_scale_of`) a single one counts. Sound that was clipped and turned down afterwards, by a digital
    volume behind the converter, shows itself by plateaus: runs of the very same value, the highest there is, that are
    reached in a step and not by a crest's gentle curve. Of 8 bits fewer show, as they have steps everywhere.

    Args:
        samples: of one channel, full scale 1.  Shape [T]; T at least 1.
    """
    at_full_scale = find_full_scale(samples)
    if at_full_scale is not None:
        return int(np.count_nonzero(at_full_scale))
    highest, lowest = float(samples.max()), float(samples.min())
    count = sum(_on_plateaus(samples, limit) for limit in (highest, lowest) if abs(limit) > _QUIET)
    return count if count >= _PLATEAU_SAMPLES else 0


def find_full_scale(samples: np.ndarray) -> Optional[np.ndarray]:
    """Which samples are at the highest code (`full_scale_of`); None where none is.

    Nearly all sound is far below the highest code of any format, and its codes need not be looked at.

    Args:
        samples: full scale 1.  Any shape, not empty; float.
    """
    loudest = max(float(samples.max()), -float(samples.min()))
    if loudest < 1.0 - _COARSEST:
        return None
    full_scale = full_scale_of(samples)
    return np.abs(samples) >= full_scale if loudest >= full_scale else None


def full_scale_of(samples: np.ndarray) -> float:
    """The magnitude of the highest code: louder is not to be told from it.

    A converter or a recording of 8 bits ends at 127 / 128, one of 12 at 2047 / 2048. Which it was shows in the samples
    themselves, whatever they were copied into since: all are multiples of its step. What has more than 16 bits is taken
    for 16.

    Args:
        samples: full scale 1.  Any shape, not empty; float.
    """
    return 1.0 - min(_step_of(samples) or _COARSEST, _COARSEST)


def _step_of(values: np.ndarray) -> float:
    """What all are multiples of; 0 where all are 0."""
    bits = int(np.bitwise_or.reduce(np.rint(np.abs(values) * _SIXTEEN_BITS).astype(np.int64), axis=None))
    return (bits & -bits) / _SIXTEEN_BITS


def _on_plateaus(samples: np.ndarray, limit: float) -> int:
    """How many samples lie in runs of this value that begin or end with a step."""
    at = np.flatnonzero(samples == limit)
    if len(at) < _RUN_SAMPLES:
        return 0
    loud = samples[samples / limit > 0.5]
    edge = max(_EDGE, _EDGE_CODES * min(_step_of(loud - limit), _COARSEST_LOUD))
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(at) > 1) + 1])
    lengths = np.diff(np.append(firsts, len(at)))
    begins = at[firsts]
    ends = begins + lengths  # one past each run
    before = np.abs(samples[np.maximum(begins - 1, 0)] - limit)
    behind = np.abs(samples[np.minimum(ends, len(samples) - 1)] - limit)
    is_plateau = (lengths >= _RUN_SAMPLES) & (np.maximum(before, behind) >= edge)
    return int(lengths[is_plateau].sum())
