"""From out-of-fold predictions to the numbers that a bundle decides by, and to honest figures of them.

The shipped numbers are chosen on all predictions. The figures are cross-fitted: for each fold they are chosen on the
other folds and judged on this one, so that no clip is judged by a number that it helped to choose. A single fold has
no others: its figures are those of the raw answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engines.bundle import DecisionParameters, ForeignRule
from engines.foreignness import foreign_probability
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.evaluate import DISTANCE, Predictions, foreign_scores, join_predictions, name_clips
from trainer.metrics import (
    accuracy,
    auroc,
    bootstrap_interval,
    brier_score,
    class_scores,
    confusion_counts,
    expected_calibration_error,
    fit_logistic,
    fit_temperature,
    fit_thresholds,
    macro_f1,
    negative_log_likelihood,
    softmax,
    wilson_interval,
)

_LEAST_THRESHOLD = 0.5  # the best F1 on a balanced test set accepts much less; on a street a false alarm costs more
# What is announced is right at least so often among held-out clips of all classes alike and foreign ones; on a street,
# where most sound is none of a class, it is less often. The best F1 alone would announce an idling engine at 0.41.
_LEAST_PRECISION = 0.7
_LEAST_SOURCES = 10  # recordings, known and foreign, before a score is exchanged for another
_DRAWS = 400
_KNOWN_REJECTED = 0.10  # share of known clips that may be rejected as foreign


class ForeignChoice(NamedTuple):
    """The rejection rule and how well each method told held-out foreign categories from known clips."""

    score: str  # of trainer.evaluate.foreign_scores, that the rule decides by
    rule: ForeignRule  # as a bundle has it
    auroc_by_method: dict[str, float]  # empty where there was no foreign clip
    foreign_rejected: float | None  # share of foreign clips that the threshold rejects


def choose_foreign_rule(predictions: Predictions, n_labels: int) -> ForeignChoice:
    """Take the first of `foreign_scores`, or another that tells held-out foreign clips clearly better (95 % by
    recording), map it to 0..1 and set the threshold at which a tenth of the known clips is rejected.

    The distance from the known space is in a bundle's graph, and read as any extra output is: `reject_logit`. An output
    that training taught comes second to the energy: it knows what it met, and takes near kin of a known class that it
    did not meet for that class.

    Without a foreign clip the first of the scores is taken; then, or where foreign clips look more known than the known
    ones, the known clips alone set the curve."""
    is_foreign = predictions.labels == UNKNOWN_LABEL
    methods = foreign_scores(predictions, n_labels)
    score = _choose_score(methods, is_foreign, predictions.source_ids)
    x = methods[score]
    method = "reject_logit" if score == DISTANCE else score
    if not is_foreign.any():
        return ForeignChoice(score, _rule_of_known(method, x), {}, None)
    aurocs = {name: auroc(values, is_foreign) for name, values in methods.items()}
    curve = fit_logistic(x, is_foreign)
    if curve.slope <= 0.0:
        rule = _rule_of_known(method, x[~is_foreign])
        rejected = float((foreign_probability(x[is_foreign], rule) >= rule.threshold).mean())
        return ForeignChoice(score, rule, aurocs, rejected)
    rule = ForeignRule(method, float(curve.slope), float(curve.intercept), 0.5)
    probability = foreign_probability(x, rule)
    threshold = float(np.clip(np.quantile(probability[~is_foreign], 1.0 - _KNOWN_REJECTED), 0.05, 0.95))
    rule = rule._replace(threshold=round(threshold, 4))
    return ForeignChoice(score, rule, aurocs, float((probability[is_foreign] >= threshold).mean()))


def _choose_score(scores: dict[str, np.ndarray], is_foreign: np.ndarray, source_ids: np.ndarray) -> str:
    """The name of the first score, or of the best of those whose AUROC is above its with the whole interval."""
    first, *others = scores
    enough = all(len(np.unique(source_ids[kind])) >= _LEAST_SOURCES for kind in (is_foreign, ~is_foreign))
    if not enough:
        return first

    def gain(name: str) -> Callable[[np.ndarray], float]:
        def of(rows: np.ndarray) -> float:
            drawn = is_foreign[rows]
            if drawn.all() or not drawn.any():
                return 0.0
            return auroc(scores[name][rows], drawn) - auroc(scores[first][rows], drawn)

        return of

    better = [name for name in others if bootstrap_interval(gain(name), list(source_ids), draws=_DRAWS).low > 0.0]
    return max([first, *better], key=lambda name: auroc(scores[name], is_foreign))


def choose_decision(predictions: Predictions, labels: list[str]) -> tuple[DecisionParameters, ForeignChoice]:
    """The numbers that a bundle ships with, chosen on all out-of-fold predictions."""
    known = predictions.labels != UNKNOWN_LABEL
    logits = predictions.logits[:, : len(labels)]
    temperature = fit_temperature(logits[known], predictions.labels[known])
    probabilities = softmax(logits / temperature)
    thresholds = fit_thresholds(probabilities, predictions.labels, len(labels), least_precision=_LEAST_PRECISION)
    foreign = choose_foreign_rule(predictions, len(labels))
    chosen = {
        label: round(max(_LEAST_THRESHOLD, float(value)), 3) for label, value in zip(labels, thresholds, strict=True)
    }
    return DecisionParameters(round(temperature, 4), chosen, foreign.rule), foreign


def measure(predictions: Predictions, labels: list[str]) -> dict[str, Any]:
    """Figures of out-of-fold predictions: accuracy with intervals by clip and by source, per class and per fold,
    calibration (cross-fitted), foreign sound by category, and what cutting clips short does."""
    known = predictions.labels != UNKNOWN_LABEL
    logits, truth = predictions.logits[known, : len(labels)], predictions.labels[known]
    sources, folds = predictions.source_ids[known], predictions.folds[known]
    predicted = logits.argmax(axis=1)
    hits = predicted == truth
    confusion = confusion_counts(predicted, truth, len(labels))
    probabilities = _cross_fitted_probabilities(logits, truth, folds)
    return {
        "clips": int(known.sum()),
        "sources": int(len(np.unique(sources))),
        "accuracy": accuracy(predicted, truth),
        "accuracy_interval_by_clip": list(wilson_interval(int(hits.sum()), len(hits))),
        "accuracy_interval_by_source": list(bootstrap_interval(lambda i: float(hits[i].mean()), list(sources))),
        "accuracy_by_fold": {str(fold): float(hits[folds == fold].mean()) for fold in np.unique(folds)},
        "macro_f1": macro_f1(confusion),
        "by_class": {label: score._asdict() for label, score in zip(labels, class_scores(confusion), strict=True)},
        "confusion": confusion.tolist(),
        "calibration": "cross-fitted" if len(np.unique(folds)) > 1 else "none",
        "calibration_error": expected_calibration_error(probabilities, truth, sources=list(sources)),
        "nll": negative_log_likelihood(probabilities, truth),
        "brier": brier_score(probabilities, truth),
        "foreign": _measure_foreign(predictions, len(labels)),
        "length": _measure_length(predictions, labels),
    }


def measure_rejection(parts: Sequence[Predictions], n_labels: int) -> dict[str, float] | None:
    """What the rejection rule does to clips that had no say in it: chosen on the other runs, judged on each run's own.

    A foreign clip that several runs held out has no say where it is judged.

    Args:
        parts: of each run, with the folds and the foreign categories that it held out; all with the same scores.

    Returns:
        Shares of known and of foreign clips that are rejected; None for a single run or without foreign clips.
    """
    rejected: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for i, part in enumerate(parts):
        judged = set(name_clips(part)[part.labels == UNKNOWN_LABEL].tolist())
        others = [_drop_foreign(other, judged) for j, other in enumerate(parts) if j != i]
        if not others:
            return None
        choice = choose_foreign_rule(join_predictions(others), n_labels)
        chances = foreign_probability(foreign_scores(part, n_labels)[choice.score], choice.rule)
        over = chances >= choice.rule.threshold
        for is_foreign, rows in rejected.items():
            rows.append(over[(part.labels == UNKNOWN_LABEL) == is_foreign])
    known, foreign = (np.concatenate(rejected[is_foreign]) for is_foreign in (False, True))
    return {"known": float(known.mean()), "foreign": float(foreign.mean())} if len(foreign) and len(known) else None


def _drop_foreign(part: Predictions, names: set[str]) -> Predictions:
    return part.select((part.labels != UNKNOWN_LABEL) | ~np.isin(name_clips(part), sorted(names)))


def _cross_fitted_probabilities(logits: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    probabilities = np.empty(logits.shape)
    for fold in np.unique(folds):
        others = folds != fold
        temperature = fit_temperature(logits[others], truth[others]) if others.any() else 1.0
        probabilities[folds == fold] = softmax(logits[folds == fold] / temperature)
    return probabilities


def _rule_of_known(method: str, x: np.ndarray) -> ForeignRule:
    """One half at the score that a tenth of the known clips exceeds; as steep as their scores are spread."""
    slope = 1.0 / max(float(np.std(x)), 1e-3)
    return ForeignRule(method, slope, -slope * float(np.quantile(x, 1.0 - _KNOWN_REJECTED)), 0.5)


def _measure_foreign(predictions: Predictions, n_labels: int) -> dict[str, Any]:
    is_foreign = predictions.labels == UNKNOWN_LABEL
    if not is_foreign.any():
        return {}
    scores = foreign_scores(predictions, n_labels)
    score = _choose_score(scores, is_foreign, predictions.source_ids)
    x = scores[score]
    categories = np.unique(predictions.categories[is_foreign])
    by_category = {
        str(name): auroc(
            np.concatenate([x[~is_foreign], x[predictions.categories == name]]),
            np.arange((~is_foreign).sum() + (predictions.categories == name).sum()) >= (~is_foreign).sum(),
        )
        for name in categories
    }
    return {
        "clips": len(set(name_clips(predictions.select(is_foreign)).tolist())),
        "score": score,
        "auroc": auroc(x, is_foreign),
        "auroc_by_category": by_category,
        "auroc_by_score": {name: auroc(values, is_foreign) for name, values in scores.items()},
    }


def _measure_length(predictions: Predictions, labels: list[str]) -> dict[str, Any]:
    """Does being short make a clip a gun shot or a horn? Clips of all other classes, whole and cut to 1.2 s."""
    short = [i for i, label in enumerate(labels) if label in ("gun_shot", "car_horn")]
    others = (predictions.labels != UNKNOWN_LABEL) & ~np.isin(predictions.labels, short)
    if not short or not others.any():
        return {}
    shares = {}
    for name, logits in (("whole", predictions.logits), ("cut", predictions.cut_logits)):
        predicted = logits[others, : len(labels)].argmax(axis=1)
        shares["accuracy_" + name] = float((predicted == predictions.labels[others]).mean())
        shares["called_gun_shot_or_horn_" + name] = float(np.isin(predicted, short).mean())
    return shares
