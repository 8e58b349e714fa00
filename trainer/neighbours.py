"""Distance to what was trained on, in the network's own space: the other way of telling foreign sound."""

from __future__ import annotations

import numpy as np

from trainer.errors import TrainerError

NEIGHBOUR = 10  # the one whose distance counts: one strange clip among those trained on is not enough
_ROWS = 1024  # compared at a time


def neighbour_distances(embeddings: np.ndarray, bank: np.ndarray, *, neighbour: int = NEIGHBOUR) -> np.ndarray:
    """1 - cosine similarity to the k-th nearest trained clip (Sun et al., "Out-of-Distribution Detection with Deep
    Nearest Neighbors", 2022): 0 for a copy, 1 for what has nothing in common, at most 2.

    Args:
        embeddings: of the clips that are judged.  Shape [N, D].
        bank: of the clips that the network was trained on.  Shape [M, D].
        neighbour: k, from 1; the farthest where the bank has fewer.

    Returns:
        Shape [N], float64.

    Raises:
        TrainerError: no trained clip, another width, or an embedding that is no direction (all zeros, not finite).
    """
    if embeddings.ndim != 2 or bank.ndim != 2 or not len(bank) or embeddings.shape[1] != bank.shape[1]:
        raise TrainerError(
            "embeddings %s against a bank %s; expected [N, D] and [M, D], M at least 1" % (embeddings.shape, bank.shape)
        )
    directions, known = _unit(embeddings), _unit(bank)
    kth = min(max(1, neighbour), len(known)) - 1
    distances = np.empty(len(directions))
    for start in range(0, len(directions), _ROWS):
        apart = 1.0 - directions[start : start + _ROWS] @ known.T
        distances[start : start + _ROWS] = np.partition(apart, kth, axis=1)[:, kth]
    return distances


def _unit(embeddings: np.ndarray) -> np.ndarray:
    values = embeddings.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise TrainerError("an embedding is all zeros or not finite; the network is damaged, train it again")
    return np.asarray(values / lengths)
