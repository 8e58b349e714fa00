"""The training loop: learns, resumes bit for bit after a kill, refuses what cannot be trained."""

import copy
import csv
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from trainer.checkpoint import load_checkpoint
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import read_waveforms
from trainer.errors import TrainerError
from trainer.fit import CHECKPOINT_NAME, Fit, newest_share, update_average
from trainer.parallel import ALONE
from trainer.recipe import URBAN_FRONTEND, Augmentation, Recipe
from trainer.run_log import LOG_NAME

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
from test_fit import SUPCON, tiny_fit

def kill_amid_the_epoch(epoch, step, means):
    if (epoch, step) == (%(epoch)d, 1):
        os.kill(os.getpid(), signal.SIGKILL)

tiny_fit(Path(%(root)r), SUPCON, workers=%(workers)d).run(kill_amid_the_epoch)
"""
# two stages of two epochs of two steps: a run can be killed in either, after the first step of an epoch
SUPCON = TINY._replace(scheme="supcon", batch=3, classes_per_batch=3, views=2, classifier_epochs=2)


def tiny_fit(root, recipe, folder="run", *, workers=0, with_foreign=True, group=ALONE):
    """A run over the tiny data sets below root; its weights file is made by the fixture."""
    known_clips, foreign_clips = read_dataset(root / "UrbanSound8K").clips, read_dataset(root / "ESC-10").clips
    labels = ["car_horn", "dog_bark", "siren"]
    rate_hz = recipe.frontend.sample_rate_hz
    return Fit(
        read_waveforms(known_clips, labels, rate_hz),
        read_waveforms(foreign_clips, labels, rate_hz) if with_foreign else None,
        labels,
        recipe,
        root / folder,
        weights=root / "weights.pth",
        workers=workers,
        group=group,
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


@pytest.mark.parametrize("epoch, workers", [(1, 0), pytest.param(3, 2, marks=pytest.mark.slow)])
def test_a_run_killed_amid_an_epoch_continues_bit_for_bit(root, epoch, workers):
    whole = tiny_fit(root, SUPCON, "whole")
    whole.run(in_silence)

    places = {"repository": str(REPOSITORY), "tests": str(Path(__file__).parent), "root": str(root)}
    script = KILLED_RUN % {**places, "epoch": epoch, "workers": workers}
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = tiny_fit(root, SUPCON)
    assert resumed.epoch == epoch
    resumed.run(in_silence)

    assert resumed.history == whole.history
    assert same_tensors(resumed.averaged.state_dict(), whole.averaged.state_dict())
    assert same_tensors(resumed.model.state_dict(), whole.model.state_dict())


def test_the_second_stage_trains_the_classifier_alone(root):
    fit = tiny_fit(root, SUPCON, with_foreign=False)
    states = {}

    def remember(epoch, step, means):
        states[epoch, step] = (copy.deepcopy(fit.model.state_dict()), means)

    network = fit.run(remember)
    assert sorted(states) == [(epoch, step) for epoch in range(4) for step in (1, 2)]
    assert len(network.classifier.weight) == 3  # no foreign sound, no output of it
    before, between, last = (states[at][0] for at in ((0, 1), (1, 2), (3, 2)))
    frozen = [name for name in last if name.startswith(("backbone", "projection"))]
    assert any(not torch.equal(before[name], between[name]) for name in frozen)
    assert torch.equal(before["classifier.weight"], between["classifier.weight"])  # the first stage leaves it alone
    second = states[2, 1][0]
    assert all(torch.equal(second[name], last[name]) for name in frozen)  # batch norm's statistics too
    assert not torch.equal(second["classifier.weight"], last["classifier.weight"])
    assert set(states[0, 1][1]) == {"loss", "contrastive", "neighbour_accuracy"}
    assert set(states[3, 2][1]) == {"loss", "cross_entropy", "accuracy"}


def test_cross_entropy_alone_leaves_the_projection_untouched(root):
    fit = tiny_fit(root, TINY._replace(scheme="ce"))
    before = copy.deepcopy(fit.model.projection.state_dict())
    fit.run(in_silence)
    assert same_tensors(fit.model.projection.state_dict(), before)
    assert set(fit.history[-1]) == {"loss", "cross_entropy", "accuracy"}


def test_the_same_seed_gives_the_same_weights_and_another_others(root):
    runs = []
    for folder, seed in (("first", 5), ("second", 5), ("third", 6)):
        runs.append(tiny_fit(root, TINY._replace(epochs=1, seed=seed), folder).run(in_silence).state_dict())
    assert same_tensors(runs[0], runs[1])
    assert not same_tensors(runs[0], runs[2])


def test_the_log_has_a_line_an_epoch(root):
    tiny_fit(root, SUPCON).run(in_silence)
    with open(root / "run" / LOG_NAME, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["stage"]) for row in rows] == [
        ("1", "contrastive"), ("2", "contrastive"), ("3", "classifier"), ("4", "classifier"),
    ]  # fmt: skip
    assert all(float(row["loss"]) >= 0 and float(row["seconds"]) > 0 for row in rows)
    assert rows[0]["accuracy"] == "" and rows[-1]["contrastive"] == ""


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_full_memory_is_said_with_advice(root, monkeypatch, error):
    fit = tiny_fit(root, TINY)

    def fail(network_input):
        raise error

    monkeypatch.setattr(fit, "forward", fail)
    with pytest.raises(TrainerError, match=r"8 rows.*--batch"):
        fit.run(in_silence)


def test_a_loss_that_is_no_number_names_its_place_and_leaves_the_checkpoint(root):
    fit = tiny_fit(root, TINY)

    def spoil(epoch, step, means):
        if epoch == 0:
            with torch.no_grad():
                fit.model.classifier.weight.fill_(math.nan)

    with pytest.raises(TrainerError, match=r"nan in epoch 2, by step 1 of 1.*checkpoint of epoch 1 stays"):
        fit.run(spoil)
    assert load_checkpoint(root / "run" / CHECKPOINT_NAME)["epoch"] == 1


@pytest.mark.parametrize(
    "change, complaint",
    [({"scheme": "triplet"}, "ce, supcon, hybrid"), ({"precision": "float8"}, "bfloat16"),
     ({"sync_batch_norm": True}, "needs GPUs"), ({"classes_per_batch": 4}, "at most 3 classes"),
     ({"classes_per_batch": 3, "batch": 4}, "no multiple")],
)  # fmt: skip
def test_a_recipe_that_cannot_be_trained_is_refused(root, change, complaint):
    with pytest.raises(TrainerError, match=complaint):
        tiny_fit(root, TINY._replace(**change))


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
    fit = tiny_fit(root, TINY._replace(epochs=32, learning_rate=3e-3, augmentation=plain, draw="pass"))
    fit.run(in_silence)
    losses = [means["cross_entropy"] for means in fit.history]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


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


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(("steps", "tail"), [(1, 0.0), (2, 0.0), (30, 0.0), (1, 1.0), (30, 1.0), (30, 0.25), (31, 0.1)])
def test_an_average_is_the_mean_of_what_was_seen_and_of_nothing_else(decay, steps, tail):
    recipe = Recipe(ema_decay=decay, average_tail=tail)
    slow, fast = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        slow.weight.fill_(1e6)  # what training began with
        slow.running_mean.fill_(1e6)
        values = torch.linspace(1.0, 3.0, steps)
        for step, value in enumerate(values, start=1):
            fast.weight.fill_(value)
            fast.running_mean.fill_(2 * value)
            fast.num_batches_tracked.fill_(step)
            update_average(slow, fast, newest_share(step, steps, recipe))
    ages = torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    weights = (ages < math.ceil(tail * steps)).double() if tail else decay**ages
    expected = float((weights * values).sum() / weights.sum())
    assert slow.weight.tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert slow.running_mean.tolist() == pytest.approx([2 * expected] * 2, rel=1e-5)
    assert slow.num_batches_tracked == steps
