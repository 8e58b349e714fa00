"""Evaluated runs, and whether what they say may be put together: one data set, one kind of network, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from trainer.checkpoint import load_checkpoint
from trainer.data.clips import share_folds
from trainer.errors import TrainerError
from trainer.evaluate import Predictions, load_averaged_model, load_predictions
from trainer.fit import CHECKPOINT_NAME
from trainer.recipe import recipe_from_json, recipe_to_mapping
from trainer.run import RunRecord, read_record

_SHOWN = 6  # differing fields named


class Judge(NamedTuple):
    """What decides whether a run's answers belong with another one's."""

    path: Path
    record: RunRecord
    recipe: dict[str, Any]
    n_outputs: int  # as many as labels, or one more of a network that met foreign sound

    @property
    def seed(self) -> int:
        """Of its recipe."""
        return int(self.recipe["seed"])


class Run(NamedTuple):
    """One evaluated run."""

    path: Path
    record: RunRecord
    recipe: dict[str, Any]
    history: list[dict[str, float]]  # one entry an epoch
    predictions: Predictions

    @property
    def seed(self) -> int:
        """Of its recipe."""
        return int(self.recipe["seed"])

    @property
    def judge(self) -> Judge:
        """Without its answers."""
        return Judge(self.path, self.record, self.recipe, self.predictions.logits.shape[1])


def load_run(path: Path) -> Run:
    """Read an evaluated run.

    Raises:
        TrainerError: it is none, or its predictions are not those of its labels.
    """
    record, state, predictions = read_record(path), load_checkpoint(path / CHECKPOINT_NAME), load_predictions(path)
    n_labels, n_outputs = len(record.labels), predictions.logits.shape[1]
    if n_outputs not in (n_labels, n_labels + 1) or predictions.labels.max(initial=-1) >= n_labels:
        raise TrainerError(
            "%s has predictions of %d outputs for its %d labels; expected %d, or %d with foreign sound: run "
            "`soundclr-train evaluate %s` again" % (path, n_outputs, n_labels, n_labels, n_labels + 1, path)
        )
    return Run(path, record, json.loads(state["recipe"]), state.get("history", []), predictions)


def read_judge(path: Path) -> Judge:
    """Of a finished run, evaluated or not.  Raises TrainerError."""
    model, recipe, _ = load_averaged_model(path)
    return Judge(path, read_record(path), recipe_to_mapping(recipe), len(model.classifier.weight))


def check_ensemble(judges: Sequence[Judge]) -> None:
    """May these judge the same clips together, as the mean of their logits? Recipes and seeds may differ.

    Raises:
        TrainerError: other labels, data sets or outputs, or one network twice.
    """
    for number, judge in enumerate(judges[1:], start=1):
        first = judges[0]
        differing = _tell_data(judge, first) or _tell_outputs(judge, first) or _tell_foreign(judge, first, _may_mix)
        if differing:
            raise TrainerError(
                "%s; expected runs that know the same labels of one data set, all trained with foreign sound "
                "(--foreign) or all without: answers over other outputs have no mean with these" % differing
            )
        for earlier in judges[:number]:
            if judge.record == earlier.record and _plain(judge.recipe) == _plain(earlier.recipe):
                raise TrainerError(
                    "%s is the same run as %s (recipe, folds, seed %d): an ensemble would count one network twice; "
                    "name runs of other seeds or recipes" % (judge.path, earlier.path, judge.seed)
                )


def check_same_clips(judge: Judge, first: Judge) -> None:
    """May the two be compared clip by clip?  Raises TrainerError where they know other labels or data sets."""
    differing = _tell_data(judge, first)
    if differing:
        raise TrainerError("%s; expected runs of the same labels on one data set" % differing)


def check_one_kind(first: Judge, others: Sequence[Judge], *, hint: str, any_seed: bool = True) -> None:
    """Are these runs of one recipe, labels, data sets and outputs, so that their answers make one figure?

    Args:
        hint: what to do otherwise.

    Raises:
        TrainerError: they are not.
    """
    for judge in others:
        differing = (
            _tell_data(judge, first)
            or _tell_outputs(judge, first)
            or _tell_foreign(judge, first, str.__eq__)
            or _tell_recipe(judge, first, any_seed=any_seed)
            or _tell_weights(judge, first)
        )
        if differing:
            raise TrainerError("%s; %s" % (differing, hint))


def check_once(judges: Sequence[Judge], *, by_seed: bool) -> None:
    """Is each fold judged once, or once by each seed?  Raises TrainerError."""
    judged: dict[tuple[int, int], Path] = {}
    for judge in judges:
        for fold in sorted(set(judge.record.hold_out_folds)):
            earlier = judged.get((fold, judge.seed if by_seed else 0))
            if earlier is not None:
                raise TrainerError(
                    "%s judges fold %d%s a second time, after %s: its clips would count twice; %s"
                    % (
                        judge.path,
                        fold,
                        " with seed %d" % judge.seed if by_seed else "",
                        earlier,
                        "name each run once" if by_seed else "name one run of each fold; `report` joins several seeds",
                    )
                )
            judged[fold, judge.seed if by_seed else 0] = judge.path


def _tell_data(judge: Judge, first: Judge) -> str:
    """How labels or data set differ, in words; nothing where they do not."""
    own, other = judge.record, first.record
    if own.data != other.data:
        return "%s was judged on %s, %s on %s" % (judge.path, own.data, first.path, other.data)
    if own.labels != other.labels:
        how = "in another order than" if sorted(own.labels) == sorted(other.labels) else "which are not those of"
        return "%s knows the labels %s, %s %s (%s)" % (
            judge.path,
            ", ".join(own.labels),
            how,
            first.path,
            ", ".join(other.labels),
        )
    if own.data_digest and other.data_digest and own.data_digest != other.data_digest:
        return "%s had other clips, folds or sources of %s than %s" % (judge.path, own.data, first.path)
    return ""


def _tell_outputs(judge: Judge, first: Judge) -> str:
    if judge.n_outputs == first.n_outputs:
        return ""
    with_foreign, without = (judge, first) if judge.n_outputs > first.n_outputs else (first, judge)
    return "%s has an output of foreign sound (%d outputs), %s has none (%d)" % (
        with_foreign.path,
        with_foreign.n_outputs,
        without.path,
        without.n_outputs,
    )


def _may_mix(foreign: str, other: str) -> bool:
    """May an ensemble have members of these foreign data sets?  Where one had none, no foreign clip is judged."""
    return not foreign or not other or share_folds(foreign, other)


def _tell_foreign(judge: Judge, first: Judge, alike: Callable[[str, str], bool]) -> str:
    """How the foreign data sets differ, where their names are not alike or one name stands for two lists of clips."""
    own, other = judge.record, first.record
    digests = {own.foreign_digest, other.foreign_digest} - {""}
    moved = own.foreign_data == other.foreign_data and len(digests) > 1
    if alike(own.foreign_data, other.foreign_data) and not moved:
        return ""
    if moved:
        return "%s had other clips of the foreign %s than %s" % (judge.path, own.foreign_data, first.path)
    return "%s had %s for foreign sound, %s %s" % (
        judge.path,
        own.foreign_data or "nothing",
        first.path,
        other.foreign_data or "nothing",
    )


def _tell_weights(judge: Judge, first: Judge) -> str:
    """Whether their backbones began with other files; records of an earlier version do not tell."""
    known = judge.record.folds and first.record.folds
    if not known or judge.record.weights == first.record.weights:
        return ""
    return "%s began with other weights (--weights) than %s" % (judge.path, first.path)


def _tell_recipe(judge: Judge, first: Judge, *, any_seed: bool) -> str:
    own, other = _plain(judge.recipe), _plain(first.recipe)
    differing = sorted(name for name in {**own, **other} if own.get(name) != other.get(name))
    differing = [name for name in differing if not (any_seed and name == "seed")]
    if not differing:
        return ""
    listed = ", ".join(differing[:_SHOWN]) + (" ..." if len(differing) > _SHOWN else "")
    return "%s is of another recipe than %s (%s)" % (judge.path, first.path, listed)


def _plain(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields by their full names; those that an earlier commit did not have yet are at their defaults."""
    with suppress(TrainerError):  # another version's is taken as it is
        recipe = recipe_to_mapping(recipe_from_json(json.dumps(recipe)))
    plain: dict[str, Any] = {}
    for name, value in recipe.items():
        parts = value if isinstance(value, dict) else {"": value}
        plain.update({".".join(filter(None, (name, part))): one for part, one in parts.items()})
    return plain
