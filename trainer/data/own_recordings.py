"""A folder of one's own recordings as a data set: folders named for their class, or a table.

    siren/clip.wav                  a recording of its own
    siren/monday-morning/03.wav     a piece of the recording `monday-morning`, whichever class its other pieces have
    recordings.csv                  columns path and label, and where they are known fold and source

A clip's name is its path within the folder without suffix (`siren/monday-morning/03`): `horn/1.wav` and `siren/1.wav`
are two clips.

Where no folds are given they are made by source: a recording is never split over training and test. Another recording
more or less may change them; `soundclr-train data DIR --write-table recordings.csv` keeps them.
"""

from __future__ import annotations

import csv
import hashlib
import posixpath
import re
from collections import Counter, defaultdict
from pathlib import Path

from engines.bundle import LABEL
from trainer.data.clips import SOUND_SUFFIXES, Clip, Dataset, drop_suffix
from trainer.errors import TrainerError

TABLE_NAME = "recordings.csv"
_MOST_FOLDS, _FEWEST_FOLDS = 5, 2


def read_own_recordings(root: Path) -> Dataset | None:
    """The recordings of a folder or a table, or None where there are none.

    Raises:
        TrainerError: the table cannot be read, or a class has a name that no bundle could carry.
    """
    if root.is_file():
        return _read_table(root)
    if (root / TABLE_NAME).is_file():
        return _read_table(root / TABLE_NAME)
    return _read_folders(root) if root.is_dir() else None


def write_table(dataset: Dataset, path: Path) -> None:
    """Write a data set's clips as a table of own recordings, with the folds that they have now."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "fold", "source"])
        for clip in dataset.clips:
            writer.writerow([_relative(clip.path, path.parent), clip.category, clip.fold, clip.source_id])


def make_folds(clips: list[Clip]) -> list[Clip]:
    """Give clips folds by source: as many as the rarest class has sources, 2 to 5, each class spread evenly.

    Sources are dealt out from the largest to the smallest, each to the fold that has the least of its classes so
    far; ties are broken by the source's digest, so that the order of files does not matter. Written here and not
    taken from a library, whose next version might deal otherwise.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        counts[clip.source_id][clip.category] += 1
    sources_of = Counter(category for classes in counts.values() for category in classes)
    n_folds = max(_FEWEST_FOLDS, min(_MOST_FOLDS, *sources_of.values()))
    total = Counter(clip.category for clip in clips)
    dealt: list[Counter[str]] = [Counter() for _ in range(n_folds)]
    fold_of = {}
    for source in sorted(counts, key=lambda name: (-counts[name].total(), _digest(name))):
        classes = counts[source]
        loads = [
            (
                sum(fold[category] * count / total[category] for category, count in classes.items()),
                fold.total(),
                number,
            )
            for number, fold in enumerate(dealt)
        ]
        chosen = min(loads)[2]
        dealt[chosen].update(classes)
        fold_of[source] = chosen + 1
    return [clip._replace(fold=fold_of[clip.source_id]) for clip in clips]


def _read_folders(root: Path) -> Dataset | None:
    clips: list[Clip] = []
    found = (path for path in root.glob("*/**/*") if path.suffix.lower() in SOUND_SUFFIXES and path.is_file())
    for path in sorted(found):
        parts = path.relative_to(root).parts
        if parts[0].startswith("."):
            continue
        source = "/".join(parts[1:-1]) if len(parts) > 2 else "%s/%s" % (parts[0], path.stem)
        clips.append(Clip(path, _name_class(parts[0], path), 0, source, drop_suffix("/".join(parts))))
    if not clips:
        return None
    classes = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    return Dataset(root.resolve().name, make_folds(clips), tuple(_name_class(name, root) for name in classes))


def _read_table(path: Path) -> Dataset:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainerError(
            "%s cannot be read as a table: %s; expected comma-separated UTF-8" % (path, error)
        ) from error
    missing = [name for name in ("path", "label") if not rows or name not in rows[0]]
    if missing:
        raise TrainerError(
            "%s has %s; expected rows with the columns path and label, and where they are known fold and source"
            % (path, "no rows" if not rows else "no column " + ", ".join(missing))
        )
    clips = [_clip_from_row(row, number, path) for number, row in enumerate(rows, start=2)]
    without = [clip for clip in clips if not clip.fold]
    if without and len(without) < len(clips):
        raise TrainerError(
            "%s gives a fold for %d of %d rows; expected one for each, or for none: then folds are made by source"
            % (path, len(clips) - len(without), len(clips))
        )
    return Dataset(path.resolve().parent.name, make_folds(clips) if without else clips)


def _clip_from_row(row: dict[str, str], number: int, table: Path) -> Clip:
    name, label, fold = (row[column] if row.get(column) else "" for column in ("path", "label", "fold"))
    if not name or not label or (fold and not (fold.isdigit() and int(fold) > 0)):
        raise TrainerError(
            "%s, line %d: path %r, label %r, fold %r; expected a path, a label, and a whole number from 1 or nothing"
            % (table, number, name, label, fold)
        )
    path = table.parent / name
    source = row.get("source") or Path(name).with_suffix("").as_posix()
    return Clip(path, _name_class(label, path), int(fold or 0), source, _place(name, table.parent))


def _place(name: str, folder: Path) -> str:
    """A table's path from the folder on, however it is written, without suffix."""
    path = Path(name)
    return drop_suffix(_relative(path, folder) if path.is_absolute() else posixpath.normpath(path.as_posix()))


def _name_class(name: str, path: Path) -> str:
    label = re.sub(r"\s+", "_", name.strip().lower())
    if not LABEL.match(label):
        raise TrainerError(
            "%s: class %r; expected a name of a-z, 0-9, _ and -, at most 32 of them: rename the folder or the label"
            % (path, name)
        )
    return label


def _relative(path: Path, folder: Path) -> str:
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return str(path.resolve())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8")).hexdigest()
