"""A training run's record: which clips it trains on and which it never sees. Written beside its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from engines.whole_file import write_whole
from trainer.data.clips import digest_dataset, share_folds
from trainer.data.datasets import Clip, Dataset, read_dataset
from trainer.errors import TrainerError

RECORD_NAME = "run.json"
_TEXTS = ("data", "foreign_data", "data_digest", "foreign_digest", "weights")
_NUMBERS = ("hold_out_folds", "folds")  # lists of them; the others are lists of texts
_FACTS = ("folds", "data_digest", "foreign_digest", "weights")  # of a record; those of earlier commits have none


class RunRecord(NamedTuple):
    """What `soundclr-train fit` was asked for, but for the recipe, which lies in the checkpoint."""

    data: str  # name of the data set of known classes
    labels: list[str]
    hold_out_folds: list[int]  # folds that are never trained on
    foreign_data: str  # name of the data set of foreign sound; "" for none
    foreign_skip: list[str]  # its categories that are known classes under another name
    foreign_hold_out: list[str]  # its categories that no training role sees
    foreign_reserve: list[str]  # category:fold, kept for scenes
    leave_out_classes: list[str]  # classes of `data` that are trained on in no role: foreign sound for judging
    teachers: tuple[str, ...] = ()  # runs whose answers it learnt, each with its checkpoint's digest
    folds: tuple[int, ...] = ()  # all that the data set had then; none, nor what follows, in records of earlier commits
    data_digest: str = ""  # of the lists of clips: folds of one's own recordings move with each new one
    foreign_digest: str = ""
    weights: str = ""  # digest of the file that the backbone began with; "" for the backbone's own ImageNet weights

    @property
    def roles(self) -> dict[str, Any]:
        """What was asked for, without what the data and the first weights were: settings name these by themselves."""
        return {name: value for name, value in self._asdict().items() if name not in _FACTS}

    @property
    def trained_folds(self) -> list[int]:
        """Folds that it learnt from; none where the record is too old to say."""
        return sorted(set(self.folds) - set(self.hold_out_folds))


class Selection(NamedTuple):
    """Clips by their role in one run."""

    train: list[Clip]
    test: list[Clip]  # the held-out folds
    foreign_train: list[Clip]
    foreign_test: list[Clip]  # the held-out categories, and the classes left out


def select_clips(record: RunRecord, data: Dataset, foreign: Dataset | None) -> Selection:
    """Give each clip its role. Foreign clips that share a source with the known ones have none.

    Raises:
        TrainerError: a fold or a category that the data sets do not have.
    """
    absent = sorted(set(record.hold_out_folds) - set(data.folds))
    if absent:
        raise TrainerError("%s has no fold %s to hold out; it has %s" % (data.name, _listed(absent), data.folds))
    left_out = set(record.leave_out_classes)
    if left_out - set(data.categories):
        raise TrainerError(
            "%s has no class %s to leave out; it has %s"
            % (data.name, _listed(sorted(left_out - set(data.categories))), data.categories)
        )
    known = [clip for clip in data.clips if clip.category not in left_out]
    train = [clip for clip in known if clip.fold not in record.hold_out_folds]
    test = [clip for clip in known if clip.fold in record.hold_out_folds]
    strange = _strange_clips(record, data, train)
    _check_foreign_roles(record, foreign)
    if foreign is None:
        return Selection(train, test, [], strange)
    shared = {clip.source_id for clip in data.clips}
    skipped = set(record.foreign_skip) | set(data.categories)
    usable = [
        clip
        for clip in foreign.clips
        if clip.category not in skipped and clip.source_id not in shared and clip.reserve not in record.foreign_reserve
    ]
    held = set(record.foreign_hold_out)
    return Selection(
        train,
        test,
        [clip for clip in usable if clip.category not in held],
        [clip for clip in usable if clip.category in held] + strange,
    )


def _check_foreign_roles(record: RunRecord, foreign: Dataset | None) -> None:
    """Refuse roles of foreign sound that nothing has: a slip of the pen would train on what was to be kept away."""
    named = sorted({*record.foreign_skip, *record.foreign_hold_out})
    if foreign is None:
        if named or record.foreign_reserve:
            raise TrainerError(
                "%s without foreign sound; give --foreign too" % ", ".join([*named, *record.foreign_reserve])
            )
        return
    unknown = [category for category in named if category not in foreign.categories]
    if unknown:
        raise TrainerError("%s has no categories %s; it has %s" % (foreign.name, unknown, foreign.categories))
    there = {clip.reserve for clip in foreign.clips}
    unknown = [reserve for reserve in record.foreign_reserve if reserve not in there]
    if unknown:
        raise TrainerError(
            "--foreign-reserve %s; expected CATEGORY:FOLD of %s, such as %s"
            % (", ".join(unknown), foreign.name, min(there, default="rain:5"))
        )


def write_record(record: RunRecord, folder: Path) -> None:
    """Write the record where there is none; refuse a folder that holds another run.  Raises TrainerError."""
    path = folder / RECORD_NAME
    if path.exists():
        if not _tells_the_same(read_record(folder), record):
            raise TrainerError("%s holds another run (%s); give another --out" % (folder, path.read_text()))
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(record._asdict(), indent=1) + "\n").encode())


def _tells_the_same(kept: RunRecord, record: RunRecord) -> bool:
    if not kept.folds:  # of an earlier commit
        return kept.roles == record.roles
    return kept == record


def list_heard(record: RunRecord, student: RunRecord) -> list[str]:
    """What this run has heard of that which another one is to be judged on, in words.  Nothing where their data sets
    have no clips in common."""
    if not share_folds(record.data, student.data):
        return []
    heard = ["fold %d" % fold for fold in sorted(set(student.hold_out_folds) - set(record.hold_out_folds))]
    for kind, of_student, of_other in (
        ("foreign", student.foreign_hold_out, record.foreign_hold_out),
        ("foreign", student.foreign_reserve, record.foreign_reserve),
        ("class", student.leave_out_classes, record.leave_out_classes),
    ):
        missing = set(of_student) - set(of_other) if record.foreign_data or kind == "class" else set()
        heard += ["%s %s" % (kind, name) for name in sorted(missing)]
    return heard


def read_record(folder: Path) -> RunRecord:
    """Read a run's record.  Raises TrainerError."""
    path = Path(folder) / RECORD_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if "hold_out_fold" in values:  # runs of version 0.1
            fold = values.pop("hold_out_fold")
            values["hold_out_folds"] = [fold] if fold else []
        return record_from_mapping(values)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TrainerError(
            "%s is no run of `soundclr-train fit`: %s cannot be read (%s)" % (folder, RECORD_NAME, error)
        ) from error


def record_from_json(text: str, where: Path) -> RunRecord | None:
    """The record that a checkpoint carries, where it carries one.

    Args:
        where: the checkpoint, for complaints.

    Raises:
        TrainerError: it is damaged.
    """
    try:
        values = json.loads(text)
        return None if values is None else record_from_mapping(values)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TrainerError("%s carries a damaged record (%s); train it again" % (where, error)) from error


def record_from_mapping(values: dict[str, Any]) -> RunRecord:
    """A record of its plain values.  Raises TypeError where a field is missing, unknown or of another kind."""
    record = RunRecord(**{"leave_out_classes": [], **values})
    for name, value in record._asdict().items():
        entry = int if name in _NUMBERS else str
        is_right = isinstance(value, str) if name in _TEXTS else _is_list_of(entry, value)
        if not is_right:
            kind = "a text" if name in _TEXTS else "a list of %s" % ("whole numbers" if entry is int else "texts")
            raise TypeError("%s is %r; expected %s" % (name, value, kind))
    return record._replace(teachers=tuple(record.teachers), folds=tuple(record.folds))


def _is_list_of(entry: type, value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(type(one) is entry for one in value)


def read_datasets(record: RunRecord, data: Path, foreign: Path | None) -> tuple[Dataset, Dataset | None]:
    """Read the data sets of a run and check that they are those it was begun with.  Raises TrainerError."""
    known, other = read_dataset(data), None if foreign is None else read_dataset(foreign)
    given = (known.name, known.categories, "" if other is None else other.name)
    expected = (record.data, sorted(record.labels + record.leave_out_classes), record.foreign_data)
    if given != expected:
        raise TrainerError("the run was begun with %s; given is %s" % (expected, given))
    check_digest(record.data_digest, known)
    if other is not None:
        check_digest(record.foreign_digest, other)
    return known, other


def check_digest(kept: str, data: Dataset) -> None:
    """Is this the list of clips that a run was begun with? Folds of one's own recordings move with each new one.

    Args:
        kept: the list's digest in the run's record; "" in records of earlier commits, which do not tell.

    Raises:
        TrainerError: it is another one.
    """
    if kept not in ("", digest_dataset(data)):
        raise TrainerError(
            "%s lists other clips, folds or sources than when the run was begun: clips that it trained on may lie in a "
            "fold that it held out; give the data set as it was, or train again" % data.name
        )


def _strange_clips(record: RunRecord, data: Dataset, train: list[Clip]) -> list[Clip]:
    """Clips of the classes left out that may judge: of the held-out folds, or where none is held out of any source
    that is not trained on under another class."""
    chosen = [clip for clip in data.clips if clip.category in record.leave_out_classes]
    if record.hold_out_folds:
        return [clip for clip in chosen if clip.fold in record.hold_out_folds]
    heard = {clip.source_id for clip in train}
    return [clip for clip in chosen if clip.source_id not in heard]


def _listed(values: list[int] | list[str]) -> str:
    return ", ".join(str(value) for value in values)
