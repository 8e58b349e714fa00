"""SoundCLR's network: an ImageNet backbone on log-mels, a projection head and a classifier."""

from __future__ import annotations

import difflib
import math
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.errors import TrainerError
from trainer.recipe import Recipe


class Output(NamedTuple):
    """What the network says of a batch."""

    logits: Tensor  # [B, K], or [B, K + 1]: the known classes, then foreign sound
    projection: Tensor  # [B, D] unit vectors, for the contrastive loss alone
    contrast_scale: Tensor | None = None  # learnt 1 / temperature of that loss


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution that pads small maps openly while it is trained on a CPU.

    Where the map is smaller than the kernel, oneDNN falls back to a slow kernel for the gradient of the weights, but
    not when the padding is done before: a fifth of a training step of EfficientNet-Lite0. Same sums, same weights.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """[B, C, H, W] -> [B, C, H', W']."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        if input.shape[2] >= self.kernel_size[0] and input.shape[3] >= self.kernel_size[1]:
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
    """Backbone, projection head, cosine classifier over K known classes and, optionally, one of foreign sound.

    The classifier sees unit vectors, as SoundCLR's does, times a learnable scale: without it the logits are bounded
    by one and cross-entropy cannot become small.

    Args:
        backbone: name of a timm network that takes pictures of any size.
        foreign: whether there is an output of foreign sound, after the known ones.
        in_channels: 1, or 3 for the log-mel three times, as the paper feeds its colour networks.
        linear_projection: SoundCLR's single layer instead of two.
        contrast_scale: 1 / temperature of the contrastive loss, to be learnt from there; None: it is fixed.
    """

    contrast_scale: Tensor | None

    def __init__(
        self,
        backbone: str,
        n_labels: int,
        *,
        foreign: bool = True,
        in_channels: int = 1,
        projection_dim: int = 128,
        linear_projection: bool = False,
        logit_scale: float = 16.0,
        learn_logit_scale: bool = True,
        dropout: float = 0.2,
        feature_dropout: float = 0.0,
        drop_path: float = 0.1,
        contrast_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.backbone = _create_backbone(backbone, in_channels, drop_path)
        open_depthwise_padding(self.backbone)
        width = _measure_width(self.backbone, in_channels)
        self.dropout, self.feature_dropout = nn.Dropout(dropout), nn.Dropout(feature_dropout)
        self.projection: nn.Module = (
            nn.Linear(width, projection_dim)
            if linear_projection
            else nn.Sequential(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, projection_dim))
        )
        self.classifier = nn.Linear(width, n_labels + foreign)
        scale = torch.tensor(float(logit_scale))
        if learn_logit_scale:
            self.logit_scale: Tensor = nn.Parameter(scale)
        else:
            self.register_buffer("logit_scale", scale)
        learnt = None if contrast_scale is None else nn.Parameter(torch.tensor(math.log(contrast_scale)))
        self.register_parameter("contrast_scale", learnt)

    def embed(self, network_input: Tensor) -> Tensor:
        """Unit feature vectors.  [B, 1, n_mels, F] -> [B, width]."""
        if self.in_channels > 1:
            network_input = torch.cat([network_input] * self.in_channels, dim=1)
        return F.normalize(self.feature_dropout(self.backbone(network_input)), dim=1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits of unit feature vectors.  [B, width] -> [B, K or K + 1]."""
        return self.classifier(self.dropout(embedding * self.logit_scale))

    def forward(self, network_input: Tensor) -> Output:
        """[B, 1, n_mels, F] -> logits and projection."""
        embedding = self.embed(network_input)
        # at most 100, as CLIP's: beyond, one hard pair is the whole loss
        scale = None if self.contrast_scale is None else self.contrast_scale.exp().clamp_max(100.0)
        return Output(self.classify(embedding), F.normalize(self.projection(embedding), dim=1), scale)


def create_network(recipe: Recipe, n_labels: int, *, foreign: bool) -> SoundNet:
    """The network that a recipe asks for, its weights from chance.  Raises TrainerError where timm has no such."""
    if recipe.in_channels not in (1, 3):
        raise TrainerError("in_channels is %d; expected 1 or 3" % recipe.in_channels)
    return SoundNet(
        recipe.backbone,
        n_labels,
        foreign=foreign,
        in_channels=recipe.in_channels,
        projection_dim=recipe.projection_dim,
        linear_projection=recipe.projection == "linear",
        logit_scale=recipe.logit_scale,
        learn_logit_scale=recipe.learn_logit_scale,
        dropout=recipe.dropout,
        feature_dropout=recipe.feature_dropout,
        drop_path=recipe.drop_path,
        contrast_scale=1.0 / recipe.temperature if recipe.learn_temperature else None,
    )


def restore_network(state: dict[str, Any], recipe: Recipe) -> SoundNet:
    """The averaged network of a checkpoint, in eval mode."""
    weights, n_labels = state["averaged"], len(state["labels"])
    model = create_network(recipe, n_labels, foreign=len(weights["classifier.weight"]) > n_labels)
    model.load_state_dict(weights)
    return model.eval()


def _create_backbone(name: str, in_channels: int, drop_path: float) -> nn.Module:
    if not timm.is_model(name):
        near = timm.list_models("*%s*" % name.split(".")[0]) or difflib.get_close_matches(name, timm.list_models(), 5)
        raise TrainerError("timm has no network %s; near it: %s" % (name, ", ".join(near[:5]) or "none"))
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        raise TrainerError(
            "%s takes pictures of one size only, %s; expected a network for any size, as convolutional ones are"
            % (name, "x".join(str(side) for side in config.input_size[1:]))
        )
    try:
        return timm.create_model(name, num_classes=0, in_chans=in_channels, drop_path_rate=drop_path)
    except TypeError:  # some families know no stochastic depth
        return timm.create_model(name, num_classes=0, in_chans=in_channels)


@torch.no_grad()
def _measure_width(backbone: nn.Module, in_channels: int) -> int:
    """How many features come out: timm's num_features is what goes into some networks' heads instead."""
    features = backbone.eval()(torch.zeros(1, in_channels, 64, 64))
    backbone.train()
    return int(features.shape[1])
