"""The network: its padding trick computes what the plain convolution does."""

import pytest
import torch
from torch import nn

from trainer.model import DepthwiseConv, SoundNet, open_depthwise_padding


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
