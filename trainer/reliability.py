"""Is a model as sure as it is right? Bins, chance's own share, and what it gets wrong if it answers less often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainer.metrics import expected_calibration_error, wilson_interval


class ReliabilityBin(NamedTuple):
    """Clips of about one confidence: how sure the model was, and how often it was right."""

    confidence: float
    accuracy: float
    low: float  # 95 %, by clip
    high: float
    clips: int


def reliability_bins(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15, repetitions: float = 1.0
) -> list[ReliabilityBin]:
    """Confidence against accuracy over bins of equally many clips, the least sure first.

    Args:
        repetitions: rows of one clip, such as several seeds': a bin's interval is that of its clips, not of its rows.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    result = []
    for chosen in np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(labels))):
        clips, hit_rate = max(1, round(len(chosen) / repetitions)), float(right[chosen].mean())
        interval = wilson_interval(round(hit_rate * clips), clips)
        result.append(ReliabilityBin(float(confidence[chosen].mean()), hit_rate, *interval, clips=clips))
    return result


def calibration_floor(
    probabilities: np.ndarray, clips: np.ndarray | None = None, *, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """The calibration error that a perfectly calibrated model of the same confidences shows by chance alone.

    Args:
        clips: number of each row's clip.  Shape [N].  Rows of one clip, such as several seeds', share their chance.

    Returns:
        Mean and 95th percentile of `expected_calibration_error` over labels drawn from the probabilities.
    """
    rng, cumulated = np.random.default_rng(seed), np.cumsum(np.asarray(probabilities, np.float64), axis=1)
    last = cumulated.shape[1] - 1
    clips = np.arange(len(cumulated)) if clips is None else np.asarray(clips)
    errors = [
        expected_calibration_error(
            probabilities,
            np.minimum((rng.random((clips.max() + 1, 1))[clips] > cumulated).sum(axis=1), last),
            sources=list(map(str, clips)),
        )
        for _ in range(draws)
    ]
    return float(np.mean(errors)), float(np.percentile(errors, 95))


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of wrong answers among the surest clips, for every share of clips answered (El-Yaniv & Wiener, 2010).

    Returns:
        Coverage and risk, both [N], from the surest clip alone to all of them; clips of one confidence count alike.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    confidence, wrong = np.asarray(confidence)[order], ~np.asarray(right, bool)[order]
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong_share = np.bincount(group, weights=wrong) / sizes
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), np.cumsum(wrong_share[group]) / answered
