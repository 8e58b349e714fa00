"""Where a network puts what it learnt from, and how far beside it a sound lies: foreign sound, told without any.

The unit embeddings of trained clips lie near a subspace of few dimensions; what that subspace does not hold of an
embedding is large for sound unlike any of them (the residual of Wang et al., "ViM: Out-Of-Distribution with
Virtual-logit Matching", CVPR 2022). Nothing is trained, and the classifier's answers stay as they are: it is two small
matrix products beside it. So a bundle has it inside its graph, as the extra output that every node knows how to read.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from engines.frontend import FrontendSpec
from engines.whole_file import write_whole
from trainer.errors import TrainerError
from trainer.inference import compute_clip_outputs, cut_windows
from trainer.model import SoundNet

SPACE_NAME = "known_space.npz"
SHARE = 0.99  # of the variance that the subspace holds; from 0.94 on the figures hardly change
_MOST_DIMENSIONS = 256  # 1.3 MB of an EfficientNet's bundle
_LEAST_CLIPS = 2
_CLIPS = 64  # cut into windows at a time
_LEAST_SPREAD = 0.01  # of unit vectors, whose features half precision knows to some 0.001
_ONE_EMBEDDING = 1e-6


class KnownSpace(NamedTuple):
    """The subspace of trained clips' embeddings."""

    mean: np.ndarray  # float32 [D]
    basis: np.ndarray  # float32 [d, D], orthonormal rows
    spread: float  # root mean square of what it does not hold of the trained clips: the unit of distance


class OpenClassifier(nn.Linear):
    """A classifier of K known classes with one more output: their log-sum-exp plus the distance from the known space.

    So that the extra output less the log-sum-exp (`reject_logit` of `engines.bundle.ForeignRule`) is that distance.

    Args:
        known: the classifier of the known classes, whose weights are shared.
        logit_scale: length of the vectors that it is given.
    """

    mean: Tensor
    basis: Tensor
    offset: Tensor

    def __init__(self, known: nn.Linear, space: KnownSpace, logit_scale: float) -> None:
        super().__init__(known.in_features, known.out_features, device="meta")
        self.weight, self.bias = known.weight, known.bias
        device = known.weight.device
        # in units of the spread: distances of some units, whatever precision a device computes in
        self._per_unit = 1.0 / (logit_scale * space.spread)
        mean = torch.from_numpy(space.mean * logit_scale)
        self.register_buffer("mean", mean.to(device))
        self.register_buffer("basis", torch.from_numpy(space.basis).to(device))
        self.register_buffer("offset", (-torch.from_numpy(space.basis) @ mean).to(device))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """[B, D] -> [B, K + 1]."""
        known = super().forward(input)
        # with a bias, so that a graph holds the basis once: one matrix product reads it transposed
        coordinates = nn.functional.linear(input, self.basis, self.offset)
        beside = input - self.mean - coordinates @ self.basis
        distance = torch.sqrt((beside * beside).sum(dim=1, keepdim=True)) * self._per_unit
        # plain operators that every TensorRT has, and no exponential that overflows
        top = known.amax(dim=1, keepdim=True)
        log_sum_exp = top + torch.log(torch.exp(known - top).sum(dim=1, keepdim=True))
        return torch.cat([known, log_sum_exp + distance], dim=1)


def fit_space(embeddings: np.ndarray, *, share: float = SHARE) -> KnownSpace:
    """The subspace that holds a share of the variance of embeddings.

    Args:
        embeddings: unit vectors of what was trained on.  Shape [N, D], N >= 2.
        share: between 0 and 1.

    Raises:
        TrainerError: too few, or all alike, or not finite.
    """
    if embeddings.ndim != 2 or len(embeddings) < _LEAST_CLIPS or not np.isfinite(embeddings).all():
        raise TrainerError(
            "embeddings of shape %s, %s; expected [N, D] finite ones of at least %d trained windows"
            % (embeddings.shape, "finite" if np.isfinite(embeddings).all() else "not finite", _LEAST_CLIPS)
        )
    values = embeddings.astype(np.float64)
    mean = values.mean(axis=0)
    values -= mean
    variance, directions = np.linalg.eigh(values.T @ values / len(values))
    variance, directions = np.maximum(variance[::-1], 0.0), directions.T[::-1]
    if variance.sum() <= _ONE_EMBEDDING**2:
        raise TrainerError("all trained clips have one embedding; the network has learnt nothing, train it again")
    held = np.cumsum(variance) / variance.sum()
    most = min(len(values), len(variance), _MOST_DIMENSIONS)
    dimensions = min(int(np.searchsorted(held, share)) + 1, most)
    left = float(np.sqrt(max(0.0, variance.sum() - variance[:dimensions].sum())))
    return KnownSpace(mean.astype(np.float32), directions[:dimensions].astype(np.float32), max(left, _LEAST_SPREAD))


def measure_distances(embeddings: np.ndarray, space: KnownSpace) -> np.ndarray:
    """How far unit embeddings lie from a space, in units of its spread.  [N, D] -> float64 [N]."""
    centred = embeddings.astype(np.float64) - space.mean
    basis = space.basis.astype(np.float64)
    return np.asarray(np.linalg.norm(centred - centred @ basis.T @ basis, axis=1) / space.spread)


def measure_space(
    model: SoundNet, clips: list[np.ndarray], spec: FrontendSpec, short_clip: str, *, device: str = "cpu"
) -> KnownSpace:
    """The known space of a network, from all windows of the clips of known classes that it was trained on.

    Args:
        clips: waveforms at spec.sample_rate_hz.
    """
    embeddings = []
    for first in range(0, len(clips), _CLIPS):  # windows of all clips at once are several times the clips
        windows = [window for clip in clips[first : first + _CLIPS] for window in cut_windows(clip, spec, short_clip)]
        embeddings.append(compute_clip_outputs(model, windows, spec, short_clip, device=device)[1])
    return fit_space(np.concatenate(embeddings))


def open_classifier(model: SoundNet, space: KnownSpace) -> SoundNet:
    """Give a network, in place, one more output.  Raises TrainerError where the space is another network's."""
    if model.classifier.in_features != space.basis.shape[1]:
        raise TrainerError(
            "a known space of %d features for a network of %d; run `soundclr-train evaluate` again"
            % (space.basis.shape[1], model.classifier.in_features)
        )
    model.classifier = OpenClassifier(model.classifier, space, model.logit_scale.item())
    return model


def close_classifier(model: SoundNet, n_labels: int) -> SoundNet:
    """Take from a network, in place, whatever output it has beside its known classes: the energy needs none."""
    known = nn.Linear(model.classifier.in_features, n_labels, device="meta")
    known.weight = nn.Parameter(model.classifier.weight[:n_labels].detach())
    known.bias = nn.Parameter(model.classifier.bias[:n_labels].detach())
    model.classifier = known
    return model


def save_space(space: KnownSpace, model: SoundNet, run: Path) -> None:
    """Write `known_space.npz`, with the digest of the network that it belongs to."""
    content = io.BytesIO()
    np.savez_compressed(content, **space._asdict(), network=_digest(model))
    write_whole(run / SPACE_NAME, content.getvalue())


def load_space(model: SoundNet, run: Path) -> KnownSpace | None:
    """Read a run's known space; None where there is none, or it is that of other weights.

    Raises:
        TrainerError: the file is damaged.
    """
    path = run / SPACE_NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            space = KnownSpace(file["mean"], file["basis"], float(file["spread"]))
            network = str(file["network"])
        shapes = space.mean.ndim, space.basis.ndim, space.basis.shape[1:] == space.mean.shape
        if shapes != (1, 2, True) or not (np.isfinite(space.basis).all() and 0 < space.spread < np.inf):
            raise ValueError("its arrays do not belong together")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainerError(
            "%s is damaged (%s); remove it and repeat the command that trained the run, or evaluated it" % (path, error)
        ) from error
    return space if network == _digest(model) else None


def _digest(model: SoundNet) -> str:
    """Of the backbone's weights: what makes the embeddings."""
    digest = hashlib.sha256()
    for name, values in sorted(model.backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
