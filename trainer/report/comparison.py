"""Two models on the same clips: is the difference more than chance?"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import TrainerError
from trainer.evaluate import name_clips
from trainer.evaluated_runs import check_same_clips
from trainer.metrics import bootstrap_interval, confusion_counts, macro_f1
from trainer.report.subject import Subject

_DRAWS = 2000


class McNemar(NamedTuple):
    """Two judges of the same clips."""

    only_first: int  # clips that the first alone has right
    only_second: int
    p_value: float  # exact, two-sided


def compare_subjects(first: Subject, second: Subject) -> dict[str, Any]:
    """The first less the second, on the clips that both judged.

    The difference of accuracies is that of each clip's mean over seeds, its interval a bootstrap that draws whole
    recordings, the same for both. McNemar's test needs one answer a clip: where there are several seeds, it takes the
    mean of their logits.

    Raises:
        TrainerError: other labels or data sets, or no clip in common.
    """
    check_same_clips(second.runs[0].judge, first.runs[0].judge)
    ours, theirs = _rights_by_clip(first), _rights_by_clip(second)
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise TrainerError(
            "%s and %s judged no clip in common; expected runs that held out the same folds" % (first.name, second.name)
        )
    sources = _sources_by_clip(first)
    difference = np.array([ours[name] - theirs[name] for name in common])
    drawn = [sources[name] for name in common]
    answers = [_answers_by_clip(subject) for subject in (first, second)]
    truth, other = (np.array([one[name][1] for name in common]) for one in answers)
    if (truth != other).any():
        raise TrainerError(
            "%s and %s give the same clips different labels; evaluate their runs again on one data set"
            % (first.name, second.name)
        )
    said = [np.array([one[name][0] for name in common]) for one in answers]

    def macro_difference(rows: np.ndarray) -> float:
        both = [macro_f1(confusion_counts(one[rows], truth[rows], len(first.labels))) for one in said]
        return both[0] - both[1]

    return {
        "first": first.name,
        "second": second.name,
        "clips": len(common),
        "sources": len(set(drawn)),
        "accuracy_first": float(np.mean([ours[name] for name in common])),
        "accuracy_second": float(np.mean([theirs[name] for name in common])),
        "accuracy_difference": float(difference.mean()),
        "by_source": list(bootstrap_interval(lambda i: float(difference[i].mean()), drawn, draws=_DRAWS)),
        "macro_f1_difference": macro_difference(np.arange(len(common))),
        "macro_f1_by_source": list(bootstrap_interval(macro_difference, drawn, draws=_DRAWS // 4)),
        "mcnemar": mcnemar(said[0] == truth, said[1] == truth)._asdict(),
    }


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """Exact test of two judges on the same clips, clips taken as independent (McNemar, 1947)."""
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if not len(first) == len(second) > 0:
        raise TrainerError("%d and %d clips; expected as many of both, and at least one" % (len(first), len(second)))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return McNemar(only_first, only_second, min(1.0, 2 * tail))


def _rights_by_clip(subject: Subject) -> dict[str, float]:
    """Share of seeds that have a clip right."""
    right = subject.probabilities.argmax(axis=1) == subject.known.labels
    names, place = np.unique(name_clips(subject.known), return_inverse=True)
    shares = np.bincount(place, weights=right) / np.bincount(place)
    return dict(zip(names.tolist(), shares.tolist(), strict=True))


def _sources_by_clip(subject: Subject) -> dict[str, str]:
    return dict(zip(name_clips(subject.known).tolist(), subject.known.source_ids.tolist(), strict=True))


def _answers_by_clip(subject: Subject) -> dict[str, tuple[int, int]]:
    """One answer, of the mean of all seeds' logits, and the truth for each clip."""
    names, first, place = np.unique(name_clips(subject.known), return_index=True, return_inverse=True)
    total = np.zeros((len(names), len(subject.labels)))
    np.add.at(total, place, subject.known.logits[:, : len(subject.labels)].astype(np.float64))
    answers, truth = total.argmax(axis=1).tolist(), subject.known.labels[first].tolist()
    return dict(zip(names.tolist(), zip(answers, truth, strict=True), strict=True))
