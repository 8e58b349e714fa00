"""Several processes that train one network: `torchrun -m trainer fit ...`, on many GPUs or many machines.

Each process takes its share of every batch. Gradients are averaged by DistributedDataParallel; the contrastive loss
compares each clip with the whole batch, so embeddings are gathered with their gradients.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

from trainer.errors import TrainerError


class Group(NamedTuple):
    """The processes of one run, as one of them sees them."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def gather(self, rows: Tensor, length: int, fill: float = 0.0) -> Tensor:
        """Rows of all processes, `length` of each, with gradients to all of them.

        Every process must call this in every step: it waits for the others.

        Args:
            rows: at most `length` of them; missing ones are filled.  Shape [n, D] or [n].

        Returns:
            Shape [size * length, D] or [size * length]; this process's own begin at rank * length.
        """
        if self.size == 1:
            return rows
        missing = length - len(rows)
        padded = F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing), value=fill).contiguous()
        if rows.requires_grad:
            return torch.cat(all_gather(padded))  # type: ignore[no-untyped-call]
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat(parts)

    def total(self, value: Tensor) -> Tensor:
        """The sum of all processes' values, without a gradient."""
        summed = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(summed)
        return summed

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over the processes."""
        if self.size == 1 or not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        # each process keeps its own batch norm statistics (sync_batch_norm shares them); rank 0's are those saved
        return DistributedDataParallel(model, broadcast_buffers=False)

    @torch.no_grad()
    def share(self, network: nn.Module) -> None:
        """Have the leader's weights and statistics in every process, in place."""
        if self.size > 1:
            for values in network.state_dict().values():
                dist.broadcast(values, 0)

    def agree(self, number: int, device: torch.device) -> bool:
        """Whether all processes have the same number.  Every one must ask."""
        if self.size == 1:
            return True
        numbers = self.gather(torch.tensor([number], device=device), 1)
        return bool((numbers == number).all())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Group()


@contextmanager
def join_group(device: str) -> Iterator[tuple[Group, str]]:
    """Join the processes that torchrun started; a process of its own is alone.

    Yields:
        The group, and the device of this process: with several GPUs each takes its own.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and local >= torch.cuda.device_count():
        raise TrainerError(
            "process %d of this machine has no GPU: there are %d; lower --nproc-per-node, or give --device cpu"
            % (local, torch.cuda.device_count())
        )
    if on_gpu:
        device = "cuda:%d" % local
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
