"""The report's numbers, as JSON values: every figure with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.evaluate import name_clips
from trainer.metrics import (
    Interval,
    accuracy,
    auroc,
    bootstrap_interval,
    brier_score,
    class_scores,
    confusion_counts,
    expected_calibration_error,
    false_positive_rate_95,
    macro_f1,
    negative_log_likelihood,
    wilson_interval,
)
from trainer.reliability import calibration_floor, reliability_bins, risk_coverage
from trainer.report.subject import Subject, ensemble_of_seeds

_DRAWS = 1000
_COVERAGES = (0.5, 0.7, 0.8, 0.9, 1.0)


def compute_figures(subject: Subject) -> dict[str, Any]:
    """All figures of a subject: last epoch, clips that their judge never heard.

    Intervals by clip are Wilson's, for as many trials as there are different clips; intervals by source draw whole
    recordings, with all their clips in all seeds.
    """
    truth, sources = subject.known.labels, list(subject.known.source_ids)
    predicted = subject.probabilities.argmax(axis=1)
    right = (predicted == truth).astype(np.float64)
    confusion = confusion_counts(predicted, truth, len(subject.labels))
    n_labels, n_clips = len(subject.labels), subject.n_clips
    return {
        "name": subject.name,
        "data": subject.data,
        "labels": subject.labels,
        "epoch": "last",
        "runs": [str(run.path.name) for run in subject.runs],
        "folds": sorted({int(fold) for fold in subject.known.folds}),
        "seeds": sorted({run.seed for run in subject.runs}),
        "ensemble": _describe_ensemble(subject),
        "clips": n_clips,
        "sources": len(set(sources)),
        "accuracy": {
            "value": accuracy(predicted, truth),
            "by_clip": list(wilson_interval(round(float(right.mean()) * n_clips), n_clips)),
            "by_source": _interval(lambda i: float(right[i].mean()), sources),
        },
        "macro_f1": {
            "value": macro_f1(confusion),
            "by_source": _interval(lambda i: macro_f1(confusion_counts(predicted[i], truth[i], n_labels)), sources),
        },
        "accuracy_by_fold": _by(right, subject.known.folds),
        "accuracy_by_seed": _by(right, subject.seeds) if subject.members == 1 else {},
        "accuracy_sd_over_seeds": _spread(right, subject),
        "ensemble_of_seeds": _ensemble_figures(subject),
        "best_epoch": _best_epoch(subject),
        "classes": _class_figures(subject, predicted, confusion),
        "confusion": confusion.tolist(),
        "calibration": _calibration_figures(subject, sources),
        "risk_coverage": _risk_figures(subject, right),
        "foreign": _foreign_figures(subject),
    }


def _class_figures(subject: Subject, predicted: np.ndarray, confusion: np.ndarray) -> dict[str, Any]:
    truth, sources = subject.known.labels, list(subject.known.source_ids)
    figures = {}
    for i, (label, score) in enumerate(zip(subject.labels, class_scores(confusion), strict=True)):

        def f1(rows: np.ndarray, i: int = i) -> float:
            called, of_class = predicted[rows] == i, truth[rows] == i
            whole = called.sum() + of_class.sum()
            return float(2 * (called & of_class).sum() / whole) if whole else 0.0

        clips = round(score.support * subject.n_clips / len(truth))  # seeds are repetitions, not more clips
        hits = round(int(confusion[i, i]) * clips / score.support) if score.support else 0
        figures[label] = {
            **score._asdict(),
            "sources": len({s for s, t in zip(sources, truth, strict=True) if t == i}),
            "recall_by_clip": list(wilson_interval(hits, clips)) if clips else None,
            "f1_by_source": _interval(f1, sources),
        }
    return figures


def _calibration_figures(subject: Subject, sources: list[str]) -> dict[str, Any]:
    probabilities, truth, of_source = subject.probabilities, subject.known.labels, np.asarray(sources)
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "error": lambda i: expected_calibration_error(probabilities[i], truth[i], sources=of_source[i].tolist()),
        "nll": lambda i: negative_log_likelihood(probabilities[i], truth[i]),
        "brier": lambda i: brier_score(probabilities[i], truth[i]),
    }
    every = np.arange(len(truth))
    figures: dict[str, Any] = {"method": subject.calibration}
    for name, measure in measures.items():
        figures[name] = {"value": measure(every), "by_source": _interval(measure, sources)}
    clips = np.unique(name_clips(subject.known), return_inverse=True)[1]
    mean, high = calibration_floor(probabilities, clips)
    figures["error_of_a_calibrated_model"] = {"mean": mean, "percentile_95": high}
    bins = reliability_bins(probabilities, truth, repetitions=len(truth) / subject.n_clips)
    figures["bins"] = [one._asdict() for one in bins]
    return figures


def _risk_figures(subject: Subject, right: np.ndarray) -> dict[str, Any]:
    coverage, risk = risk_coverage(subject.probabilities.max(axis=1), right > 0)
    return {
        "area": float(risk.mean()),
        "risk_at_coverage": {
            "%.1f" % c: float(risk[min(len(risk), max(1, round(c * len(risk)))) - 1]) for c in _COVERAGES
        },
        "curve": [
            [float(coverage[i]), float(risk[i])] for i in np.linspace(0, len(risk) - 1, min(200, len(risk))).astype(int)
        ],
    }


def _foreign_figures(subject: Subject) -> dict[str, Any] | None:
    n_known, categories = len(subject.known.labels), subject.foreign.categories
    if not len(categories):
        return None
    is_foreign = np.arange(len(subject.networks)) >= n_known
    sources = [*subject.known.source_ids, *subject.foreign.source_ids]
    named = np.concatenate([np.full(n_known, ""), categories])
    return {
        "clips": len(set(name_clips(subject.foreign).tolist())),
        "sources": len(set(subject.foreign.source_ids)),
        **foreign_figures_by_score(subject.foreign_scores, is_foreign, sources, named, subject.networks),
    }


def foreign_figures_by_score(
    scores: dict[str, np.ndarray], is_foreign: np.ndarray, sources: list[str], categories: np.ndarray, runs: np.ndarray
) -> dict[str, Any]:
    """`foreign_figures` of the first score, with its name, and in `other_scores` those of the others."""
    figures = {name: foreign_figures(one, is_foreign, sources, categories, runs) for name, one in scores.items()}
    first, *others = figures
    beside = {name: {"auroc": figures[name]["auroc"], "fpr95": figures[name]["fpr95"]} for name in others}
    return {"score": first, **figures[first], "other_scores": beside}


def foreign_figures(
    scores: np.ndarray,
    is_foreign: np.ndarray,
    sources: list[str],
    categories: np.ndarray,
    runs: np.ndarray | None = None,
) -> dict[str, Any]:
    """How well a score tells foreign clips from known ones.  All arrays [N]; categories of foreign clips are read.

    Args:
        runs: which network gave each score, from 0. Scores of two networks have no common scale, so that each figure
            is the mean over the networks of each one's own; without it all come from one.
    """
    own = np.zeros(len(scores), int) if runs is None else runs
    numbers = np.unique(own).tolist()

    def mean_over_runs(statistic: Callable[[np.ndarray, np.ndarray], float], rows: np.ndarray) -> float:
        values = []
        for number in numbers:
            of_run = rows[own[rows] == number]
            if 0 < is_foreign[of_run].sum() < len(of_run):
                values.append(statistic(scores[of_run], is_foreign[of_run]))
        return float(np.mean(values)) if values else 0.5

    everything = np.arange(len(scores))

    def figure(statistic: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, Any]:
        interval = _interval(lambda rows: mean_over_runs(statistic, rows), sources)
        return {"value": mean_over_runs(statistic, everything), "by_source": interval}

    return {
        "auroc": figure(auroc),
        "fpr95": figure(false_positive_rate_95),
        "auroc_by_category": {
            name: mean_over_runs(auroc, everything[~is_foreign | (categories == name)])
            for name in sorted(set(categories[is_foreign].tolist()))
        },
    }


def _ensemble_figures(subject: Subject) -> dict[str, Any] | None:
    joined = ensemble_of_seeds(subject)
    if joined is None:
        return None
    right = (joined.logits[:, : len(subject.labels)].argmax(axis=1) == joined.labels).astype(np.float64)
    return {
        "members": len(np.unique(subject.seeds)),
        "clips": len(right),
        "accuracy": float(right.mean()),
        "by_clip": list(wilson_interval(int(right.sum()), len(right))),
        "by_source": _interval(lambda i: float(right[i].mean()), list(joined.source_ids)),
    }


def _describe_ensemble(subject: Subject) -> dict[str, Any] | None:
    """What judges where it is no single network; None where each network judges for itself."""
    if subject.members == 1:
        return None
    return {"members": subject.members, "rule": "each fold by the mean of the logits of its seeds' networks"}


def _best_epoch(subject: Subject) -> dict[str, Any] | None:
    """None also of an ensemble: no epoch of it was judged."""
    if subject.members > 1:
        return None
    clips = [int((run.predictions.labels >= 0).sum()) for run in subject.runs]
    return compare_best_epoch([run.history for run in subject.runs], clips)


def compare_best_epoch(histories: Sequence[Sequence[dict[str, float]]], clips: Sequence[int]) -> dict[str, Any] | None:
    """What the papers' protocol would report: each run at the epoch that its own test fold likes best.

    Args:
        histories: of each run, an entry an epoch.
        clips: that each run judged: its weight.

    Returns:
        The figure beside the last epoch's; None where a run was not judged at each epoch (`--best-epoch`).
    """
    heard = [[entry.get("test_accuracy") for entry in history] for history in histories]
    if any(not values or any(value is None for value in values) for values in heard):
        return None
    chosen = [[value for value in values if value is not None] for values in heard]
    best, last = (
        float(np.average([pick(one) for one in chosen], weights=clips)) for pick in (max, lambda one: one[-1])
    )
    return {"best": best, "last": last, "gap": best - last, "note": "optimistic: the epoch is chosen on the test fold"}


def _by(right: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    return {str(int(group)): float(right[groups == group].mean()) for group in np.unique(groups)}


def _spread(right: np.ndarray, subject: Subject) -> float | None:
    """Over seeds that each judged every fold. Else None."""
    values = list(_by(right, subject.seeds).values())
    return float(np.std(values, ddof=1)) if len(values) > 1 and subject.seeds_are_complete else None


def _interval(statistic: Callable[[np.ndarray], float], sources: list[str]) -> list[float]:
    interval: Interval = bootstrap_interval(statistic, sources, draws=_DRAWS)
    return list(interval)
