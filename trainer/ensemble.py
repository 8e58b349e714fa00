"""Several networks as one: the mean of their logits for the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.foreignness import foreignness
from trainer.data.clips import UNKNOWN_LABEL
from trainer.errors import TrainerError
from trainer.evaluate import Predictions, name_clips
from trainer.evaluated_runs import Run

_FINISH = "finish the cross-validation (`soundclr-train crossval --seeds 0,1,2`), or leave --ensemble out"


def average_logits(members: list[np.ndarray]) -> np.ndarray:
    """The mean of the members' logits.  Each [N, outputs] -> the same, float32.

    Its softmax is the geometric mean of their probabilities, each at temperature 1, as it was trained: a temperature is
    fitted to the mean. Of the logits and not of the probabilities, so that a clip's answer is the same whether windows
    or members are averaged first, and a bundle of several networks is one graph without a logarithm of what half
    precision takes for zero.
    """
    averaged: np.ndarray = np.mean([logits.astype(np.float64) for logits in members], axis=0).astype(np.float32)
    return averaged


def average_predictions(members: list[Predictions]) -> Predictions:
    """What the ensemble says of the clips that every member judged and none trained on.

    Clips that only some members left out are dropped: an ensemble may be judged only on what none of it has seen.

    Raises:
        TrainerError: the members have other outputs, or no clip of a known class that all of them left out.
    """
    widths = sorted({member.logits.shape[1] for member in members})
    if len(widths) > 1:
        raise TrainerError(
            "an ensemble of runs with %s outputs; expected all with foreign sound or all without: answers over "
            "other outputs have no mean" % " and ".join(map(str, widths))
        )
    places = [_place_by_clip(member) for member in members]
    common = [clip for clip in places[0] if all(clip in others for others in places[1:])]
    if all(is_foreign for is_foreign, _ in common):
        raise TrainerError(
            "an ensemble of %d runs with 0 clips of known classes that all left out; expected runs that held out the "
            "same folds of one data set (if they did, run `soundclr-train evaluate` on each again: earlier versions "
            "named own recordings otherwise)" % len(members)
        )
    aligned = [
        member.select(np.array([place[clip] for clip in common])) for member, place in zip(members, places, strict=True)
    ]
    first = aligned[0]
    if any((other.labels != first.labels).any() for other in aligned[1:]):
        raise TrainerError("the runs give the same clips different labels; evaluate them again on the same data set")
    return first._replace(
        logits=average_logits([one.logits for one in aligned]),
        cut_logits=average_logits([one.cut_logits for one in aligned]),
        names=np.array([name for _, name in common]),
        embeddings=np.zeros(0),
        distances=_joint_distances(aligned),
    )


def average_seeds(runs: Sequence[Run], *, hint: str = _FINISH) -> list[Run]:
    """A run for each set of held-out folds, whose answers are the ensemble's of all seeds; otherwise its first one's.

    Args:
        hint: what to do where seeds are missing.

    Raises:
        TrainerError: there are fewer than two seeds, or a fold lacks one that another fold has.
    """
    seeds = list_seeds(runs)
    if len(set(seeds.values())) > 1 or any(len(one) < 2 for one in seeds.values()):
        listed = "; ".join(
            "fold%s %s: seed%s %s" % ("s"[: len(folds) > 1], _listed(folds), "s"[: len(one) > 1], _listed(one))
            for folds, one in seeds.items()
        )
        raise TrainerError(
            "no ensemble of %s; expected the same seeds for each fold, at least two: %s" % (listed, hint)
        )
    averaged = []
    for folds in seeds:
        members = sorted((run for run in runs if _folds_of(run) == folds), key=lambda run: run.seed)
        together = average_predictions([member.predictions for member in members])
        averaged.append(members[0]._replace(predictions=together))
    return averaged


def list_seeds(runs: Sequence[Run]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The seeds of each set of held-out folds, both in order."""
    seeds: dict[tuple[int, ...], list[int]] = {}
    for run in sorted(runs, key=_folds_of):
        seeds.setdefault(_folds_of(run), []).append(run.seed)
    return {folds: tuple(sorted(of_folds)) for folds, of_folds in seeds.items()}


def _folds_of(run: Run) -> tuple[int, ...]:
    return tuple(sorted(run.record.hold_out_folds))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _joint_distances(members: Sequence[Predictions]) -> np.ndarray:
    """As a bundle's graph has it, where extra outputs are averaged as the others are (`trainer.known_space`): the mean
    distance, and what the members disagree by.  Empty where a member knows none."""
    if not all(len(member.distances) for member in members):
        return np.zeros(0)
    extra = np.mean([member.distances + _log_sum_exp(member.logits) for member in members], axis=0)
    return np.asarray(extra - _log_sum_exp(average_logits([member.logits for member in members])))


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """[N, K] -> [N]."""
    return -foreignness(logits, "energy", logits.shape[1])


def _place_by_clip(predictions: Predictions) -> dict[tuple[bool, str], int]:
    """Each clip's row, by whether it is foreign and its name: two data sets may each have a `horn/1`."""
    is_foreign = (predictions.labels == UNKNOWN_LABEL).tolist()
    clips = list(zip(is_foreign, name_clips(predictions).tolist(), strict=True))
    return {clip: place for place, clip in enumerate(clips)}
