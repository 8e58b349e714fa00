"""What is said of a model's answers: accuracy with intervals, calibration, and the fits that a bundle carries.

Plain NumPy, no randomness but a seeded bootstrap: the same answers give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from trainer.errors import TrainerError

_Z_95 = 1.959963984540054  # two-sided 95 % point of the normal distribution
_SMALLEST_PROBABILITY = 1e-12  # a probability of 0 for what was true costs 27.6 nats, not infinity
_INVERSE_TEMPERATURES = (0.02, 50.0)  # outside, the logits carry no information or the set is too small
_THRESHOLDS = np.arange(30, 91) / 100  # below 0.3 a class alarms on guesses, above 0.9 it hardly ever speaks
_DEFAULT_THRESHOLD = 0.5  # of a class without a single example
_SLOPE_PENALTY = 1e-2  # on the standardised score: separable sets keep a finite slope


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class ClassScore(NamedTuple):
    """How one class fared; precision is 0 where nothing was called it, recall where nothing was it."""

    precision: float
    recall: float
    f1: float
    support: int  # clips that are of this class


class Logistic(NamedTuple):
    """1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float
    intercept: float


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips whose answer is right."""
    _require(
        len(labels) > 0 and len(predicted) == len(labels),
        "%d answers for %d clips; expected as many, and at least one" % (len(predicted), len(labels)),
    )
    return float(np.mean(np.asarray(predicted) == np.asarray(labels)))


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of the classes that have clips here."""
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def confusion_counts(predicted: np.ndarray, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """How often each class (row) was called what (column).  Shape [n_labels, n_labels], int64."""
    counts = np.zeros((n_labels, n_labels), np.int64)
    np.add.at(counts, (np.asarray(labels), np.asarray(predicted)), 1)
    return counts


def class_scores(confusion: np.ndarray) -> list[ClassScore]:
    """Precision, recall, F1 and support of each class."""
    scores = []
    for i, hits in enumerate(np.diag(confusion)):
        called, support = confusion[:, i].sum(), confusion[i].sum()
        scores.append(
            ClassScore(_ratio(hits, called), _ratio(hits, support), _ratio(2 * hits, called + support), int(support))
        )
    return scores


def macro_f1(confusion: np.ndarray) -> float:
    """Mean F1 of the classes that have clips here."""
    present = [score.f1 for score in class_scores(confusion) if score.support]
    _require(bool(present), "a confusion matrix without a clip; expected at least one")
    return float(np.mean(present))


def wilson_interval(hits: int, trials: int) -> Interval:
    """95 % interval of a proportion, clips taken as independent (Wilson, 1927)."""
    _require(
        0 <= hits <= trials and trials > 0, "%d hits of %d clips; expected 0 to all of at least one" % (hits, trials)
    )
    share, z2 = hits / trials, _Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Interval(max(0.0, centre - half) if hits else 0.0, min(1.0, centre + half) if hits < trials else 1.0)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], source_ids: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> Interval:
    """95 % interval of a statistic, sources taken as independent and their clips as not.

    Args:
        statistic: the figure of a choice of clips, given their indices [M] (with repetition).
        source_ids: the recording that each clip was cut from.  Length N.
        draws: how many sets of sources are drawn, each as many as there are.
    """
    names, source_of = np.unique(np.asarray(source_ids), return_inverse=True)
    _require(len(names) > 0, "no clip; expected at least one")
    clips_of = np.split(np.argsort(source_of, kind="stable"), np.cumsum(np.bincount(source_of))[:-1])
    rng = np.random.default_rng(seed)
    figures = [
        statistic(np.concatenate([clips_of[i] for i in rng.integers(0, len(names), len(names))])) for _ in range(draws)
    ]
    low, high = np.percentile(figures, [2.5, 97.5])
    return Interval(float(low), float(high))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p of what was true, nats.  Probabilities [N, K]."""
    true = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, _SMALLEST_PROBABILITY)).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance from the truth, summed over classes: 0 is perfect, 2 certain and wrong."""
    probabilities = np.asarray(probabilities, np.float64)
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1).mean())


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, *, sources: Sequence[str] | None = None, bins: int = 15
) -> float:
    """Mean distance between confidence and accuracy over bins of equally many clips, less what chance alone adds.

    A perfectly calibrated model shows 0.02 to 0.05 on a few hundred clips, because a bin's accuracy scatters. Each
    bin's expected excess, that of a folded normal around its gap, is taken off (Kumar et al., "Verified Uncertainty
    Calibration", 2019), to no less than 0 in total. What is left is still biased upwards a little.

    Args:
        sources: the recording that each clip was cut from.  Length N.  Clips of one are right or wrong together, so
            that a bin scatters by its recordings (the cluster-robust variance of Liang & Zeger, 1986). A recording
            that a bootstrap has drawn twice keeps its name: what the drawing adds is then taken off as well. Without
            them each clip stands for itself.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    clusters = np.arange(len(labels)) if sources is None else np.unique(np.asarray(sources), return_inverse=True)[1]
    total = 0.0
    for chosen in np.array_split(order, min(bins, len(order))):
        differences = confidence[chosen] - right[chosen]
        gap = differences.mean()
        by_cluster = np.bincount(clusters[chosen], weights=differences - gap)
        spread = math.sqrt(float(np.square(by_cluster).sum())) / len(chosen)
        total += len(chosen) * (2 * abs(gap) - _folded_normal_mean(abs(gap), spread))
    return max(0.0, float(total / len(order)))


def false_positive_rate_95(scores: np.ndarray, is_foreign: np.ndarray) -> float:
    """Share of foreign clips that pass as known where 95 % of the known ones do (FPR95, Hendrycks & Gimpel, 2017)."""
    scores, is_foreign = np.asarray(scores, np.float64), _two_kinds(is_foreign)
    limit = np.quantile(scores[~is_foreign], 0.95, method="higher")
    return float((scores[is_foreign] <= limit).mean())


def auroc(scores: np.ndarray, is_foreign: np.ndarray) -> float:
    """Chance that a foreign clip scores above a known one, ties counted half: area under the ROC curve."""
    scores, is_foreign = np.asarray(scores, np.float64), _two_kinds(is_foreign)
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    foreign = int(is_foreign.sum())
    above = rank[is_foreign].sum() - foreign * (foreign + 1) / 2
    return float(above / (foreign * (len(scores) - foreign)))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) has the least negative log-likelihood (Guo et al., 2017).

    The loss is convex in 1/T, so its derivative is bisected: no starting point, no randomness.

    Args:
        logits: of clips that were not trained on.  Shape [N, K].
        labels: Shape [N], 0 to K - 1.
    """
    logits = np.asarray(logits, np.float64)
    _require(
        len(logits) > 0 and bool(np.isfinite(logits).all()),
        "logits of shape %s; expected at least one row, all finite" % (logits.shape,),
    )
    true = logits[np.arange(len(logits)), labels].mean()
    low, high = _INVERSE_TEMPERATURES
    for _ in range(100):
        middle = math.sqrt(low * high)
        too_low = (softmax(logits * middle) * logits).sum(axis=1).mean() < true
        low, high = (middle, high) if too_low else (low, middle)
    return 1.0 / math.sqrt(low * high)


def fit_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, n_labels: int, *, least_precision: float = 0.0
) -> np.ndarray:
    """For each class the threshold, 0.30 to 0.90, at which "p >= threshold" has the best F1 of those precise enough.

    Where a stretch of thresholds is equally good its middle is taken, as far as can be from either mistake; of
    several stretches the longest. Where none is precise enough it is the highest.

    Args:
        probabilities: out-of-fold.  Shape [N, n_labels or more].
        labels: Shape [N]; negative for foreign clips, which are wrong for every class.
        least_precision: share of what a class calls that must be right.

    Returns:
        Shape [n_labels], float64.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    thresholds = np.full(n_labels, _DEFAULT_THRESHOLD)
    for i in range(n_labels):
        called, truth = probabilities[:, i, None] >= _THRESHOLDS, (labels == i)[:, None]
        if truth.any():
            right, all_called = (called & truth).sum(axis=0), called.sum(axis=0)
            precise = right >= np.maximum(least_precision * all_called, least_precision > 0)  # one called at least
            f1 = np.where(precise, 2 * right / (all_called + truth.sum()), -1.0)
            best = _middle_of_longest_run(f1 >= f1.max() - 1e-12) if precise.any() else -1
            thresholds[i] = _THRESHOLDS[best]
    return thresholds


def fit_logistic(score: np.ndarray, is_foreign: np.ndarray) -> Logistic:
    """Map a raw foreignness score to 0..1, both kinds weighing alike however many there are of each.

    Newton's method on the standardised score with a small penalty on the slope, so that sets which a threshold
    separates wholly still give a finite curve.

    Args:
        score: higher means more foreign, in any unit.  Shape [N].
        is_foreign: Shape [N], both kinds present.
    """
    score, is_foreign = np.asarray(score, np.float64), _two_kinds(is_foreign)
    _require(bool(np.isfinite(score).all()), "foreignness scores that are not finite; look at the model's logits")
    centre, spread = score.mean(), score.std()
    if spread <= 1e-12 * max(1.0, abs(centre)):
        return Logistic(0.0, 0.0)
    inputs = np.stack([(score - centre) / spread, np.ones_like(score)], axis=1)
    weight = np.where(is_foreign, 0.5 / is_foreign.sum(), 0.5 / (~is_foreign).sum())
    penalty, parameters = np.array([_SLOPE_PENALTY, 0.0]), np.zeros(2)
    for _ in range(100):
        foreign = 1.0 / (1.0 + np.exp(-inputs @ parameters))
        gradient = inputs.T @ (weight * (foreign - is_foreign)) + penalty * parameters
        curvature = (inputs.T * (weight * foreign * (1 - foreign))) @ inputs + np.diag(penalty + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        parameters = parameters - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-12:
            break
    slope = parameters[0] / spread
    return Logistic(float(slope), float(parameters[1] - slope * centre))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, along the last axis."""
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = exponential / exponential.sum(axis=-1, keepdims=True)
    return probabilities


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise TrainerError(complaint)


def _two_kinds(is_foreign: np.ndarray) -> np.ndarray:
    is_foreign = np.asarray(is_foreign, bool)
    _require(
        0 < is_foreign.sum() < len(is_foreign),
        "%d foreign clips of %d; expected some of both kinds" % (is_foreign.sum(), len(is_foreign)),
    )
    return is_foreign


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _folded_normal_mean(mean: float, spread: float) -> float:
    if spread == 0.0:
        return mean
    density = math.sqrt(2 / math.pi) * math.exp(-0.5 * (mean / spread) ** 2)
    return spread * density + mean * math.erf(mean / (spread * math.sqrt(2)))


def _middle_of_longest_run(holds: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int((starts[longest] + ends[longest] - 1) // 2)
