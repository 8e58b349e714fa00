"""Batches made ahead of their use, by worker processes, in the same order and with the same content as without."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from trainer.data.batches import Batch, BatchSource

_AHEAD = 2  # batches that each worker makes ahead


class BatchLoader:
    """Hands out a BatchSource's batches.

    Args:
        workers: processes that make batches; with 0 they are made where they are used, as suits training on a CPU.
        pin: lay batches where a GPU fetches them faster.
    """

    def __init__(self, source: BatchSource, *, workers: int = 0, pin: bool = False) -> None:
        self._order = _Order(source.steps)
        self._loader: DataLoader[Batch] = DataLoader(
            _Steps(source),
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin,
            # its own: workers' seeds drawn from torch's would shift the dropout of a run, as their number has it
            generator=torch.Generator(),
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        self._order.epoch = epoch
        return iter(self._loader)


class _Order(Sampler[tuple[int, int]]):
    def __init__(self, steps: int) -> None:
        self.epoch, self._steps = 0, steps

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, step) for step in range(self._steps))

    def __len__(self) -> int:
        return self._steps


class _Steps(Dataset[Batch]):
    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __getitem__(self, at: tuple[int, int]) -> Batch:
        return self._source.batch(*at)
