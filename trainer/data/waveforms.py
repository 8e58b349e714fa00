"""Clips as mono waveforms in memory, at the model's rate."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from trainer.data.datasets import UNKNOWN_LABEL, Clip
from trainer.errors import TrainerError

MIN_CLIP_S = 0.05


class Waveforms(NamedTuple):
    """Clips with their sound. All fields run over clips, in one order."""

    samples: list[np.ndarray]  # each float32 [T], mono
    labels: np.ndarray  # int64 [N]; UNKNOWN_LABEL for clips of no known class
    folds: np.ndarray  # int64 [N]
    clips: list[Clip]

    def select(self, chosen: np.ndarray) -> Waveforms:
        """The clips where the mask [N] is true."""
        at = np.flatnonzero(chosen)
        return Waveforms([self.samples[i] for i in at], self.labels[at], self.folds[at], [self.clips[i] for i in at])

    def __len__(self) -> int:
        return len(self.samples)


def read_waveform(path: Path, sample_rate_hz: int) -> np.ndarray:
    """Decode one file to mono at a rate, without the digital silence that a data set may have appended.

    ESC-50 pads clips shorter than 5 s with zeros; a network learns "zeros, so a sneeze".

    Raises:
        TrainerError: the file cannot be decoded, holds less than 50 ms of sound, or numbers that are not finite.
    """
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise TrainerError("%s cannot be read as sound: %s" % (path, error)) from error
    mono = samples.mean(axis=1)
    heard = np.flatnonzero(mono)
    mono = mono[: heard[-1] + 1] if len(heard) else mono[:0]
    if len(mono) < MIN_CLIP_S * rate or not np.isfinite(mono).all():
        raise TrainerError(
            "%s holds %.3f s of sound, or values that are not finite; expected at least %.2f s: "
            "remove it from the table" % (path, len(mono) / rate, MIN_CLIP_S)
        )
    return mono if rate == sample_rate_hz else soxr.resample(mono, rate, sample_rate_hz)


def read_waveforms(clips: Sequence[Clip], labels: Sequence[str], sample_rate_hz: int) -> Waveforms:
    """Decode many clips; a category that is not among `labels` gets UNKNOWN_LABEL."""
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="decode") as pool:
        samples = list(pool.map(lambda clip: read_waveform(clip.path, sample_rate_hz), clips))
    index = {label: i for i, label in enumerate(labels)}
    return Waveforms(
        samples,
        np.array([index.get(clip.category, UNKNOWN_LABEL) for clip in clips], np.int64),
        np.array([clip.fold for clip in clips], np.int64),
        list(clips),
    )
