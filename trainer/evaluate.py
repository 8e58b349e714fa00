"""Honest evaluation: what a run says of the fold and of the foreign categories that it never saw.

Nothing is chosen here. Temperature, thresholds and the rejection rule are chosen in `trainer.calibration` on the
predictions that this writes, each judged on folds other than those it was chosen on.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engines.foreignness import foreignness
from engines.whole_file import write_whole
from trainer.checkpoint import load_checkpoint
from trainer.data.datasets import UNKNOWN_LABEL
from trainer.data.waveforms import Waveforms
from trainer.errors import TrainerError
from trainer.fit import CHECKPOINT_NAME
from trainer.inference import compute_clip_logits, compute_clip_outputs
from trainer.known_space import KnownSpace, load_space, measure_space, open_classifier, save_space
from trainer.model import SoundNet, restore_network
from trainer.recipe import Recipe, recipe_from_json

PREDICTIONS_NAME = "predictions.npz"
DISTANCE = "distance"  # from the known space
_SHORT_S = 1.2  # about a gun shot in UrbanSound8K


_NONE = np.zeros(0)


class Predictions(NamedTuple):
    """Raw outputs for clips that a run did not train on; all arrays run over clips."""

    logits: np.ndarray  # float32 [N, K + 1], or [N, K] of a network without an output of foreign sound
    labels: np.ndarray  # int64 [N]; UNKNOWN_LABEL for foreign clips
    folds: np.ndarray  # int64 [N]; 0 for foreign clips
    source_ids: np.ndarray  # str [N]
    categories: np.ndarray  # str [N], the data set's own names
    cut_logits: np.ndarray  # float32 [N, K + 1]: the same clips cut to 1.2 s; does length give a class away?
    names: np.ndarray = _NONE  # str [N]: Clip.name, one of its own in each data set; empty in version 0.1
    embeddings: np.ndarray = _NONE  # float16 [N, width], unit vectors' mean over windows; empty where not kept
    distances: np.ndarray = _NONE  # float64 [N] from the known space; empty where training taught foreign sound

    def select(self, chosen: np.ndarray) -> Predictions:
        """The clips of a mask [N] or of indices [M]."""
        return Predictions(*(array[chosen] if len(array) else array for array in self))


def load_averaged_model(run: Path) -> tuple[SoundNet, Recipe, list[str]]:
    """The last epoch's averaged network of a finished run.  Raises TrainerError where the run is not finished."""
    state = load_checkpoint(Path(run) / CHECKPOINT_NAME)
    missing = [name for name in ("epoch", "labels", "averaged") if name not in state]
    if missing:
        raise TrainerError("%s: %s lacks %s; train it again" % (run, CHECKPOINT_NAME, ", ".join(missing)))
    recipe = recipe_from_json(state["recipe"])
    if state["epoch"] < recipe.total_epochs:
        raise TrainerError(
            "%s has finished %d of %d epochs; continue it with `soundclr-train fit` first: only the last "
            "epoch of the schedule is evaluated" % (run, state["epoch"], recipe.total_epochs)
        )
    try:
        return restore_network(state, recipe), recipe, state["labels"]
    except (KeyError, RuntimeError) as error:  # torch's list of every tensor that is missing or of another shape
        raise TrainerError(
            "%s: the weights in %s are not those of its recipe (%s); train it again"
            % (run, CHECKPOINT_NAME, str(error).splitlines()[0])
        ) from error


def load_node_model(run: Path) -> tuple[SoundNet, Recipe, list[str]]:
    """As `load_averaged_model`, with the extra output that a bundle of it has: the learnt one of foreign sound, or the
    distance from the known space; neither where an earlier version trained the run and `fit` or `evaluate` was not run
    on it since.

    Raises:
        TrainerError: the run is not finished, or its known space is damaged.
    """
    model, recipe, labels = load_averaged_model(run)
    space = None if has_foreign_output(model, labels) else load_space(model, Path(run))
    return model if space is None else open_classifier(model, space), recipe, labels


def has_foreign_output(model: SoundNet, labels: list[str]) -> bool:
    """Did the network learn an output of foreign sound?"""
    return len(model.classifier.weight) > len(labels)


def keep_known_space(
    run: Path, model: SoundNet, recipe: Recipe, read_trained: Callable[[], Waveforms], *, device: str = "cpu"
) -> KnownSpace:
    """The known space of a finished run, measured and written where there is none yet.

    Args:
        model: its averaged network.
        read_trained: reads the clips of known classes that it was trained on.
    """
    space = load_space(model, Path(run))
    if space is None:
        sounds = read_trained().samples
        space = measure_space(model.to(device), sounds, recipe.frontend, recipe.short_clip, device=device)
        save_space(space, model, Path(run))
    return space


def predict(
    model: SoundNet,
    recipe: Recipe,
    clips: list[Waveforms],
    *,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Raw outputs for clips, whole and cut short.

    Args:
        model: with `open_classifier`, the distances from its known space are kept too.
        clips: the held-out fold, and the held-out foreign clips where there are any.
        progress: told how many windows of the current pass are done.
    """
    samples = [one for waveforms in clips for one in waveforms.samples]
    cut = [_cut_short(one, recipe.frontend.sample_rate_hz) for one in samples]
    model = model.to(device)
    spec, short_clip = recipe.frontend, recipe.short_clip
    logits, embeddings = compute_clip_outputs(model, samples, spec, short_clip, device=device, progress=progress)
    cut_logits = compute_clip_logits(model, cut, spec, short_clip, device=device, progress=progress)
    distances, n_outputs = _NONE, len(model.classifier.weight)
    if logits.shape[1] > n_outputs:  # an opened classifier's: as the node takes it from the means over a clip's windows
        distances = foreignness(logits, "reject_logit", n_outputs)
        logits, cut_logits = logits[:, :n_outputs], cut_logits[:, :n_outputs]
    labels = np.concatenate([waveforms.labels for waveforms in clips])
    folds = np.concatenate([waveforms.folds for waveforms in clips])
    origins = [clip for waveforms in clips for clip in waveforms.clips]
    return Predictions(
        logits,
        labels,
        np.where(labels == UNKNOWN_LABEL, 0, folds),
        np.array([clip.source_id for clip in origins]),
        np.array([clip.category for clip in origins]),
        cut_logits,
        np.array([clip.name for clip in origins]),
        embeddings.astype(np.float16),
        distances,
    )


def foreign_scores(predictions: Predictions, n_labels: int) -> dict[str, np.ndarray]:
    """What tells foreign sound, by name, each float64 [N], the preferred one first: where training taught an output of
    foreign sound the energy, then that output, which knows what it met and little else; else the distance from the
    known space, where it is known, then the energy. `trainer.calibration` chooses for a bundle."""
    distances = predictions.distances if len(predictions.distances) else None
    return order_scores(predictions.logits, n_labels, distances)


def order_scores(logits: np.ndarray, n_labels: int, distances: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """As `foreign_scores`, of outputs [N, n_labels or n_labels + 1] and of distances [N] from a known space."""
    energy = {"energy": foreignness(logits, "energy", n_labels)}
    if logits.shape[1] > n_labels:
        return {**energy, "reject_logit": foreignness(logits, "reject_logit", n_labels)}
    return energy if distances is None else {DISTANCE: distances, **energy}


def count_right(model: SoundNet, recipe: Recipe, clips: Waveforms, n_labels: int, *, device: str = "cpu") -> int:
    """How many clips' best known class is theirs."""
    logits = compute_clip_logits(model, clips.samples, recipe.frontend, recipe.short_clip, device=device)
    return int((logits[:, :n_labels].argmax(axis=1) == clips.labels).sum())


def save_predictions(predictions: Predictions, folder: Path) -> None:
    """Write `predictions.npz`."""
    content = io.BytesIO()
    np.savez_compressed(content, **predictions._asdict())
    write_whole(Path(folder) / PREDICTIONS_NAME, content.getvalue())


def load_predictions(folder: Path) -> Predictions:
    """Read `predictions.npz`.  Raises TrainerError."""
    path = Path(folder) / PREDICTIONS_NAME
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = [name for name in Predictions._fields if name in file or name not in Predictions._field_defaults]
            predictions = _check_shapes(Predictions(**{name: file[name] for name in kept}))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainerError(
            "%s cannot be read (%s); run `soundclr-train evaluate %s` first" % (path, error, folder)
        ) from error
    _check_names(predictions, folder)
    return predictions


def join_predictions(parts: list[Predictions]) -> Predictions:
    """Predictions of several runs, each of what that run did not see.

    Embeddings of different networks lie in different spaces: they are kept only where there is one part.

    Raises:
        TrainerError: some have an output of foreign sound and others none.
    """
    if len(parts) == 1:
        return parts[0]
    widths = sorted({part.logits.shape[1] for part in parts})
    if len(widths) > 1:
        raise TrainerError(
            "the runs have %s outputs; expected the same of all: with an output of foreign sound, or without"
            % " and ".join(map(str, widths))
        )
    measured = all(len(part.distances) == len(part.labels) for part in parts)  # a part may have no clip at all
    parts = [
        part._replace(names=name_clips(part), embeddings=_NONE, distances=part.distances if measured else _NONE)
        for part in parts
    ]
    return Predictions(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def name_clips(predictions: Predictions) -> np.ndarray:
    """A name for each clip.  Shape [N].

    Where none was kept (version 0.1) it is made of class, fold, source and the clip's number among those alike: the
    same for every run that judged the same clips, which all come in the data set's order.
    """
    if len(predictions.names):
        return predictions.names
    seen: dict[tuple[str, ...], int] = {}
    names = []
    for row in zip(predictions.categories, predictions.folds, predictions.source_ids, strict=True):
        key = tuple(str(value) for value in row)
        seen[key] = seen.get(key, -1) + 1
        names.append("/".join((*key, str(seen[key]))))
    return np.array(names)


def _check_shapes(predictions: Predictions) -> Predictions:
    """The predictions, where their arrays belong together.  Raises ValueError."""
    clips, shape = len(np.atleast_1d(predictions.labels)), predictions.logits.shape
    whole = all(array.dtype.kind in "iu" and array.shape == (clips,) for array in predictions[1:3])
    named = predictions.source_ids.shape == predictions.categories.shape == (clips,)
    optional = all(len(np.atleast_1d(array)) in (0, clips) for array in predictions[6:])
    if not (whole and named and optional and len(shape) == 2 and len(predictions.logits) == clips > 0):
        raise ValueError("its arrays do not run over the same clips")
    cut = predictions.cut_logits
    distances = predictions.distances
    if distances.dtype.kind != "f" or distances.shape not in ((0,), (clips,)):
        raise ValueError("its distances are not one number a clip")
    finite = np.isfinite(predictions.logits).all() and np.isfinite(distances).all()
    if cut.ndim != 2 or len(cut) != clips or not finite:
        raise ValueError("its answers are incomplete, or no numbers")
    if not UNKNOWN_LABEL <= predictions.labels.min() <= predictions.labels.max() < shape[1]:
        raise ValueError("it names classes that it has no answer for")
    return predictions


def _check_names(predictions: Predictions, folder: Path) -> None:
    """Two clips of one name would be taken for one.  Raises TrainerError."""
    is_foreign = predictions.labels == UNKNOWN_LABEL
    for chosen in (is_foreign, ~is_foreign):
        names, counts = np.unique(name_clips(predictions)[chosen], return_counts=True)
        if (counts > 1).any():
            raise TrainerError(
                "%s knows %d clips as %s: an earlier version named clips by their files alone; run "
                "`soundclr-train evaluate %s` again" % (folder, counts.max(), names[counts.argmax()], folder)
            )


def _cut_short(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """The middle 1.2 s."""
    length = min(len(samples), int(_SHORT_S * sample_rate_hz))
    start = (len(samples) - length) // 2
    return samples[start : start + length]
