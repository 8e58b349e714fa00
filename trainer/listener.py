"""One ear for runs and bundles: what either says of sound, by its own front end and windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.bundle import MANIFEST_NAME, Bundle, find_bundle, load_bundle
from engines.frontend import FrontendSpec
from engines.runtimes import open_runtime
from engines.streaming import StreamingLogMel
from trainer.crossval import list_runs
from trainer.data.clips import Clip, Dataset, share_folds
from trainer.errors import TrainerError
from trainer.evaluate import load_node_model
from trainer.evaluated_runs import Judge, check_once, check_one_kind
from trainer.inference import compute_clip_logits, compute_clip_outputs, cut_windows, mean_over_windows
from trainer.known_space import OpenClassifier
from trainer.recipe import recipe_to_mapping
from trainer.run import RECORD_NAME, RunRecord, check_digest, read_record

Progress = Callable[[int], None]


class Heard(NamedTuple):
    """What a bundle's network learnt from, by its training record."""

    data: str  # name of the data set of known classes
    folds: list[int]
    foreign: str  # name of the data set of foreign sound; "none" for none


def read_heard(training: dict[str, Any]) -> Heard:
    """A bundle of an earlier commit names the folds that judged it alone: then those."""
    known, _, foreign = training["data"].partition("; foreign sound: ")
    return Heard(known.split(",")[0], training.get("trained_folds", training["folds"]), foreign)


class Listener(NamedTuple):
    """A trained network, ready to be asked."""

    name: str
    labels: list[str]
    spec: FrontendSpec
    short_clip: str
    describe: str  # how it is run
    record: RunRecord | None  # of a run; a bundle has its manifest alone
    bundle: Bundle | None
    listen: Callable[[list[np.ndarray], Progress], np.ndarray]  # clips at the spec's rate -> mean logits [N, outputs]
    judge: Judge | None = None  # of a run: what decides whether its answers belong with another one's
    measures_distance: bool = False  # its extra output is the distance from its known space, not one that was learnt
    listen_within: Callable[[list[np.ndarray]], tuple[np.ndarray, np.ndarray]] | None = None  # of a run: see `embed`

    def embed(self, clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean logits [N, outputs] and mean embeddings [N, D] of clips at the spec's rate, in one pass.

        Raises:
            TrainerError: a bundle.
        """
        if self.listen_within is None:
            raise TrainerError("bundle %s gives no embeddings; name the run that it came from" % self.name)
        return self.listen_within(clips)

    def trained_on(self, data: Dataset) -> list[Clip]:
        """The clips of known classes that a run learnt from.  Raises TrainerError for a bundle, or other data."""
        if self.record is None or self.record.data != data.name:
            raise TrainerError("%s is no run on %s; name one for its nearest neighbours" % (self.name, data.name))
        check_digest(self.record.data_digest, data)
        held = self.record.hold_out_folds
        return [clip for clip in data.clips if clip.fold not in held and clip.category in self.labels]

    def unheard(self, data: Dataset, folds: list[int]) -> list[Clip]:
        """The clips of known classes that may judge it.

        Args:
            folds: restricts them; empty for all that a run held out.

        Raises:
            TrainerError: a run was trained on them; a bundle's folds are not given, or are among those it came from.
        """
        held = self._held_out(data, folds)
        chosen = [clip for clip in data.clips if clip.fold in (folds or held) and clip.category in self.labels]
        if not chosen:
            raise TrainerError("%s has no clip of %s in folds %s" % (data.name, self.name, folds or held))
        return chosen

    def _held_out(self, data: Dataset, folds: list[int]) -> list[int]:
        if self.record is not None and share_folds(data.name, self.record.data):
            if self.record.data == data.name:
                check_digest(self.record.data_digest, data)
            trained = sorted(set(folds) - set(self.record.hold_out_folds))
            if trained or not self.record.hold_out_folds:
                raise TrainerError(
                    "%s was trained on folds %s of %s; it held out %s: figures on what it has heard say nothing"
                    % (self.name, trained or "all", data.name, self.record.hold_out_folds or "none")
                )
            return self.record.hold_out_folds
        if self.bundle is not None:
            heard = read_heard(self.bundle.training)
            if share_folds(heard.data, data.name) and (not folds or set(folds) & set(heard.folds)):
                raise TrainerError(
                    "bundle %s was trained on %s; name folds that it has not heard with --fold"
                    % (self.name, self.bundle.training["data"])
                )
        return folds or data.folds


def open_listener(path: Path, *, device: str = "cpu", threads: int = 1) -> Listener:
    """Open a finished run (torch) or a bundle (ONNX Runtime, with the node's own front end), a shipped one by its name.

    Raises:
        TrainerError: the folder is neither, or the run is not finished.
        BundleError: the bundle is damaged.
    """
    path = find_bundle(path)
    if (path / MANIFEST_NAME).is_file():
        return _open_bundle(path, threads)
    if (path / RECORD_NAME).is_file():
        return _open_run(path, device)
    raise TrainerError("%s is neither a run (%s) nor a bundle (%s)" % (path, RECORD_NAME, MANIFEST_NAME))


def open_listeners(paths: Sequence[Path], *, device: str = "cpu", threads: int = 1) -> list[Listener]:
    """Open runs of one recipe to be judged together, of other folds or seeds, or one bundle.

    A folder of `crossval` stands for its evaluated runs.

    Raises:
        TrainerError: no run, a bundle among several, other labels or another recipe, or the same run twice.
        EngineError: an unusable bundle.
    """
    expanded = [run for path in paths for run in list_runs(path)]
    listeners = [open_listener(path, device=device, threads=threads) for path in expanded]
    if len(listeners) > 1:
        judges = [listener.judge for listener in listeners if listener.judge is not None]
        if len(judges) < len(listeners):
            raise TrainerError("%s: a bundle is judged alone, runs of one recipe together" % ", ".join(map(str, paths)))
        check_one_kind(judges[0], judges[1:], hint="judge them apart, or name them with --against")
        check_once(judges, by_seed=True)
        without = [listener.name for listener in listeners if not listener.measures_distance]
        if 0 < len(without) < len(listeners):
            raise TrainerError(
                "%s: no known space (an earlier version trained them), where the others have one; run "
                "`soundclr-train evaluate` on each" % ", ".join(without)
            )
    return listeners


def _open_run(path: Path, device: str) -> Listener:
    model, recipe, labels = load_node_model(path)
    model = model.to(device)

    def listen(clips: list[np.ndarray], progress: Progress) -> np.ndarray:
        return compute_clip_logits(model, clips, recipe.frontend, recipe.short_clip, device=device, progress=progress)

    def embed(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return compute_clip_outputs(model, clips, recipe.frontend, recipe.short_clip, device=device)

    record = read_record(path)
    judge = Judge(path, record, recipe_to_mapping(recipe), len(model.classifier.weight))
    is_open, spec = isinstance(model.classifier, OpenClassifier), recipe.frontend
    return Listener(path.name, labels, spec, recipe.short_clip, "torch", record, None, listen, judge, is_open, embed)


def _open_bundle(path: Path, threads: int) -> Listener:
    bundle = load_bundle(path)
    runtime = open_runtime(bundle, threads=threads)
    spec = bundle.frontend
    front_end = StreamingLogMel(spec)

    def infer(windows: np.ndarray) -> tuple[np.ndarray, ...]:
        logits = []
        for window in windows:
            front_end.reset()
            front_end.push(window)
            logits.append(runtime.infer(front_end.read_window()))
        return (np.stack(logits),)

    def listen(clips: list[np.ndarray], progress: Progress) -> np.ndarray:
        return mean_over_windows(clips, lambda clip: cut_windows(clip, spec, bundle.short_clip), infer, progress)[0]

    labels = list(bundle.labels)
    return Listener(bundle.name, labels, spec, bundle.short_clip, runtime.describe(), None, bundle, listen)
