"""How well a class can be told from what is not sound at all: a clip's length, its silent end, its file format.

For each class a decision tree of four leaves learns from those numbers alone to tell it from the others, and is judged
on sources it has not seen. What the trees reach above guessing, a network can reach without listening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from trainer.data.clip_facts import ClipFacts
from trainer.data.clips import Clip
from trainer.metrics import Interval, auroc, balanced_accuracy, bootstrap_interval, confusion_counts

_LEAVES = 4
_LEAST_LEAF = 0.02  # of all clips: no leaf for one odd length
_PARTS = 5
_GIVEN_AWAY = 0.65
_DRAWS = 500
_SILENCE_S = 0.02


class Shortcut(NamedTuple):
    """What one kind of fact says of the class."""

    name: str
    balanced_accuracy: float  # mean recall over classes, on unseen sources
    interval: Interval  # 95 %, by source
    chance: float  # 1 / number of classes
    information_bits: float  # between the decision and the class, less what chance adds; 0 where there is none
    auroc_by_class: dict[str, float]  # this class against the others; one half says nothing
    given_away: list[str]  # classes whose AUROC's 95 % interval, by source, lies above 0.65

    @property
    def works(self) -> bool:
        """It gives a class away, or names classes half as often again as guessing does."""
        return bool(self.given_away) or self.interval.low > 1.5 * self.chance


def find_shortcuts(clips: list[Clip], facts: list[ClipFacts]) -> list[Shortcut]:
    """Judge each kind of fact. Empty where there are too few sources or classes to judge by.

    Args:
        clips, facts: in one order; those that cannot be read are left out.
    """
    readable = [i for i, fact in enumerate(facts) if not fact.error]
    labels, sources = [clips[i].category for i in readable], [clips[i].source_id for i in readable]
    if len(set(sources)) < 2 * _PARTS or len(set(labels)) < 2:
        return []
    kinds: dict[str, list[list[float]]] = {
        "length of the sound": [[facts[i].heard_s] for i in readable],
        "silent end": [[facts[i].tail_s] for i in readable],
        "file format": [[facts[i].rate_hz, facts[i].channels] for i in readable],
    }
    return [_judge(name, np.array(rows), labels, sources) for name, rows in kinds.items() if _varies(rows)]


def _judge(name: str, rows: np.ndarray, labels: list[str], sources: list[str]) -> Shortcut:
    names, truth = np.unique(labels, return_inverse=True)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAST_LEAF, class_weight="balanced", random_state=0
    )
    chances = np.stack([_unseen_chances(tree, rows, truth == i, sources) for i in range(len(names))], axis=1)
    predicted = chances.argmax(axis=1)
    by_class = {str(one): auroc(chances[:, i], truth == i) for i, one in enumerate(names)}
    given_away = [
        str(one)
        for i, one in enumerate(names)
        if by_class[str(one)] > _GIVEN_AWAY
        and bootstrap_interval(_auroc_of(chances[:, i], truth == i), sources, draws=_DRAWS).low > _GIVEN_AWAY
    ]
    interval = bootstrap_interval(lambda i: balanced_accuracy(predicted[i], truth[i]), sources, draws=_DRAWS)
    return Shortcut(
        name,
        balanced_accuracy(predicted, truth),
        interval,
        1.0 / len(names),
        _information_bits(confusion_counts(predicted, truth, len(names))),
        by_class,
        given_away,
    )


def _unseen_chances(
    tree: DecisionTreeClassifier, rows: np.ndarray, of_class: np.ndarray, sources: list[str]
) -> np.ndarray:
    """Chance that each clip is of the class, by a tree that has not seen its source.  Shape [N]."""
    rounded = np.round(rows, 2)  # a few samples more or less are chance
    chances: np.ndarray = cross_val_predict(
        tree, rounded, of_class, groups=sources, cv=GroupKFold(_PARTS), method="predict_proba"
    )
    return chances[:, 1] if chances.shape[1] > 1 else np.zeros(len(rows))


def _auroc_of(scores: np.ndarray, of_class: np.ndarray) -> Callable[[np.ndarray], float]:
    def statistic(rows: np.ndarray) -> float:
        both = 0 < of_class[rows].sum() < len(rows)  # a draw of sources may hold none of the class
        return auroc(scores[rows], of_class[rows]) if both else 0.5

    return statistic


def _varies(rows: list[list[float]]) -> bool:
    return bool((np.ptp(np.array(rows), axis=0) > _SILENCE_S).any())


def _information_bits(confusion: np.ndarray) -> float:
    """Mutual information of truth and decision, with Miller and Madow's (1955) correction for the sample's size."""
    joint = confusion / confusion.sum()
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    plain = float((joint[seen] * np.log2(joint[seen] / product[seen])).sum())
    cells = int(seen.sum()) - int(seen.any(axis=1).sum()) - int(seen.any(axis=0).sum()) + 1
    return max(0.0, float(plain - cells / (2 * confusion.sum() * np.log(2))))
