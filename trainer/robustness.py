"""What a street does to a sound, one thing at a time, and what that costs: the robustness table.

Every condition is applied to the same clips, as waveforms at the model's rate before they are cut into windows. A clip
shorter than the window is first filled by the model's own rule, so that noise, clicks and echoes also lie in its
empty part. Deterministic: clip and condition have a generator of their own from the seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engines.windows import fill_short_clip
from trainer.data.waveforms import Waveforms, read_waveform
from trainer.effects import (
    add_click,
    add_noise,
    cut_off,
    draw_street,
    heard_rms,
    keep_loudest,
    low_pass,
    reverberate,
    tilt,
)
from trainer.errors import TrainerError
from trainer.listener import Listener
from trainer.robustness_figures import Answers

QUIETER_DB = 20.0
MUCH_QUIETER_DB = 30.0
LOUDER_DB = 10.0
MICROPHONE_NOISE_DBFS = -60.0  # RMS, white: a cheap USB microphone's own
TILT_DB_PER_DECADE = 6.0  # about 1 kHz, level below 50 Hz
CLICK_S = 0.010
FILLED_SHARE = 0.25
LOW_PASS_HZ = 8000.0
RT60_S = 0.6
CLIPPING_DB = 12.0  # the loudest peak above the level at which the wave is cut off
STREET_SNRS_DB = (6.0, 0.0)


class Condition(NamedTuple):
    """One thing that a street does."""

    name: str
    text: str  # what exactly
    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]  # filled clip [T] -> [T]


def build_conditions(listener: Listener, noises: Sequence[np.ndarray]) -> list[Condition]:
    """All conditions that change one clip.

    Args:
        noises: street recordings that the model has not heard, at its rate; empty for made-up traffic noise.
    """
    rate_hz, window = listener.spec.sample_rate_hz, listener.spec.window_samples

    def turned_down(name: str, down_db: float) -> Condition:
        def apply(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            noise = rng.standard_normal(len(samples)) * 10 ** (MICROPHONE_NOISE_DBFS / 20)
            return samples * 10 ** (-down_db / 20) + noise

        text = "%.0f dB down, then white noise of %.0f dBFS RMS for the microphone's own"
        return Condition(name, text % (down_db, MICROPHONE_NOISE_DBFS), apply)

    def street(snr_db: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
        return lambda samples, rng: add_noise(samples, draw_street(noises, len(samples), rng, rate_hz), snr_db)

    whence = "from %d recordings" % len(noises) if noises else "made up: noise with a traffic's spectrum and swell"
    return [
        Condition("clean", "as recorded", lambda samples, rng: samples),
        turned_down("quieter", QUIETER_DB),
        turned_down("much_quieter", MUCH_QUIETER_DB),
        Condition(
            "louder",
            "%.0f dB up, cut off at full scale" % LOUDER_DB,
            lambda samples, rng: np.clip(samples * 10 ** (LOUDER_DB / 20), -1.0, 1.0),
        ),
        Condition(
            "tilt_up",
            "response rising %.0f dB per decade about 1 kHz" % TILT_DB_PER_DECADE,
            lambda samples, rng: tilt(samples, rate_hz, TILT_DB_PER_DECADE),
        ),
        Condition(
            "tilt_down",
            "response falling %.0f dB per decade about 1 kHz" % TILT_DB_PER_DECADE,
            lambda samples, rng: tilt(samples, rate_hz, -TILT_DB_PER_DECADE),
        ),
        Condition(
            "click",
            "%.0f ms of full-scale noise in every window" % (1e3 * CLICK_S),
            lambda samples, rng: add_click(samples, rate_hz, window, rng, CLICK_S),
        ),
        Condition(
            "part_filled",
            "the loudest stretch of %.0f %% of a window, silence around it" % (100 * FILLED_SHARE),
            lambda samples, rng: keep_loudest(samples, window, listener.short_clip, FILLED_SHARE),
        ),
        Condition(
            "low_pass",
            "nothing above %.0f Hz (Butterworth, order 8)" % LOW_PASS_HZ,
            lambda samples, rng: low_pass(samples, rate_hz, LOW_PASS_HZ),
        ),
        Condition(
            "reverberation",
            "an echo of exponentially decaying noise, RT60 %.1f s, as loud as the direct sound" % RT60_S,
            lambda samples, rng: reverberate(samples, rate_hz, RT60_S, rng),
        ),
        Condition(
            "clipping",
            "cut off %.0f dB below its peak" % CLIPPING_DB,
            lambda samples, rng: cut_off(samples, CLIPPING_DB),
        ),
        *(
            Condition("street_%.0f_db" % snr_db, "street noise at %.0f dB SNR, %s" % (snr_db, whence), street(snr_db))
            for snr_db in STREET_SNRS_DB
        ),
    ]


def measure_robustness(
    listener: Listener,
    clips: Waveforms,
    *,
    noises: Sequence[np.ndarray] = (),
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Answers:
    """What a model makes of the same clips under each condition.

    Args:
        clips: that the model has not trained on, at its rate.
        noises: as in `build_conditions`.
        progress: told how many conditions are done.
    """
    filled = [fill(samples, listener) for samples in clips.samples]
    names = [clip.name for clip in clips.clips]
    conditions = build_conditions(listener, noises)
    right = np.empty((len(conditions), len(filled)))
    for number, condition in enumerate(conditions):
        changed = [
            condition.apply(samples, _generator(seed, condition.name, name)).astype(np.float32)
            for samples, name in zip(filled, names, strict=True)
        ]
        right[number] = _answers(listener, changed).argmax(axis=1) == clips.labels
        progress(number + 1)
    pairs = _pair(clips, np.random.default_rng((seed, zlib.crc32(b"mixed"))))
    pairs_right = _hear_mixed(listener, clips, filled, pairs)
    progress(len(conditions) + 1)
    sources = [clip.source_id for clip in clips.clips]
    return Answers(
        [(condition.name, condition.text) for condition in conditions],
        names,
        sources,
        right,
        ["%s + %s" % (names[first], names[second]) for first, second in pairs],
        [sources[first] for first, _ in pairs],
        pairs_right,
    )


def read_noises(folder: Path, sample_rate_hz: int) -> list[np.ndarray]:
    """Street recordings of a folder, at a rate.  Raises TrainerError where there is none, or one cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise TrainerError(
            "--street %s cannot be listed (%s); expected a folder of recordings" % (folder, error.strerror)
        ) from error
    if not paths:
        raise TrainerError(
            "--street %s holds no recording; put sound files right into it, or leave --street out for made-up noise"
            % folder
        )
    return [read_waveform(path, sample_rate_hz) for path in paths]


def fill(samples: np.ndarray, listener: Listener) -> np.ndarray:
    """A clip of at least one window, by the model's own rule."""
    window = listener.spec.window_samples
    return samples if len(samples) >= window else fill_short_clip(samples, window, listener.short_clip)


def _hear_mixed(
    listener: Listener, clips: Waveforms, filled: list[np.ndarray], pairs: list[tuple[int, int]]
) -> np.ndarray:
    """Two clips of different classes and sources at equal RMS: both in the top two; the best is one.  Shape [2, P]."""
    if not pairs:
        return np.zeros((2, 0))
    mixtures = []
    for first, second in pairs:
        length = min(len(filled[first]), len(filled[second]))
        one, other = filled[first][:length], filled[second][:length]
        mixture = (one / heard_rms(one) + other / heard_rms(other)).astype(np.float32)
        mixtures.append(0.5 * mixture / float(np.abs(mixture).max()))
    top = np.argsort(-_answers(listener, mixtures), axis=1)[:, :2]
    truth = np.array([[clips.labels[first], clips.labels[second]] for first, second in pairs])
    both = (np.sort(top, axis=1) == np.sort(truth, axis=1)).all(axis=1)
    return np.array([both, (top[:, :1] == truth).any(axis=1)], dtype=np.float64)


def _pair(clips: Waveforms, rng: np.random.Generator) -> list[tuple[int, int]]:
    pairs = []
    for first in range(len(clips)):
        others = [
            i
            for i in range(len(clips))
            if clips.labels[i] != clips.labels[first] and clips.clips[i].source_id != clips.clips[first].source_id
        ]
        if others:
            pairs.append((first, others[int(rng.integers(len(others)))]))
    return pairs


def _answers(listener: Listener, clips: list[np.ndarray]) -> np.ndarray:
    """Logits of the known classes.  Shape [N, K]."""
    return listener.listen(clips, lambda done: None)[:, : len(listener.labels)]


def _generator(seed: int, condition: str, clip: str) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(condition.encode()), zlib.crc32(clip.encode())))
