"""What the command line asks of this machine, looked at before any work: a device, threads, processes."""

from __future__ import annotations

import torch

from trainer.errors import TrainerError

_MOST_THREADS, _MOST_WORKERS = 1024, 1024  # beyond, the system refuses them, or the process dies of them


def check_device(name: str) -> None:
    """Refuse a device that is not here.

    Args:
        name: as `--device` takes it.

    Raises:
        TrainerError: no device has that name, or PyTorch finds no such GPU.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise TrainerError("--device %r; expected cpu, cuda, or cuda:N for the machine's GPU number N" % name)
    if device.type == "cpu":
        return
    if not torch.cuda.is_available():
        raise TrainerError(
            "--device %s, but PyTorch finds no GPU here (none, no driver, or a build without CUDA); give cpu, or leave "
            "--device out" % name
        )
    there = torch.cuda.device_count()
    if (device.index or 0) >= there:
        raise TrainerError("--device %s, but there are %d GPUs; expected cuda:0 to cuda:%d" % (name, there, there - 1))


def check_threads(count: int) -> None:
    """Refuse a number of threads that PyTorch cannot have; 0 stands for all cores.  Raises TrainerError."""
    _check_count("--threads", count, _MOST_THREADS, "all cores")


def check_workers(count: int | None) -> None:
    """Refuse a number of processes for making batches that cannot be; None is not given.  Raises TrainerError."""
    if count is not None:
        _check_count("--workers", count, _MOST_WORKERS, "batches are made by the training process")


def _check_count(option: str, count: int, most: int, meaning_of_0: str) -> None:
    if not 0 <= count <= most:
        raise TrainerError("%s %d; expected 0 (%s) to %d" % (option, count, meaning_of_0, most))
