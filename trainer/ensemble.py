"""Several networks as one: the mean of their probabilities for the same clips."""

from __future__ import annotations

import numpy as np

from trainer.errors import TrainerError
from trainer.evaluate import Predictions, name_clips
from trainer.metrics import softmax

_SMALLEST = 1e-12


def average_logits(members: list[np.ndarray]) -> np.ndarray:
    """Logits whose softmax is the mean of the members' probabilities.  Each [N, outputs] -> the same, float32.

    Each member's probabilities are taken at temperature 1, as it was trained: a temperature is fitted to the mean.
    """
    wide = [logits.astype(np.float64) for logits in members]
    mean = np.mean([softmax(logits) for logits in wide], axis=0)
    # what softmax does not see, the members' mean energy, is kept: foreign sound may be told by it
    energy = np.mean([_log_sum_exp(logits) for logits in wide], axis=0)
    averaged: np.ndarray = (np.log(np.maximum(mean, _SMALLEST)) + energy).astype(np.float32)
    return averaged


def average_predictions(members: list[Predictions]) -> Predictions:
    """What the ensemble says of the clips that every member judged and none trained on.

    Clips that only some members left out are dropped: an ensemble may be judged only on what none of it has seen.

    Raises:
        TrainerError: the members have other outputs, or no clip that all of them left out.
    """
    names = [name_clips(member) for member in members]
    shared = set(names[0].tolist()).intersection(*(other.tolist() for other in names[1:]))
    common = [name for name in names[0].tolist() if name in shared]
    widths = {member.logits.shape[1] for member in members}
    if not common or len(widths) > 1:
        raise TrainerError(
            "an ensemble of %d runs with %s outputs and %d clips that all of them left out; expected runs of the same "
            "labels that held out the same folds" % (len(members), sorted(widths), len(common))
        )
    aligned = []
    for member, own in zip(members, names, strict=True):
        place = {name: i for i, name in enumerate(own.tolist())}
        aligned.append(member.select(np.array([place[name] for name in common])))
    first = aligned[0]
    if any((other.labels != first.labels).any() for other in aligned[1:]):
        raise TrainerError("the runs give the same clips different labels; evaluate them again on the same data set")
    return first._replace(
        logits=average_logits([one.logits for one in aligned]),
        cut_logits=average_logits([one.cut_logits for one in aligned]),
        names=np.array(common),
        embeddings=np.zeros(0),
    )


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1, keepdims=True)
    total: np.ndarray = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return total
