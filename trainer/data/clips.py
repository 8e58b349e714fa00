"""The records of a data set."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from trainer.errors import TrainerError

UNKNOWN_LABEL = -1  # the index of a clip that belongs to none of the model's classes
SUFFIXES = (".wav", ".ogg", ".flac")
SOUND_SUFFIXES = frozenset(SUFFIXES + (".aiff", ".aif", ".mp3", ".opus"))


class Clip(NamedTuple):
    """One labelled recording."""

    path: Path
    category: str  # the data set's own class name, in lower case with underscores
    fold: int  # from 1; official where the data set has folds
    source_id: str  # the recording it was cut from (Freesound id): clips of one source are not independent
    place: str = ""  # of own recordings: path within the data set without suffix; official files' names suffice

    @property
    def name(self) -> str:
        """By which predictions know it: one of its own within its data set."""
        return self.place or self.path.name

    @property
    def reserve(self) -> str:
        """Category and fold as --foreign-reserve names them."""
        return "%s:%d" % (self.category, self.fold)


class Dataset(NamedTuple):
    """A data set as found on disk."""

    name: str
    clips: list[Clip]
    classes: tuple[str, ...] = ()  # that it should have, where that is known

    @property
    def categories(self) -> list[str]:
        """Class names, sorted."""
        return sorted({clip.category for clip in self.clips})

    @property
    def folds(self) -> list[int]:
        """Official folds that have clips here."""
        return sorted({clip.fold for clip in self.clips})


def drop_suffix(name: str) -> str:
    """A clip's name without its file's kind: the same clip, whether a copy holds it as WAV or as Ogg."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in SOUND_SUFFIXES else name


def check_names(data: Dataset) -> Dataset:
    """The data set, if no two of its clips have one name: figures, pairs and ensembles know clips by it.

    Raises:
        TrainerError: two have.
    """
    first: dict[str, Clip] = {}
    for clip in data.clips:
        other = first.setdefault(drop_suffix(clip.name), clip)
        if other is not clip:
            raise TrainerError(
                "%s: %s and %s have the same name %s; expected a name of its own for each clip: rename one of them, or "
                "remove the one that is there twice" % (data.name, other.path, clip.path, drop_suffix(clip.name))
            )
    return data


def digest_dataset(data: Dataset) -> str:
    """Of the list of clips, wherever the folder lies: file, class, fold, source."""
    rows = sorted("%s %s %d %s" % (clip.path.name, clip.category, clip.fold, clip.source_id) for clip in data.clips)
    return hashlib.sha256("\n".join(rows).encode("utf-8")).hexdigest()


def share_folds(name: str, other: str) -> bool:
    """Are these two data sets' names for the same clips in the same folds?  ESC-10 is a part of ESC-50."""
    return name == other or (name.startswith("ESC-") and other.startswith("ESC-"))
