"""What can be told of a sound file before anything is learnt from it: rate, length, silence at its end, repetition."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
import soundfile

from trainer.data.clips import Clip

_SHORTEST_PERIOD_S = 0.05  # below it a steady tone would count as a loop
_LEAST_OVERLAP_S = 0.1  # what is repeated must be at least this long to tell a loop from chance
_TONE_S = 0.002
_LIKENESS = 0.995  # correlation from which a lossy copy counts as repeating; real sound of these data stays below 0.98
_DECODERS = 4


class ClipFacts(NamedTuple):
    """Facts of one file; those of sound are 0 or empty where there is an error."""

    error: str  # why it cannot be read; empty where it can
    rate_hz: int = 0
    channels: int = 0
    length_s: float = 0.0
    tail_s: float = 0.0  # digital silence at the end
    peak: float = 0.0
    digest: str = ""  # of the mono sound between the first and the last sample that is not zero
    period_s: float = 0.0  # the sound repeats itself with this period to its end; 0 where it does not
    exact: bool = False  # bit for bit
    period_digest: str = ""  # of one exact period: a clip and its loop-padded copy share it

    @property
    def heard_s(self) -> float:
        """Length without the silent end."""
        return self.length_s - self.tail_s


def gather_facts(clips: Sequence[Clip], progress: Callable[[int], None] = lambda done: None) -> list[ClipFacts]:
    """Facts of many clips, in their order."""
    facts = []
    with ThreadPoolExecutor(max_workers=_DECODERS, thread_name_prefix="inspect") as pool:
        for one in pool.map(lambda clip: read_facts(clip.path), clips):
            facts.append(one)
            progress(len(facts))
    return facts


def read_facts(path: Path) -> ClipFacts:
    """Facts of one file. What cannot be read is a fact too: nothing is raised."""
    if not path.is_file():
        return ClipFacts("is not there")
    try:
        samples, rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        return ClipFacts("cannot be read as sound: %s" % error)
    if not np.isfinite(samples).all():
        return ClipFacts("holds values that are not finite")
    mono = samples.mean(axis=1)
    heard = np.flatnonzero(mono)
    if not len(heard):
        return ClipFacts("holds digital silence alone" if len(mono) else "holds no sample")
    core = mono[heard[0] : heard[-1] + 1]
    period, exact = find_period(core, rate_hz)
    return ClipFacts(
        "",
        rate_hz,
        samples.shape[1],
        len(mono) / rate_hz,
        (len(mono) - 1 - int(heard[-1])) / rate_hz,
        float(np.abs(samples).max()),
        _digest(core),
        period / rate_hz,
        exact,
        _digest(core[:period] if exact else core),
    )


def find_period(samples: np.ndarray, rate_hz: int) -> tuple[int, bool]:
    """The period with which a clip repeats itself to its end, samples, and whether bit for bit; 0 where it does not.

    Loop-padding repeats a short sound until the clip is long enough. A copy that went through a lossy codec
    afterwards repeats only nearly: found by correlation of its first difference (no steady offset, less rumble).
    """
    least, overlap = int(_SHORTEST_PERIOD_S * rate_hz), int(_LEAST_OVERLAP_S * rate_hz)
    if len(samples) < least + overlap:
        return 0, False
    exact = _exact_period(samples, least, overlap)
    return (exact, True) if exact else (_near_period(np.diff(samples), least, overlap, rate_hz), False)


def _exact_period(samples: np.ndarray, least: int, overlap: int) -> int:
    starts = np.arange(least, len(samples) - overlap + 1)
    for offset in range(64):  # each sample compared leaves fewer candidates
        starts = starts[samples[starts + offset] == samples[offset]]
        if not len(starts):
            return 0
    if samples[:64].std() == 0.0:
        return 0  # a constant: everything repeats
    return next((int(start) for start in starts[:64] if np.array_equal(samples[start:], samples[:-start])), 0)


def _near_period(samples: np.ndarray, least: int, overlap: int, rate_hz: int) -> int:
    length = len(samples)
    spectrum = scipy.fft.rfft(samples, scipy.fft.next_fast_len(2 * length, real=True))
    products = scipy.fft.irfft(np.abs(spectrum) ** 2)[: length - overlap + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    lags = np.arange(len(products))
    norm = np.sqrt(energy[length - lags] * (energy[length] - energy[lags]))
    # a stretch of near silence correlates with anything: it must carry its share of the energy
    heard = energy[length] - energy[lags] > 0.01 * energy[length] * (length - lags) / length
    alike = (products > _LIKENESS * np.maximum(norm, 1e-12)) & heard
    if alike[int(_TONE_S * rate_hz) : least].any() or not alike[least:].any():
        return 0
    return least + int(np.argmax(alike[least:]))


def _digest(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples, np.float32).tobytes()).hexdigest()
