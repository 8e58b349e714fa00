"""Checkpoints: written whole or not at all, and loaded without running any code in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError

_KINDS: dict[str, type] = {
    "recipe": str,
    "labels": list,
    "epoch": int,
    "record": str,
    "history": list,
    "log": list,
    **dict.fromkeys(("model", "averaged", "optimiser", "schedule"), dict),
}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary name, sync, rename, sync the folder: a crash leaves the old checkpoint or the new one.

    Raises:
        TrainerError: the disk is full or the folder not writable; the old checkpoint stays.
    """
    temporary = path.with_name(path.name + ".tmp")  # one name, not one a process: a killed one's 69 MB are written over
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
        raise TrainerError(
            "%s cannot be written (%s); the one before it stays: make room, and run the same command again"
            % (path, str(error).splitlines()[0])
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        TrainerError: the file is no checkpoint of this trainer.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TrainerError(
            "%s holds something other than tensors and plain values and is refused; give the "
            "checkpoint.pt that `soundclr-train fit` wrote" % path
        ) from error
    except Exception as error:  # on damaged files torch raises whatever its unpickler stumbles over
        raise TrainerError(
            "%s cannot be read as a checkpoint: %s; give the checkpoint.pt that `soundclr-train fit` "
            "wrote, or remove it to begin anew" % (path, error)
        ) from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise TrainerError("%s holds no recipe: it is no checkpoint of this trainer" % path)
    wrong = [name for name, kind in _KINDS.items() if name in state and not isinstance(state[name], kind)]
    if wrong:
        raise TrainerError("%s is damaged: another kind of %s; remove it to begin anew" % (path, ", ".join(wrong)))
    return state
