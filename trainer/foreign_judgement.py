"""How well foreign sound is told from known sound, with everything taken away that is not the sound itself.

Two data sets differ in more than their classes: one ends at 11 kHz and the other does not, one pads with digital
silence. A network told by that alone would look good and hear nothing. So both sets go through the same low-pass, which
leaves nothing above the band that both have, every silent stretch is filled with the same kind of noise at the clip's
own floor, sources that both sets hold are left out, and so are categories that the model was trained on in any role.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import soundfile

from engines.foreignness import foreignness
from trainer.data.clips import Clip, Dataset, share_folds
from trainer.data.datasets import ESC10_CLASSES
from trainer.data.waveforms import read_waveform
from trainer.effects import band_limit
from trainer.errors import TrainerError
from trainer.evaluate import DISTANCE, order_scores
from trainer.known_space import fit_space, measure_distances
from trainer.listener import Listener, read_heard
from trainer.neighbours import neighbour_distances
from trainer.report.figures import foreign_figures_by_score

NEIGHBOURS = "neighbours"  # distance to the nearest clips that were trained on
_BAND_SHARE = 0.9  # of the lower Nyquist frequency: converters and resamplers fall off above
_FRAME_S = 0.05
_FLOOR_PERCENTILE = 10
_LOWEST_FLOOR = 1e-4  # -80 dBFS
_LEAST_SILENCE_S = 0.02


class ForeignTest(NamedTuple):
    """Who is judged."""

    known: list[Clip]
    foreign: list[Clip]
    band_limit_hz: float
    left_out: dict[str, int]  # why -> foreign clips that may not judge


class Judged(NamedTuple):
    """What one network made of them: the known clips, then the foreign ones."""

    test: ForeignTest
    scores: dict[str, np.ndarray]  # by its name, the node's own first: float64 [N], higher is more foreign


def choose_foreign(
    listener: Listener, data: Dataset, foreign: Dataset, *, folds: list[int], skip: Sequence[str]
) -> ForeignTest:
    """Known clips that the model has not heard, and foreign ones of categories that it met in no role.

    Args:
        skip: foreign categories that are a known class under another name.

    Raises:
        TrainerError: nothing is left.
    """
    known = listener.unheard(data, folds)
    usable, reasons = find_unmet(listener, data, foreign, skip=skip)
    if not usable:
        raise TrainerError(
            "no clip of %s may judge: %s; judge a run that held categories out (--foreign-hold-out)"
            % (foreign.name, dict(reasons))
        )
    left_out = {reason: count for reason, count in sorted(reasons.items()) if reason}
    return ForeignTest(known, usable, _common_band_hz(listener, known, usable), left_out)


def choose_alike(
    listeners: Sequence[Listener], data: Dataset, foreign: Dataset, *, folds: list[int], skip: Sequence[str]
) -> list[ForeignTest]:
    """As `choose_foreign` for each of several networks, all within the band that the narrowest of them leaves."""
    tests = [choose_foreign(listener, data, foreign, folds=folds, skip=skip) for listener in listeners]
    limit_hz = min(test.band_limit_hz for test in tests)
    return [test._replace(band_limit_hz=limit_hz) for test in tests]


def find_unmet(
    listener: Listener, data: Dataset, foreign: Dataset, *, skip: Sequence[str]
) -> tuple[list[Clip], Counter[str]]:
    """Foreign clips of categories that the model met in no role; and why how many others are none ("" for these)."""
    shared = {clip.source_id for clip in data.clips}
    trained = _trained_categories(listener, foreign)
    same = set(skip) | set(listener.labels) | set(data.categories)
    same |= set(listener.record.foreign_skip) if listener.record else set()
    reasons = {clip: _why_not(clip, same, trained, shared) for clip in foreign.clips}
    return [clip for clip, reason in reasons.items() if not reason], Counter(reasons.values())


def judge_foreign(
    listener: Listener,
    test: ForeignTest,
    *,
    fill_silence: bool = True,
    bank: Sequence[Clip] = (),
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Judged:
    """The scores that a network's outputs allow for: the extra output where it has one, and the energy.

    Args:
        bank: clips that the network was trained on, for the distances to the nearest of them and to their space too.
        fill_silence: the other way is for telling what the silence alone was worth.
        progress: told how many clips are read.
    """
    rate_hz, window = listener.spec.sample_rate_hz, listener.spec.window_samples
    chosen = [*test.known, *test.foreign]
    sounds = []
    for done, clip in enumerate(chosen, start=1):
        rng = np.random.default_rng((seed, zlib.crc32(clip.name.encode())))
        samples = read_waveform(clip.path, rate_hz).astype(np.float64)
        if fill_silence:
            samples = fill_with_noise(samples, window, rate_hz, rng)
        sounds.append(band_limit(samples, rate_hz, test.band_limit_hz).astype(np.float32))
        progress(done)
    if not bank:
        return Judged(test, _score_outputs(listener.listen(sounds, lambda done: None), listener))
    logits, embeddings = listener.embed(sounds)
    known = [read_waveform(clip.path, rate_hz).astype(np.float32) for clip in bank]
    trained = listener.embed(known)[1]
    scores = _score_outputs(logits, listener)
    scores[NEIGHBOURS] = neighbour_distances(embeddings, trained)
    if not listener.measures_distance:
        scores[DISTANCE] = measure_distances(embeddings, fit_space(trained))
    return Judged(test, scores)


def describe_judged(parts: Sequence[Judged], *, fill_silence: bool) -> dict[str, Any]:
    """AUROC and FPR95 with intervals by source, in all and by category: means over networks of each one's own.

    The first score is a bundle's own, or of a run the preferred one; the others stand beside it. Which of them a bundle
    of a run decides by, `export` chooses.
    """
    known = [clip for part in parts for clip in part.test.known]
    foreign = [clip for part in parts for clip in part.test.foreign]
    chosen = [[*part.test.known, *part.test.foreign] for part in parts]
    is_foreign = np.concatenate(
        [np.arange(len(row)) >= len(part.test.known) for row, part in zip(chosen, parts, strict=True)]
    )
    sources = [clip.source_id for row in chosen for clip in row]
    categories = np.array([clip.category for row in chosen for clip in row])
    runs = np.concatenate([np.full(len(row), number) for number, row in enumerate(chosen)])
    scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
    left_out: Counter[str] = Counter()
    for part in parts:
        left_out |= Counter(part.test.left_out)  # of one data set: the most that any run leaves out
    return {
        "runs": len(parts),
        "known_clips": len(set(known)),
        "known_sources": len({clip.source_id for clip in known}),
        "foreign_clips": len(set(foreign)),
        "foreign_sources": len({clip.source_id for clip in foreign}),
        "band_limit_hz": parts[0].test.band_limit_hz,
        "silence_filled": fill_silence,
        "left_out": dict(left_out),
        **foreign_figures_by_score(scores, is_foreign, sources, categories, runs),
    }


def _score_outputs(logits: np.ndarray, listener: Listener) -> dict[str, np.ndarray]:
    n_labels = len(listener.labels)
    if listener.measures_distance:
        return order_scores(logits[:, :n_labels], n_labels, foreignness(logits, "reject_logit", n_labels))
    scores = order_scores(logits, n_labels)
    if listener.bundle is None:
        return scores
    decides = listener.bundle.decision.foreign.method  # a bundle's own comes first
    return {decides: scores.pop(decides), **scores}


def fill_with_noise(samples: np.ndarray, window: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A clip in the middle of at least one window, its surroundings and every stretch of digital silence of 20 ms or
    more filled with white noise at the clip's own floor (10th percentile of the RMS of 50 ms frames, at least
    -80 dBFS)."""
    missing = max(0, window - len(samples))
    filled = np.pad(samples, (missing // 2, missing - missing // 2))
    silent = _long_runs(filled == 0.0, int(_LEAST_SILENCE_S * rate_hz))
    filled[silent] = rng.standard_normal(int(silent.sum())) * _noise_floor(samples, rate_hz)
    return filled


def _noise_floor(samples: np.ndarray, rate_hz: int) -> float:
    frame = int(_FRAME_S * rate_hz)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame) if len(samples) >= frame else samples[None]
    levels = np.sqrt(np.mean(np.square(frames), axis=1))
    heard = levels[levels > 0]
    return max(_LOWEST_FLOOR, float(np.percentile(heard, _FLOOR_PERCENTILE)) if len(heard) else 0.0)


def _long_runs(holds: np.ndarray, least: int) -> np.ndarray:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]])))
    chosen = np.zeros(len(holds), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        chosen[start:end] = end - start >= least
    return chosen


def _trained_categories(listener: Listener, foreign: Dataset) -> set[str]:
    """Foreign categories that the model met in training, whichever part of ESC-50 either data set is."""
    record, bundle = listener.record, listener.bundle
    heard = record.foreign_data if record else ""
    if bundle is not None:
        heard = read_heard(bundle.training).foreign
    if not share_folds(heard, foreign.name):
        return set()
    categories = set(ESC10_CLASSES if heard == "ESC-10" else foreign.categories)
    return categories - (set(record.foreign_hold_out) | set(record.foreign_skip) if record else set())


def _why_not(clip: Clip, same: set[str], trained: set[str], shared: set[str]) -> str:
    if clip.category in same:
        return "a known class"
    if clip.category in trained:
        return "category trained on as foreign"
    return "source shared with the known classes" if clip.source_id in shared else ""


def _read_rate_hz(clip: Clip) -> int:
    try:
        return int(soundfile.info(str(clip.path)).samplerate)
    except (RuntimeError, OSError) as error:
        raise TrainerError("%s cannot be read as sound (%s)" % (clip.path, error)) from error


def _common_band_hz(listener: Listener, known: Sequence[Clip], foreign: Sequence[Clip]) -> float:
    """Nine tenths of the lowest of both sets' usual Nyquist frequencies and the model's own."""
    rates_hz = [Counter(_read_rate_hz(clip) for clip in clips) for clips in (known, foreign)]
    usual = [counts.most_common(1)[0][0] for counts in rates_hz]
    return _BAND_SHARE * 0.5 * min(*usual, listener.spec.sample_rate_hz)
