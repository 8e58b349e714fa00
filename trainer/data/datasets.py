"""UrbanSound8K and ESC-50 / ESC-10 in their official layouts: clips with their class, fold and source."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from trainer.errors import TrainerError

UNKNOWN_LABEL = -1  # the index of a clip that belongs to none of the model's classes


class Clip(NamedTuple):
    """One labelled recording."""

    path: Path
    category: str  # the data set's own class name, in lower case with underscores
    fold: int  # official fold, from 1
    source_id: str  # Freesound id: clips of one source are not independent


class Dataset(NamedTuple):
    """A data set as found on disk."""

    name: str
    clips: list[Clip]

    @property
    def categories(self) -> list[str]:
        """Class names, sorted."""
        return sorted({clip.category for clip in self.clips})

    @property
    def folds(self) -> list[int]:
        """Official folds that have clips here."""
        return sorted({clip.fold for clip in self.clips})


def read_urbansound8k(root: Path) -> Dataset:
    """UrbanSound8K (Salamon et al., 2014): `metadata/UrbanSound8K.csv`, `audio/foldN/`; classes in classID order."""
    columns = ("slice_file_name", "fsID", "fold", "class")
    rows = _read_table(root / "metadata" / "UrbanSound8K.csv", columns)
    clips = [
        Clip(
            root / "audio" / ("fold" + row["fold"]) / row["slice_file_name"],
            row["class"],
            int(row["fold"]),
            row["fsID"],
        )
        for row in rows
    ]
    return _complete(Dataset("UrbanSound8K", clips), root)


def read_esc50(root: Path) -> Dataset:
    """ESC-50 or its ESC-10 subset (Piczak, 2015): `meta/esc50.csv`, `audio/`.

    The classes are those that the table lists; a table of ESC-50 cut down to `esc10` rows gives ESC-10.
    """
    rows = _read_table(root / "meta" / "esc50.csv", ("filename", "fold", "category", "src_file"))
    clips = [Clip(root / "audio" / row["filename"], row["category"], int(row["fold"]), row["src_file"]) for row in rows]
    return _complete(Dataset("ESC-50" if len({c.category for c in clips}) > 10 else "ESC-10", clips), root)


def read_dataset(root: Path) -> Dataset:
    """Recognise a data set by its layout and read it.

    Raises:
        TrainerError: the folder holds neither layout, or its table names files that are not there.
    """
    root = Path(root)
    if (root / "metadata" / "UrbanSound8K.csv").is_file():
        return read_urbansound8k(root)
    if (root / "meta" / "esc50.csv").is_file():
        return read_esc50(root)
    raise TrainerError(
        "%s holds no data set that is known here; expected metadata/UrbanSound8K.csv (UrbanSound8K) "
        "or meta/esc50.csv (ESC-50, ESC-10): give the folder that contains it" % root
    )


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainerError(
            "%s cannot be read as a table: %s; expected the official one, comma-separated, in UTF-8" % (path, error)
        ) from error
    missing = [name for name in columns if rows and name not in rows[0]]
    if not rows or missing:
        raise TrainerError(
            "%s: %s; expected the official table with the columns %s"
            % (path, "no rows" if not rows else "no column " + ", ".join(missing), ", ".join(columns))
        )
    for number, row in enumerate(rows, start=2):
        if any(not row[name] for name in columns) or not row["fold"].isdigit():
            raise TrainerError(
                "%s, line %d: %s; expected a value for each, fold a whole number"
                % (path, number, {name: row[name] for name in columns})
            )
    return rows


def _complete(dataset: Dataset, root: Path) -> Dataset:
    absent = [clip.path for clip in dataset.clips if not clip.path.is_file()]
    if absent:
        raise TrainerError(
            "%s: %d of %d files that the table names are not there, the first is %s; download the "
            "data set whole, or cut the table down to what is there"
            % (root, len(absent), len(dataset.clips), absent[0])
        )
    return dataset
