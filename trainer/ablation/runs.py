"""Which runs an ablation has, and the work on them by any number of processes that know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainer.ablation.results import Cell
from trainer.folder_lock import hold


def plan_cells(data: str, rows: Mapping[str, Sequence[int]], folds: Sequence[int]) -> list[Cell]:
    """All runs of a data set: seed by seed and row by row, so that whole rows come early.

    Args:
        rows: the seeds of each row.
    """
    seeds = dict.fromkeys(seed for of_row in rows.values() for seed in of_row)
    return [Cell(data, row, fold, seed) for seed in seeds for row in rows for fold in folds if seed in rows[row]]


def work_through(
    cells: Sequence[Cell],
    is_done: Callable[[Cell], bool],
    folder_of: Callable[[Cell], Path],
    do: Callable[[Cell, Path], None],
) -> int:
    """Do what is not done yet and what no other process is at.  Returns how many runs others are still at.

    A process that dies lets go of its run: whoever comes next continues it from its last checkpoint.
    """
    left = [cell for cell in cells if not is_done(cell)]
    while left:
        others = []
        for cell in left:
            with hold(folder_of(cell)) as held:
                if not held:
                    others.append(cell)
                elif not is_done(cell):  # meanwhile, by another process
                    do(cell, folder_of(cell))
        if len(others) == len(left):
            return len(others)
        left = [cell for cell in others if not is_done(cell)]
    return 0
