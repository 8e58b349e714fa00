"""Figures of the robustness table: runs joined over folds and seeds, and paired with those of another recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import TrainerError
from trainer.metrics import bootstrap_interval, wilson_interval

MIXED = "mixed"  # two classes at once: a clip counts where both are in the top two
_DRAWS = 500


class Answers(NamedTuple):
    """What models made of the same clips under each condition: 1 right, 0 wrong, between them the mean of seeds."""

    conditions: list[tuple[str, str]]  # name and text; the first is clean sound
    clips: list[str]  # length N, each different
    sources: list[str]  # length N: the recording that each clip was cut from
    right: np.ndarray  # float64 [C, N]
    pair_clips: list[str]  # length P: both clips of each mixed pair
    pair_sources: list[str]  # length P: of each pair's first clip
    pairs_right: np.ndarray  # float64 [2, P]: both in the top two; the best is one of them


def join_answers(parts: Sequence[Answers]) -> Answers:
    """Runs of other folds side by side; of other seeds averaged clip by clip, so that a clip counts once.

    Raises:
        TrainerError: nothing to join, or other conditions.
    """
    if not parts:
        raise TrainerError("no run to join; expected at least one")
    conditions = parts[0].conditions
    if any(part.conditions != conditions for part in parts):
        raise TrainerError("the runs were judged under different conditions: %s" % [part.conditions for part in parts])
    clips, sources, right = _average([(part.clips, part.sources, part.right) for part in parts])
    pair_clips, pair_sources, pairs_right = _average(
        [(part.pair_clips, part.pair_sources, part.pairs_right) for part in parts]
    )
    return Answers(conditions, clips, sources, right, pair_clips, pair_sources, pairs_right)


def describe_answers(answers: Answers) -> dict[str, Any]:
    """Accuracy under each condition and what it loses against clean sound, with intervals by recording and by clip."""
    rows = [
        {"condition": name, "text": text, **_accuracy(right, answers.sources), **_lost(answers, number)}
        for number, ((name, text), right) in enumerate(zip(answers.conditions, answers.right, strict=True))
    ]
    return {
        "clips": len(answers.clips),
        "sources": len(set(answers.sources)),
        "conditions": rows,
        "mixed": _mixed(answers) if answers.pair_clips else None,
    }


def compare_answers(own: Answers, other: Answers) -> list[dict[str, Any]]:
    """For each condition: how much more accurate the first is, and how much less it loses, paired clip by clip.

    Positive is better for `own`; intervals by recording.

    Raises:
        TrainerError: other clips or conditions.
    """
    if own.conditions != other.conditions or set(own.clips) != set(other.clips):
        raise TrainerError(
            "%d clips under %d conditions cannot be paired with %d under %d: judge runs that held out the same folds, "
            "with the same --clips, --seed and --street"
            % (len(own.clips), len(own.conditions), len(other.clips), len(other.conditions))
        )
    theirs = other.right[:, _places(own.clips, other.clips)]
    rows = []
    for number, (name, _) in enumerate(own.conditions):
        more = own.right[number] - theirs[number]
        less_lost = more - (own.right[0] - theirs[0])
        rows.append(
            {
                "condition": name,
                "accuracy_more": float(more.mean()),
                "accuracy_more_by_source": _by_source(more, own.sources),
                "lost_less": float(less_lost.mean()),
                "lost_less_by_source": _by_source(less_lost, own.sources),
            }
        )
    if set(own.pair_clips) == set(other.pair_clips) and own.pair_clips:
        more = own.pairs_right[0] - other.pairs_right[0][_places(own.pair_clips, other.pair_clips)]
        rows.append(
            {
                "condition": MIXED,
                "accuracy_more": float(more.mean()),
                "accuracy_more_by_source": _by_source(more, own.pair_sources),
            }
        )
    return rows


def _places(clips: Sequence[str], among: Sequence[str]) -> list[int]:
    place = {clip: i for i, clip in enumerate(among)}
    return [place[clip] for clip in clips]


def _average(parts: Sequence[tuple[list[str], list[str], np.ndarray]]) -> tuple[list[str], list[str], np.ndarray]:
    """Columns of the same clip averaged, clips in the order of their first appearance."""
    source_of: dict[str, str] = {}
    columns: dict[str, list[np.ndarray]] = {}
    for clips, sources, right in parts:
        for clip, source, column in zip(clips, sources, right.T, strict=True):
            source_of[clip] = source
            columns.setdefault(clip, []).append(column)
    rows = parts[0][2].shape[0]
    averaged = np.array([np.mean(own, axis=0) for own in columns.values()]).reshape(-1, rows).T
    return list(source_of), list(source_of.values()), averaged


def _accuracy(right: np.ndarray, sources: Sequence[str]) -> dict[str, Any]:
    return {
        "accuracy": float(right.mean()),
        "by_clip": list(wilson_interval(round(float(right.sum())), len(right))),
        "by_source": _by_source(right, sources),
    }


def _lost(answers: Answers, number: int) -> dict[str, Any]:
    lost = answers.right[0] - answers.right[number]
    return {"lost": float(lost.mean()), "lost_by_source": _by_source(lost, answers.sources)}


def _mixed(answers: Answers) -> dict[str, Any]:
    both, best = answers.pairs_right
    return {
        "text": "two clips of different classes and sources, each at the same RMS, at half of full scale",
        "pairs": len(both),
        "both_in_top_two": float(both.mean()),
        "by_clip": list(wilson_interval(round(float(both.sum())), len(both))),
        "by_source_of_the_first": _by_source(both, answers.pair_sources),
        "best_is_one_of_them": float(best.mean()),
    }


def _by_source(values: np.ndarray, sources: Sequence[str]) -> list[float]:
    return list(bootstrap_interval(lambda i: float(values[i].mean()), sources, draws=_DRAWS))
