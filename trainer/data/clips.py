"""The records of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

UNKNOWN_LABEL = -1  # the index of a clip that belongs to none of the model's classes
SUFFIXES = (".wav", ".ogg", ".flac")


class Clip(NamedTuple):
    """One labelled recording."""

    path: Path
    category: str  # the data set's own class name, in lower case with underscores
    fold: int  # from 1; official where the data set has folds
    source_id: str  # the recording it was cut from (Freesound id): clips of one source are not independent


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
