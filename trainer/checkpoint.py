"""Checkpoints: written whole or not at all, and loaded without running any code in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary name, sync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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
    return state
