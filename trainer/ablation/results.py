"""One small file for each run of the ablation, made to be committed: configuration, hashes, and an answer a clip.

    <results>/<data set>/clips.json                         the clips of each fold, once
    <results>/<data set>/<row>.fold-<fold>.seed-<seed>.json a run

Runs can be spread over time and machines: what is there is not done again. What is there under another configuration
or by other code is refused rather than mixed.
"""

from __future__ import annotations

import hashlib
import json
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from engines.whole_file import write_whole
from trainer.data.clips import UNKNOWN_LABEL, Clip, Dataset, drop_suffix
from trainer.errors import TrainerError
from trainer.evaluate import Predictions, name_clips
from trainer.metrics import softmax

CLIPS_NAME = "clips.json"
SCHEMA = 1
_ROOT = Path(__file__).resolve().parents[2]
# what decides which weights a configuration gives and what they answer
_SHAPING = (
    "engines/frontend.py",
    "engines/windows.py",
    "trainer/augment.py",
    "trainer/data/batches.py",
    "trainer/data/loading.py",
    "trainer/data/made_up.py",
    "trainer/data/waveforms.py",
    "trainer/fit.py",
    "trainer/frontend.py",
    "trainer/inference.py",
    "trainer/losses.py",
    "trainer/model.py",
    "trainer/run.py",
    "trainer/stages.py",
    "trainer/weights.py",
)
_TEACHING = ("trainer/distillation.py",)
_UNREAD = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING)
_SILENT = (tokenize.STRING, tokenize.INDENT, tokenize.DEDENT)  # a line of these alone is a docstring


class Cell(NamedTuple):
    """One run of the ablation."""

    data: str  # name of the data set
    row: str
    fold: int
    seed: int

    @property
    def file_name(self) -> str:
        """Of its result."""
        return "%s.fold-%d.seed-%d.json" % (self.row, self.fold, self.seed)


class Result(NamedTuple):
    """What a run's file holds."""

    cell: Cell
    text: str  # of the row
    configuration: str  # hash of `settings`
    code: str  # hash of what shapes weights
    settings: dict[str, Any]
    made_with: dict[str, str]
    predicted: list[int]  # a class for each clip of the fold, in the order of clips.json
    probability: list[int]  # of the true class, in thousandths, at temperature 1
    best_epoch_accuracy: float | None  # optimistic: the epoch is chosen on the fold that it is judged on
    epochs: int
    seconds: float  # of training, over all sittings


class Store:
    """The results of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, cell: Cell) -> Path:
        """Where a run's result lies or will lie."""
        return self.folder / _slug(cell.data) / cell.file_name

    def has(self, cell: Cell, configuration: str, code: str, *, any_code: bool = False) -> bool:
        """Is this run's result there?

        Args:
            any_code: take a result of other code too.

        Raises:
            TrainerError: one is there, of another configuration or by other code.
        """
        path = self.path(cell)
        if not path.is_file():
            return False
        there = read_result(path)
        if there.configuration != configuration:
            raise TrainerError(
                "%s is of another configuration (%s, here %s): same row, but other options or data; give another "
                "--results, or remove it to do it again" % (path, there.configuration[:12], configuration[:12])
            )
        if there.code != code and not any_code:
            raise TrainerError(
                "%s was made by other code (%s, here %s); --any-code mixes them and says so in the table, removing the "
                "file does it again" % (path, there.code[:12], code[:12])
            )
        return True

    def write_clips(self, data: Dataset, labels: list[str]) -> None:
        """Write the clips of a data set, or check that they are those which are there.  Raises TrainerError."""
        values = _list_clips(data, labels, lambda clip: drop_suffix(clip.name))
        path = self.folder / _slug(data.name) / CLIPS_NAME
        there = _read(path) if path.is_file() else None
        if there == values:
            return
        # an earlier commit named own recordings by their files alone: the same clips, in the same order
        if there not in (None, _list_clips(data, labels, lambda clip: clip.path.stem)):
            raise TrainerError("%s lists other clips than %s has here; give another --results" % (path, data.name))
        _write(path, values)

    def read_clips(self, data: str) -> dict[str, Any]:
        """The clips of a data set.  Raises TrainerError."""
        path = self.folder / _slug(data) / CLIPS_NAME
        values = _read(path)
        try:
            whole = all(
                len(fold["names"]) == len(fold["labels"]) == len(fold["sources"]) for fold in values["folds"].values()
            )
            whole = whole and all(label in range(len(values["labels"])) for label in _list_labels(values))
        except (KeyError, TypeError, AttributeError) as error:
            raise TrainerError("%s lists no clips of `soundclr-train ablate` (%r)" % (path, error)) from error
        if not whole:
            raise TrainerError("%s is damaged: names, labels and sources do not go together" % path)
        return values

    def write(self, result: Result) -> None:
        """Write a run's result, whole or not at all."""
        values = {"schema": SCHEMA, **result._asdict(), "cell": result.cell._asdict()}
        _write(self.path(result.cell), values)

    def read(self) -> list[Result]:
        """All results, in the order of their names.

        Raises:
            TrainerError: one cannot be read, or answers other clips than its data set lists.
        """
        results = {path: read_result(path) for path in sorted(self.folder.glob("*/*.seed-*.json"))}
        clips = {data: self.read_clips(data) for data in {result.cell.data for result in results.values()}}
        for path, result in results.items():
            of_data = clips[result.cell.data]
            names = of_data["folds"].get(str(result.cell.fold), {"names": []})["names"]
            if len(result.predicted) != len(names) or not set(result.predicted) <= set(range(len(of_data["labels"]))):
                raise TrainerError(
                    "%s answers %d clips where fold %s of %s has %d, or with classes that are not there; remove it to "
                    "do it again" % (path, len(result.predicted), result.cell.fold, result.cell.data, len(names))
                )
        return list(results.values())


def read_result(path: Path) -> Result:
    """Read a run's result.  Raises TrainerError."""
    values = _read(path)
    try:
        if values.pop("schema") != SCHEMA:
            raise TrainerError("%s has another schema; expected %d" % (path, SCHEMA))
        result = Result(**{**values, "cell": Cell(**values["cell"])})
        _check_kinds(result)
        return result
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainerError("%s is no result of `soundclr-train ablate` (%s)" % (path, error)) from error


def _check_kinds(result: Result) -> None:
    """Raises TypeError where a field that is read is of another kind."""
    kinds: dict[str, Any] = {
        "text": str,
        "configuration": str,
        "code": str,
        "settings": dict,
        "made_with": dict,
        "predicted": list,
        "best_epoch_accuracy": float | int | None,
    }
    wrong = [name for name, kind in kinds.items() if not isinstance(getattr(result, name), kind)]
    wrong += [name for name, kind in get_type_hints(Cell).items() if type(getattr(result.cell, name)) is not kind]
    if wrong:
        raise TypeError("another kind of %s" % ", ".join(wrong))
    if not {"torch", "device"} <= set(result.made_with) or not all(type(answer) is int for answer in result.predicted):
        raise TypeError("no torch and device in made_with, or answers that are no numbers of classes")


def _list_labels(clips: dict[str, Any]) -> list[Any]:
    return [label for fold in clips["folds"].values() for label in fold["labels"]]


def compact_answers(predictions: Predictions, clips: dict[str, Any], fold: int) -> tuple[list[int], list[int]]:
    """Each clip's answer and its true class's probability in thousandths, in the order of clips.json.

    Raises:
        TrainerError: the run judged other clips.
    """
    of_fold = clips["folds"][str(fold)]
    known = predictions.select(predictions.labels != UNKNOWN_LABEL)
    if [drop_suffix(name) for name in name_clips(known).tolist()] != of_fold["names"]:
        raise TrainerError("a run judged other clips of fold %d than the data set has; was it changed?" % fold)
    probabilities = softmax(known.logits[:, : len(clips["labels"])].astype(np.float64))
    truth = np.array(of_fold["labels"])
    shares = np.rint(1000 * probabilities[np.arange(len(truth)), truth]).astype(int)
    return probabilities.argmax(axis=1).tolist(), shares.tolist()


def _list_clips(data: Dataset, labels: list[str], name_of: Callable[[Clip], str]) -> dict[str, Any]:
    """What clips.json holds."""
    folds: dict[str, dict[str, list[Any]]] = {}
    for clip in data.clips:
        if clip.category in labels:
            fold = folds.setdefault(str(clip.fold), {"names": [], "labels": [], "sources": []})
            fold["names"].append(name_of(clip))
            fold["labels"].append(labels.index(clip.category))
            fold["sources"].append(clip.source_id)
    return {"schema": SCHEMA, "data": data.name, "labels": labels, "folds": folds}


def digest_code(*, teaching: bool = False) -> str:
    """Hash of the code that shapes weights and answers; comments, docstrings and line breaks do not count.

    Args:
        teaching: for a row with teachers.
    """
    digest = hashlib.sha256()
    for name in _SHAPING + (_TEACHING if teaching else ()):
        for line in _read_statements(_ROOT / name):
            digest.update(line.encode("utf-8"))
    return digest.hexdigest()


def _read_statements(path: Path) -> Iterator[str]:
    """The logical lines of a source file that do something."""
    line: list[tokenize.TokenInfo] = []
    with open(path, "rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.NEWLINE:
                if any(part.type not in _SILENT for part in line):
                    yield " ".join(part.string for part in line) + "\n"
                    line = []
                line = [part for part in line if part.type != tokenize.STRING]
            elif token.type not in _UNREAD:
                line.append(token)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError("%s cannot be read (%s)" % (path, error)) from error
    if not isinstance(values, dict):
        raise TrainerError("%s holds no JSON object" % path)
    return values


def _write(path: Path, values: dict[str, Any]) -> None:
    """One line for each field: a change shows as such, and a run stays a small file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["%s: %s" % (json.dumps(name), json.dumps(value, allow_nan=False)) for name, value in values.items()]
    write_whole(path, ("{\n%s\n}\n" % ",\n".join(lines)).encode())
