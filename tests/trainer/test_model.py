"""The network: its padding trick computes what the plain convolution does."""

import pytest
import torch
from torch import nn

from trainer.errors import TrainerError
from trainer.model import DepthwiseConv, SoundNet, create_network, open_depthwise_padding, restore_network
from trainer.recipe import Recipe


@pytest.mark.parametrize("kernel, stride, shape", [(5, 1, (2, 6)), (3, 1, (2, 6)), (5, 2, (4, 11)), (3, 1, (8, 22))])
def test_open_padding_changes_nothing(kernel, stride, shape):
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False)
    opened = nn.Sequential(nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False))
    opened[0].load_state_dict(plain.state_dict())
    open_depthwise_padding(opened)
    assert isinstance(opened[0], DepthwiseConv)
    sound = torch.randn(3, 8, *shape)
    first, second = sound.clone().requires_grad_(), sound.clone().requires_grad_()
    expected, given = plain(first), opened(second)
    torch.testing.assert_close(given, expected)
    expected.square().sum().backward()
    given.square().sum().backward()
    torch.testing.assert_close(second.grad, first.grad)
    torch.testing.assert_close(opened[0].weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-4)


def test_only_depthwise_convolutions_are_touched():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding="same", groups=8))
    open_depthwise_padding(network)
    assert not any(isinstance(module, DepthwiseConv) for module in network)
    assert any(isinstance(module, DepthwiseConv) for module in SoundNet("test_efficientnet", 3).modules())


@pytest.mark.parametrize(
    "backbone", ["resnet18", "mobilenetv3_small_050", "efficientnet_lite0", "vgg11", "densenet121"]
)
def test_any_convolutional_network_of_timm_serves(backbone):
    model = SoundNet(backbone, 3, foreign=False).eval()
    with torch.no_grad():
        output = model(torch.randn(2, 1, 64, 96))
    assert output.logits.shape == (2, 3) and output.projection.shape == (2, 128)


@pytest.mark.parametrize(
    "backbone, complaint", [("resnet5000", "resnet50"), ("vit_tiny_patch16_224", "one size"), ("", "no network")]
)
def test_a_network_that_does_not_serve_is_refused(backbone, complaint):
    with pytest.raises(TrainerError, match=complaint):
        SoundNet(backbone, 3)


def test_the_outputs_and_channels_are_those_asked_for():
    for foreign, outputs in ((True, 5), (False, 4)):
        model = create_network(Recipe(backbone="test_efficientnet", in_channels=3), 4, foreign=foreign)
        state = {"averaged": model.state_dict(), "labels": list("abcd")}
        back = restore_network(state, Recipe(backbone="test_efficientnet", in_channels=3))
        assert len(back.classifier.weight) == outputs and not back.training
    with pytest.raises(TrainerError, match="in_channels"):
        create_network(Recipe(in_channels=2), 4, foreign=True)
