"""Data sets: UrbanSound8K and ESC-50 / ESC-10 in their official layouts, and folders of one's own recordings.

Every clip comes with its class, fold and source. The official tables name `.wav` files; where a copy holds the same
clips as Ogg Vorbis or FLAC, those are taken.
"""

from __future__ import annotations

import csv
from pathlib import Path

from trainer.data.clips import SUFFIXES, UNKNOWN_LABEL, Clip, Dataset, check_names
from trainer.data.own_recordings import read_own_recordings
from trainer.errors import TrainerError

__all__ = ["UNKNOWN_LABEL", "Clip", "Dataset", "list_dataset", "read_dataset", "read_esc50", "read_urbansound8k"]
ESC10_SUFFIX = "#esc10"
URBANSOUND8K_CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)

ESC10_CLASSES = (
    "chainsaw",
    "clock_tick",
    "crackling_fire",
    "crying_baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea_waves",
    "sneezing",
)


def list_urbansound8k(root: Path) -> Dataset:
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
    return Dataset("UrbanSound8K", [_as_found(clip) for clip in clips], URBANSOUND8K_CLASSES)


def list_esc50(root: Path) -> Dataset:
    """ESC-50 or its ESC-10 subset (Piczak, 2015): `meta/esc50.csv`, `audio/`.

    The classes are those that the table lists.
    """
    rows = _read_table(root / "meta" / "esc50.csv", ("filename", "fold", "category", "src_file"))
    clips = [Clip(root / "audio" / row["filename"], row["category"], int(row["fold"]), row["src_file"]) for row in rows]
    return Dataset(_name_esc(clips), [_as_found(clip) for clip in clips])


def list_esc10(root: Path) -> Dataset:
    """The ten classes of ESC-10 out of ESC-50 (its column `esc10`)."""
    path = root / "meta" / "esc50.csv"
    chosen = {row["filename"] for row in _read_table(path, ("filename", "fold", "esc10")) if row["esc10"] == "True"}
    clips = [clip for clip in list_esc50(root).clips if _official_name(clip.path, chosen)]
    if not clips:
        raise TrainerError("%s marks no row as esc10; expected the official table" % path)
    return Dataset(_name_esc(clips), clips)


def list_dataset(root: Path) -> Dataset:
    """Recognise a data set by its layout and list its clips, whether their files are there or not.

    Args:
        root: folder of UrbanSound8K, of ESC-50 or ESC-10, or of own recordings (`trainer.data.own_recordings`), or a
            table of own recordings. `PATH#esc10` takes ESC-10's ten classes out of ESC-50.

    Raises:
        TrainerError: no layout is recognised, a table cannot be read, or two clips have one name.
    """
    return check_names(_list(root))


def _list(root: Path) -> Dataset:
    if str(root).endswith(ESC10_SUFFIX):
        return list_esc10(Path(str(root)[: -len(ESC10_SUFFIX)]))
    root = Path(root)
    if (root / "metadata" / "UrbanSound8K.csv").is_file():
        return list_urbansound8k(root)
    if (root / "meta" / "esc50.csv").is_file():
        return list_esc50(root)
    own = read_own_recordings(root)
    if own is not None:
        return own
    raise TrainerError(
        "%s holds no data set that is known here; expected metadata/UrbanSound8K.csv (UrbanSound8K), meta/esc50.csv "
        "(ESC-50, ESC-10), a table with the columns path and label, or folders of recordings named for their class: "
        "give the folder that contains it" % root
    )


def read_dataset(root: Path) -> Dataset:
    """List a data set whose files are all there.

    Raises:
        TrainerError: as `list_dataset`, or the table names files that are not there.
    """
    return _complete(list_dataset(root), root)


def read_urbansound8k(root: Path) -> Dataset:
    """UrbanSound8K whose files are all there.  Raises TrainerError."""
    return _complete(list_urbansound8k(root), root)


def read_esc50(root: Path) -> Dataset:
    """ESC-50 or ESC-10 whose files are all there.  Raises TrainerError."""
    return _complete(list_esc50(root), root)


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of an official table, each with a value in these columns.  Raises TrainerError."""
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


def _name_esc(clips: list[Clip]) -> str:
    return "ESC-50" if len({clip.category for clip in clips}) > 10 else "ESC-10"


def _official_name(path: Path, names: set[str]) -> bool:
    return any(path.stem + suffix in names for suffix in SUFFIXES)


def _as_found(clip: Clip) -> Clip:
    """The clip, under the name of a lossy or packed copy where the official name is not there."""
    if clip.path.is_file():
        return clip
    others = [clip.path.with_suffix(suffix) for suffix in SUFFIXES]
    return next((clip._replace(path=other) for other in others if other.is_file()), clip)
