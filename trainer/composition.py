"""Composition of a street scene: single clips laid over a bed of rain, with a timeline that is the truth.

When a sound begins and ends is read from the clip's own envelope before anything is mixed: centred RMS frames of
125 ms, every 25 ms; where they lie within 20 dB of the loudest the source sounds. Onsets are so known to about 60 ms.
Pauses shorter than 2 s belong to the event, as the daemon's default `merge_gap_s` has it; longer ones part it.
SNR is the clip's RMS while it sounds over the bed's RMS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainer.data.waveforms import read_waveform
from trainer.errors import TrainerError

BED_LEVEL_DBFS = -45.0
MERGE_GAP_S = 2.0
ACTIVE_DB = 20.0
LABELS = {
    "siren": "siren",
    "car_horn": "car_horn",
    "dog": "dog_bark",
    "engine": "engine_idling",
    "train": None,
    "church_bells": None,
}  # UrbanSound8K's name; None: a distractor that must raise nothing

BEDS_REFUSED = {"195710": "its title names dogs and people"}  # Freesound ids of rain

_FRAME_S, _STEP_S = 0.125, 0.025
_LEAD_S, _TAIL_S = 0.05, 0.3  # of the clip's own room before and after the sound
_FADE_S = 0.05
_FIRST_PAUSE_S, _MIN_PAUSE_S = 6.0, 4.0
_CROSSFADE_S = 1.0


class Sound(NamedTuple):
    """A clip cut to where its source sounds."""

    file: str
    category: str
    samples: np.ndarray  # float64 [T], mono
    stretches: tuple[tuple[int, int], ...]  # samples from, to, where the source sounds


class SceneEvent(NamedTuple):
    """One sounding, as it truly is."""

    label: str | None  # None: a distractor
    category: str
    start_s: float
    end_s: float
    file: str
    snr_db: float


class Scene(NamedTuple):
    """A composed scene."""

    samples: np.ndarray  # float32 [T], mono
    events: list[SceneEvent]  # by start
    sample_rate_hz: int
    bed_file: str


def compute_envelope_db(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """RMS of centred frames, dB re full scale; floored at -120.  Shape [1 + (T - 1) // step]."""
    frame, step = int(_FRAME_S * sample_rate_hz), int(_STEP_S * sample_rate_hz)
    power = np.concatenate([[0.0], np.cumsum(np.pad(np.square(samples, dtype=np.float64), frame // 2))])
    centres = np.arange(0, len(samples), step)
    ends = np.minimum(centres + frame, len(power) - 1)
    envelope_db: np.ndarray = 10 * np.log10(np.maximum(power[ends] - power[centres], 0.0) / frame + 1e-12)
    return envelope_db


def find_stretches(samples: np.ndarray, sample_rate_hz: int) -> list[tuple[int, int]]:
    """Where a clip's source sounds, pauses under MERGE_GAP_S bridged; as the top of this file says."""
    step = int(_STEP_S * sample_rate_hz)
    envelope_db = compute_envelope_db(samples, sample_rate_hz)
    active = np.flatnonzero(envelope_db >= envelope_db.max() - ACTIVE_DB)
    breaks = np.flatnonzero(np.diff(active) * _STEP_S > MERGE_GAP_S)
    starts, ends = np.r_[active[:1], active[breaks + 1]], np.r_[active[breaks], active[-1:]]
    return [
        (int(max(0, start * step - step // 2)), int(min(len(samples), end * step + step // 2 + 1)))
        for start, end in zip(starts, ends, strict=True)
    ]


def read_sound(path: Path, category: str, sample_rate_hz: int) -> Sound:
    """Read a clip and cut it to where it sounds, with a little of its room before and after.

    Raises:
        TrainerError: it cannot be read, or is silent.
    """
    samples = read_waveform(path, sample_rate_hz).astype(np.float64)
    if not samples.any():
        raise TrainerError("%s is digital silence; expected a sound, to lay it over a bed at some SNR" % path)
    stretches = find_stretches(samples, sample_rate_hz)
    lead, tail = int(_LEAD_S * sample_rate_hz), int(_TAIL_S * sample_rate_hz)
    first, last = max(0, stretches[0][0] - lead), min(len(samples), stretches[-1][1] + tail)
    part = samples[first:last].copy()
    fade = min(int(_FADE_S * sample_rate_hz), len(part))
    part[:fade] *= np.linspace(0.0, 1.0, fade)
    part[len(part) - fade :] *= np.linspace(1.0, 0.0, fade)
    return Sound(path.name, category, part, tuple((start - first, end - first) for start, end in stretches))


def loop_bed(samples: np.ndarray, length: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    """A bed of any length from one short clip, at unit RMS.

    Pieces of random length follow each other under equal-power crossfades: rain is noise, two pieces of it are
    uncorrelated, so the level holds and nothing repeats at a fixed period.
    """
    fade = int(_CROSSFADE_S * sample_rate_hz)
    if len(samples) < 3 * fade:
        raise TrainerError(
            "a bed of %.1f s; expected at least %.1f s" % (len(samples) / sample_rate_hz, 3 * _CROSSFADE_S)
        )
    rising = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade)
    bed, at = np.zeros(length + len(samples)), 0
    while at < length:
        piece = samples[int(rng.integers(0, len(samples) - 3 * fade + 1)) :].astype(np.float64)
        if at:
            piece[:fade] *= rising
        piece[-fade:] *= rising[::-1]
        bed[at : at + len(piece)] += piece
        at += len(piece) - fade
    bed = bed[:length]
    bed /= np.sqrt(np.mean(bed**2))
    return bed


def compose_scene(
    sounds: Sequence[Sound],
    bed: Sound,
    *,
    seed: int,
    snr_db: tuple[float, float],
    duration_s: float,
    sample_rate_hz: int = 44100,
    labels: Mapping[str, str | None] = LABELS,
) -> Scene:
    """Lay sounds one after the other over a bed, in random order with random pauses.

    Args:
        sounds: at sample_rate_hz; none overlaps another.
        bed: the rain, at sample_rate_hz; of it only `samples` and `file` are used.
        snr_db: each sound's SNR is drawn between these two.
        duration_s: of the whole; what the sounds and the shortest pauses leave is spread over the pauses.
        labels: what the model calls each sound's category; None for a distractor.

    Raises:
        TrainerError: the sounds do not fit.
    """
    rng = np.random.default_rng(seed)
    length = int(duration_s * sample_rate_hz)
    order = [sounds[i] for i in rng.permutation(len(sounds))]
    pauses = _draw_pauses(length - sum(len(sound.samples) for sound in order), len(order) + 1, rng, sample_rate_hz)
    bed_rms = 10 ** (BED_LEVEL_DBFS / 20)
    scene = loop_bed(bed.samples, length, rng, sample_rate_hz) * bed_rms
    events, at = [], 0
    for sound, pause in zip(order, pauses, strict=False):
        at += pause
        ratio_db = round(float(rng.uniform(*snr_db)), 1)
        scene[at : at + len(sound.samples)] += sound.samples * (bed_rms * 10 ** (ratio_db / 20) / _active_rms(sound))
        events += [
            SceneEvent(
                labels[sound.category],
                sound.category,
                round((at + start) / sample_rate_hz, 3),
                round((at + end) / sample_rate_hz, 3),
                sound.file,
                ratio_db,
            )
            for start, end in sound.stretches
        ]
        at += len(sound.samples)
    return Scene(scene.astype(np.float32), events, sample_rate_hz, bed.file)


def _active_rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.concatenate([sound.samples[start:end] for start, end in sound.stretches]) ** 2)))


def _draw_pauses(spare: int, count: int, rng: np.random.Generator, sample_rate_hz: int) -> np.ndarray:
    shortest = np.full(count, int(_MIN_PAUSE_S * sample_rate_hz))
    shortest[0] = int(_FIRST_PAUSE_S * sample_rate_hz)
    if spare < shortest.sum():
        raise TrainerError(
            "the scene is %.1f s too short for its sounds and pauses; give a longer duration_s"
            % ((shortest.sum() - spare) / sample_rate_hz)
        )
    pauses: np.ndarray = shortest + (rng.dirichlet(np.full(count, 2.0)) * (spare - shortest.sum())).astype(np.int64)
    return pauses
