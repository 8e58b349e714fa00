"""The course of a run: `log.csv` beside its checkpoint, one line an epoch, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engines.whole_file import write_whole
from trainer.errors import TrainerError
from trainer.stages import MEASURES

LOG_NAME = "log.csv"
TENSORBOARD_NAME = "tensorboard"
COLUMNS = ("epoch", "stage", *MEASURES, "test_accuracy", "learning_rate", "seconds")


def write_log(folder: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write all epochs anew, whole or not at all; what an epoch did not measure stays empty."""
    with io.StringIO(newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_whole(folder / LOG_NAME, file.getvalue().encode())


@contextmanager
def open_tensorboard(folder: Path | None, epochs: int) -> Iterator[Callable[[dict[str, object]], None]]:
    """TensorBoard's log of a run, in a folder of its own below the run's; without a folder nothing is written.

    Args:
        epochs: finished already: what an interrupted run logged beyond them is dropped.

    Yields:
        What takes an epoch's row.

    Raises:
        TrainerError: the package tensorboard is not there.
    """
    if folder is None:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainerError(
            "--tensorboard needs the package tensorboard (%s): pip install tensorboard" % error
        ) from error
    writer = SummaryWriter(str(folder / TENSORBOARD_NAME), purge_step=epochs + 1)

    def write(row: dict[str, object]) -> None:
        for name, value in row.items():
            if name != "epoch" and isinstance(value, int | float):
                writer.add_scalar(name, value, int(str(row["epoch"])))
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
