"""The course of a run as a table: `log.csv` beside its checkpoint, one line an epoch."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from trainer.stages import MEASURES

LOG_NAME = "log.csv"
COLUMNS = ("epoch", "stage", *MEASURES, "learning_rate", "seconds")


def write_log(folder: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write all epochs anew, whole or not at all; what an epoch did not measure stays empty."""
    path = folder / LOG_NAME
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)
