"""Weights that a backbone starts from: other namings, other channels, and what does not fit."""

import pytest
import safetensors.torch
import timm
import torch

from trainer.errors import TrainerError
from trainer.model import SoundNet
from trainer.weights import load_backbone_weights

BACKBONE = "test_efficientnet"


@pytest.fixture(scope="module")
def colour_state():
    torch.manual_seed(3)
    return timm.create_model(BACKBONE, num_classes=10).state_dict()


def loaded(path, backbone=BACKBONE, in_channels=1):
    model = SoundNet(backbone, 3, in_channels=in_channels)
    load_backbone_weights(model, backbone, path)
    return model.backbone.state_dict()


def assert_fits(state, colour_state):
    for name, tensor in state.items():
        expected = colour_state[name]
        if name == "conv_stem.weight" and tensor.shape[1] == 1:
            expected = expected.sum(1, keepdim=True)
        torch.testing.assert_close(tensor, expected)


@pytest.mark.parametrize(
    "rename",
    [
        lambda state: state,
        lambda state: dict(reversed(state.items())),  # by name, whatever the order
        lambda state: {"module." + name: tensor for name, tensor in state.items()},
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {"backbone." + name: tensor for name, tensor in state.items()}},
        lambda state: {"block%d" % i: tensor for i, tensor in enumerate(state.values())},  # by order
        lambda state: {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")},
        lambda state: {"b%d" % i: t for i, (n, t) in enumerate(state.items()) if not n.endswith("num_batches_tracked")},
    ],
    ids=["timm", "another order", "data parallel", "wrapped", "prefixed", "renamed", "uncounted", "renamed uncounted"],
)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_naming_is_read(tmp_path, colour_state, request, rename, in_channels):
    torch.save(rename(colour_state), tmp_path / "w.pth")
    state = loaded(tmp_path / "w.pth", in_channels=in_channels)
    assert state["conv_stem.weight"].shape[1] == in_channels
    if "uncounted" in request.node.callspec.id:  # such files know no number of batches
        state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert_fits(state, colour_state)


def test_safetensors_are_read(tmp_path, colour_state):
    safetensors.torch.save_file(colour_state, tmp_path / "w.safetensors")
    assert_fits(loaded(tmp_path / "w.safetensors"), colour_state)


def test_torchvisions_resnet_is_read(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(theirs, tmp_path / "w.pth")
    state = loaded(tmp_path / "w.pth", "resnet18")
    torch.testing.assert_close(state["layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
    torch.testing.assert_close(state["conv1.weight"], theirs["conv1.weight"].sum(1, keepdim=True))


def test_three_channels_start_where_one_does(tmp_path, colour_state):
    torch.save(colour_state, tmp_path / "w.pth")
    sound = torch.randn(2, 1, 64, 64)
    outputs = []
    for in_channels in (1, 3):
        model = SoundNet(BACKBONE, 3, in_channels=in_channels).eval()
        load_backbone_weights(model, BACKBONE, tmp_path / "w.pth")
        with torch.no_grad():
            outputs.append(model.embed(sound))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


def test_a_network_trained_on_sound_feeds_a_colour_one(tmp_path):
    torch.manual_seed(0)
    heard = SoundNet(BACKBONE, 4)
    torch.save({"recipe": "{}", "averaged": heard.state_dict(), "model": {}}, tmp_path / "checkpoint.pt")
    state = loaded(tmp_path / "checkpoint.pt", in_channels=3)
    expected = heard.backbone.state_dict()
    torch.testing.assert_close(state["conv_stem.weight"].sum(1, keepdim=True), expected["conv_stem.weight"])
    torch.testing.assert_close(state["bn1.weight"], expected["bn1.weight"])


@pytest.mark.parametrize(
    "content, complaint",
    [
        ({"a": torch.zeros(3)}, "hold 1 tensors"),
        ({"epoch": 3}, "no tensors"),
        (torch.zeros(3), "no tensors"),
        (timm.create_model("test_resnet", num_classes=10).state_dict(), BACKBONE),
    ],
    ids=["too few", "none", "a bare tensor", "another network"],
)
def test_what_does_not_fit_is_refused(tmp_path, content, complaint):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(TrainerError, match=complaint):
        loaded(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "missing.pth"])
def test_a_damaged_file_is_refused_by_name(tmp_path, name):
    if "missing" not in name:
        (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(TrainerError, match=name):
        loaded(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_was_damaged_in_the_middle_is_refused_by_name(tmp_path, colour_state, name):
    path = tmp_path / name
    save = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    save(colour_state, path)
    whole = bytearray(path.read_bytes())
    for begin in (0, 8, 40, 100, len(whole) - 60):
        damaged = whole.copy()
        damaged[begin : begin + 30] = bytes(byte ^ 0x5A for byte in damaged[begin : begin + 30])
        path.write_bytes(damaged[: len(whole) // 2] if begin == 0 else damaged)
        try:
            loaded(path)  # values alone may have changed: then it is read
        except TrainerError as error:
            assert name in str(error)
