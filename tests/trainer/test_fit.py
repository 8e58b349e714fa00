"""The training loop: learns, resumes bit for bit after a kill, refuses what cannot be trained."""

import copy
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from trainer.data.datasets import read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.fit import CHECKPOINT_NAME, Fit, update_average
from trainer.recipe import URBAN_FRONTEND, Augmentation, Recipe

BACKBONE = "test_efficientnet"  # timm's smallest of the family: 99 thousand weights
TINY = Recipe(
    backbone=BACKBONE,
    frontend=URBAN_FRONTEND._replace(window_frames=33),
    epochs=2,
    batch=6,
    foreign_batch=2,
    learning_rate=1e-3,
    seed=5,
)
REPOSITORY = Path(__file__).resolve().parents[2]
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [%(repository)r, %(tests)r]
import torch
torch.set_num_threads(1)
from test_fit import TINY, tiny_fit

def kill_in_second_epoch(epoch, step, means):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

tiny_fit(Path(%(root)r), TINY).run(kill_in_second_epoch)
"""


def tiny_fit(root, recipe, folder="run"):
    """A run over the tiny data sets below root; its weights file is made by the fixture."""
    known_clips, foreign_clips = read_dataset(root / "UrbanSound8K").clips, read_dataset(root / "ESC-10").clips
    labels = ["car_horn", "dog_bark", "siren"]
    rate_hz = recipe.frontend.sample_rate_hz
    return Fit(
        read_waveforms(known_clips, labels, rate_hz),
        read_waveforms(foreign_clips, labels, rate_hz),
        labels,
        recipe,
        root / folder,
        weights=root / "weights.pth",
    )


@pytest.fixture
def root(tmp_path, urbansound8k, esc10):
    """Tiny data sets and a file of starting weights as timm's ImageNet ones are: three colours, a classifier."""
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")
    return tmp_path


def in_silence(epoch, step, means):
    pass


def same_tensors(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_run_continues_bit_for_bit(root):
    whole = tiny_fit(root, TINY, "whole")
    whole.run(in_silence)

    script = KILLED_RUN % {"repository": str(REPOSITORY), "tests": str(Path(__file__).parent), "root": str(root)}
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = tiny_fit(root, TINY)
    assert resumed.epoch == 1
    resumed.run(in_silence)

    assert resumed.history == whole.history
    assert same_tensors(resumed.averaged.state_dict(), whole.averaged.state_dict())
    assert same_tensors(resumed.model.state_dict(), whole.model.state_dict())


def test_a_run_trains_reports_and_finishes(root):
    fit = tiny_fit(root, TINY)
    before = copy.deepcopy(fit.averaged.state_dict())
    reported = []
    network = fit.run(lambda epoch, step, means: reported.append((epoch, step, dict(means))))
    assert [(epoch, step) for epoch, step, _ in reported] == [(0, 1), (1, 1)]
    assert len(fit.history) == 2
    assert all(math.isfinite(value) for means in fit.history for value in means.values())
    assert not network.training
    assert not same_tensors(network.state_dict(), before)
    assert (root / "run" / CHECKPOINT_NAME).is_file()

    again = tiny_fit(root, TINY)  # a finished run has nothing left to do
    assert again.epoch == 2
    again.run(lambda *_: pytest.fail("trained beyond its schedule"))
    assert same_tensors(again.averaged.state_dict(), network.state_dict())


def test_the_loss_falls_over_a_few_epochs(root):
    plain = Augmentation(cut_p=0, noise_fill_p=0, background_p=0, made_up_foreign_p=0, mix_p=0, warp_p=0, low_pass_p=0)
    fit = tiny_fit(root, TINY._replace(epochs=16, learning_rate=3e-3, augmentation=plain))
    fit.run(in_silence)
    losses = [means["cross_entropy"] for means in fit.history]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_a_run_of_another_recipe_is_not_continued(root):
    tiny_fit(root, TINY._replace(epochs=1)).run(in_silence)
    with pytest.raises(TrainerError, match="another recipe"):
        tiny_fit(root, TINY._replace(epochs=1, learning_rate=2e-3))


def test_a_class_without_a_clip_is_named(root):
    clips = read_dataset(root / "UrbanSound8K").clips
    labels = ["car_horn", "dog_bark", "gun_shot", "siren"]
    with pytest.raises(TrainerError, match="gun_shot"):
        Fit(read_waveforms(clips, labels, 22050), None, labels, TINY, root / "run")


def test_weights_of_another_network_are_refused(root):
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), root / "weights.pth")
    with pytest.raises(TrainerError, match=BACKBONE):
        tiny_fit(root, TINY)


def test_a_diverging_run_stops_with_advice(root):
    with pytest.raises(TrainerError, match="learning_rate"):
        tiny_fit(root, TINY._replace(epochs=40, learning_rate=1e18)).run(in_silence)


def test_an_average_moves_by_its_decay_and_counts_are_copied():
    slow, fast = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        slow.weight.fill_(0.0)
        fast.weight.fill_(1.0)
    fast.running_mean.fill_(4.0)
    fast.num_batches_tracked.fill_(7)
    update_average(slow, fast, 0.75)
    assert slow.weight.tolist() == [0.25, 0.25]
    assert slow.running_mean.tolist() == [1.0, 1.0]
    assert slow.num_batches_tracked == 7
