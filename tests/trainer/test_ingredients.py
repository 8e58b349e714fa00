"""The ingredients that a recipe may switch on: each does what its paper says, and nothing where it is off."""

import copy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.test_fit import KILLED_RUN, REPOSITORY, SUPCON, TINY, in_silence, same_tensors, tiny_fit
from tests.trainer.test_fit import root as root  # a fixture
from trainer.augment import (
    augment_spectrograms,
    draw_share,
    filter_randomly,
    mask_randomly,
    mix_pair,
    mix_styles,
    mix_up,
    place_randomly,
    random_gain,
    scale_randomly,
)
from trainer.checkpoint import load_checkpoint
from trainer.data.batches import BatchSource
from trainer.data.clips import Clip
from trainer.data.made_up import rms
from trainer.data.waveforms import Waveforms
from trainer.fit import CHECKPOINT_NAME
from trainer.frontend import LogMel
from trainer.losses import distillation_loss, soft_cross_entropy, supervised_contrastive_loss
from trainer.model import Output, create_network
from trainer.parallel import ALONE
from trainer.recipe import URBAN_FRONTEND, Augmentation, Recipe
from trainer.recipes import NO_AUGMENTATION
from trainer.stages import compute_losses, plan_stages

SEEDS = st.integers(0, 2**32 - 1)
FILTER = Augmentation(filter_p=1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10**6), st.sampled_from(["linear", "step"]), st.integers(8, 128))
@settings(max_examples=60, deadline=None)
def test_filter_augment_is_a_few_bands_of_bounded_gain_for_all_frames(seed, kind, bands):
    power_db = torch.rand(6, bands, 5, generator=generator(1)) * 40
    recipe = FILTER._replace(filter_kind=kind, filter_width_bands=1 if bands < 20 else 3)
    gains = filter_randomly(power_db, generator(seed), recipe) - power_db
    torch.testing.assert_close(gains, gains[:, :, :1].expand_as(gains), atol=1e-4, rtol=0)
    assert gains.abs().max() <= recipe.filter_db + 1e-4
    for clip in gains[:, :, 0]:
        # in steps the gain changes only at boundaries; along lines its slope does
        change = clip.diff() if kind == "step" else clip.diff().diff()
        jumps = int((change.abs() > 1e-3).sum())
        assert jumps <= (5 if kind == "step" else 10)
    assert len({round(float(clip[0]), 3) for clip in gains[:, :, 0]}) > 1  # each clip its own


def test_filter_bands_are_never_narrower_than_asked_and_their_number_lies_within_its_bounds():
    recipe = FILTER._replace(filter_kind="step", filter_bands=(3, 6), filter_width_bands=4)
    gains = filter_randomly(torch.zeros(300, 64, 2), generator(), recipe)[:, :, 0]
    counts = []
    for clip in gains:
        edges = [0, *(torch.nonzero(clip.diff().abs() > 1e-6).flatten() + 1).tolist(), 64]
        assert min(np.diff(edges)) >= 4
        counts.append(len(edges) - 1)
    assert set(counts) == {3, 4, 5, 6}


def test_filter_augment_leaves_the_others_alone():
    gains = filter_randomly(torch.zeros(400, 20, 2), generator(), FILTER._replace(filter_p=0.25))
    changed = (gains.abs().amax(dim=(1, 2)) > 0).float().mean()
    assert 0.15 < changed < 0.35


def test_mixstyle_mixes_bands_statistics_and_keeps_the_course_of_each_band():
    before = torch.randn(8, 1, 6, 50, generator=generator()) * torch.arange(1, 9)[:, None, None, None]
    after = mix_styles(before, generator(3), Augmentation(mixstyle_p=1.0))

    def plain(picture):
        return (picture - picture.mean(dim=3, keepdim=True)) / picture.std(dim=3, keepdim=True)

    torch.testing.assert_close(plain(after), plain(before), atol=1e-3, rtol=0)  # content
    spread_before, spread_after = before.std(dim=3), after.std(dim=3)
    assert spread_after.min() >= spread_before.min() - 1e-3 and spread_after.max() <= spread_before.max() + 1e-3
    assert (spread_after - spread_before).abs().max() > 0.1
    untouched = mix_styles(before, generator(3), Augmentation(mixstyle_p=0.0))
    torch.testing.assert_close(untouched, before, atol=1e-5, rtol=0)


def test_mixup_shares_picture_and_target_alike():
    pictures = torch.eye(6)[:, None, None, :] * 4.0  # each clip is lit where its class is
    mixed, targets = mix_up(pictures, torch.eye(6), generator(2), 0.3)
    torch.testing.assert_close(mixed[:, 0, 0] / 4.0, targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    own = targets.diagonal()
    assert (own >= 0.5 - 1e-6).all() and (own < 1).any()


@given(SEEDS, st.floats(1.01, 2.0))
@settings(max_examples=40, deadline=None)
def test_random_scale_changes_length_and_pitch_together_within_its_factor(seed, most):
    recipe = Augmentation(scale_max=most)
    tone = np.sin(2 * np.pi * 0.05 * np.arange(4000)).astype(np.float32)
    scaled = scale_randomly(tone, np.random.default_rng(seed), recipe)
    factor = len(scaled) / len(tone)
    assert 1 / most - 0.01 <= factor <= most + 0.01 and scaled.dtype == np.float32
    pitch = np.abs(np.fft.rfft(scaled * np.hanning(len(scaled)))).argmax() / len(scaled)
    assert pitch == pytest.approx(0.05 / factor, rel=0.02)
    assert scale_randomly(tone, np.random.default_rng(seed), Augmentation()) is tone


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_waveforms_are_mixed_at_the_ratio_that_was_drawn(seed):
    recipe = Augmentation(mix_by="snr", mix_snr_db=(-10.0, 10.0))
    share = draw_share(np.random.default_rng(seed), recipe)
    ratio_db = np.random.default_rng(seed).uniform(-10.0, 10.0)
    first, second = np.zeros(2000), np.zeros(2000)
    first[:1000], second[1000:] = 0.9, 0.01
    mixed = mix_pair(first, second, share)
    assert 20 * np.log10(rms(mixed[:1000]) / rms(mixed[1000:])) == pytest.approx(ratio_db, abs=1e-6)
    assert 0.24 <= share <= 0.76


@given(SEEDS, st.floats(1e-3, 3.0))
@settings(max_examples=40, deadline=None)
def test_gain_without_peaks_first_keeps_the_order_of_levels_and_never_clips(seed, peak):
    recipe = Augmentation(peak_first=False, gain_db=(-30.0, 12.0))
    quiet = 1e-3 * np.sin(np.arange(500) / 5)
    gain_db = 20 * np.log10(rms(random_gain(quiet, np.random.default_rng(seed), recipe)) / rms(quiet))
    assert gain_db == pytest.approx(np.random.default_rng(seed).uniform(-30.0, 12.0), abs=1e-3)
    loud = random_gain(peak * np.sin(np.arange(500) / 5), np.random.default_rng(seed), recipe)
    assert np.abs(loud).max() <= 1.0 + 1e-6


def test_a_centred_clip_lies_as_the_node_fills_it():
    from engines.windows import fill_short_clip

    clip = np.arange(1, 101, dtype=np.float32)
    placed = place_randomly(clip, 257, np.random.default_rng(0), NO_AUGMENTATION._replace(place="centre"))
    np.testing.assert_array_equal(placed, fill_short_clip(clip, 257, "centre_silence"))


def test_masks_are_as_loud_as_the_papers_where_the_recipe_says_so():
    frontend = LogMel(URBAN_FRONTEND)
    power_db = frontend.power_db(torch.randn(8, URBAN_FRONTEND.window_samples, generator=generator()) * 0.1)
    plain = frontend.network_input(power_db)
    masks = NO_AUGMENTATION._replace(frequency_masks=2, time_masks=1)
    for fill, value in (("silence", -1.0), ("loudest", 1.0)):
        masked = augment_spectrograms(power_db, frontend, generator(4), masks._replace(mask_fill=fill))
        changed = (masked - plain).abs() > 1e-3
        assert changed.any() and (masked[changed] == value).all()
    assert torch.equal(mask_randomly(plain, generator(), NO_AUGMENTATION, -1.0), plain)


def test_all_off_is_the_front_end_itself():
    frontend = LogMel(URBAN_FRONTEND)
    power_db = frontend.power_db(torch.randn(2, URBAN_FRONTEND.window_samples, generator=generator()) * 0.1)
    augmented = augment_spectrograms(power_db, frontend, generator(), NO_AUGMENTATION)
    torch.testing.assert_close(augmented, frontend.network_input(power_db), atol=1e-4, rtol=0)


def test_a_pass_takes_every_clip_once_an_epoch_in_an_order_of_its_own():
    length = URBAN_FRONTEND._replace(window_frames=3).window_samples
    clips = [Clip("%d" % i, "a", 1, "s%d" % (i % 3)) for i in range(13)]
    known = Waveforms(
        [np.full(length, 0.05 * (i + 1), np.float32) for i in range(13)], np.arange(13) % 2, np.ones(13), clips
    )
    quiet = NO_AUGMENTATION._replace(peak_first=False)
    recipe = Recipe(draw="pass", batch=4, frontend=URBAN_FRONTEND._replace(window_frames=3), augmentation=quiet)
    source = BatchSource(known, None, 2, recipe)
    orders = [
        [round(float(row[0]) / 0.05) for batch in source.batches(epoch) for row in batch.samples] for epoch in (0, 1)
    ]
    assert source.steps == 3
    for order in orders:
        assert len(order) == 12 and len(set(order)) == 12 and set(order) <= set(range(1, 14))
    assert orders[0] != orders[1]
    assert orders[0] == [round(float(row[0]) / 0.05) for batch in source.batches(0) for row in batch.samples]


def test_a_learnt_temperature_begins_at_its_value_gets_a_gradient_and_stays_bounded():
    recipe = Recipe(backbone=TINY.backbone, temperature=0.1, learn_temperature=True)
    model = create_network(recipe, 3, foreign=False)
    output = model(torch.randn(6, 1, 64, 64, generator=generator()))
    assert output.contrast_scale.item() == pytest.approx(10.0, rel=1e-4)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    stage = plan_stages(recipe._replace(scheme="supcon"))[0]
    loss, _ = compute_losses(output, torch.eye(3)[labels], labels, stage, recipe, group=ALONE, length=6)
    expected = supervised_contrastive_loss(output.projection, labels, temperature=0.1)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    assert model.contrast_scale.grad.abs() > 0
    with torch.no_grad():
        model.contrast_scale.fill_(20.0)
    assert model(torch.zeros(2, 1, 64, 64)).contrast_scale.item() == pytest.approx(100.0)
    assert create_network(recipe._replace(learn_temperature=False), 3, foreign=False).contrast_scale is None


def test_the_contrastive_loss_sees_the_unmixed_clips_and_the_classifier_the_mixtures():
    recipe = Recipe(mixup=0.3, temperature=0.2)
    rows = torch.randn(8, 5, generator=generator())
    output = Output(rows, F.normalize(torch.randn(8, 4, generator=generator(1)), dim=1))
    targets = torch.softmax(torch.randn(4, 5, generator=generator(2)), dim=1)
    labels = torch.tensor([0, 0, 1, 1])
    loss, _ = compute_losses(output, targets, labels, plan_stages(recipe)[0], recipe, group=ALONE, length=4)
    contrastive = supervised_contrastive_loss(output.projection[:4], labels, temperature=0.2)
    torch.testing.assert_close(loss, 0.5 * contrastive + 0.5 * soft_cross_entropy(rows[4:], targets))


def test_smoothing_and_distillation_are_their_definitions():
    logits, truth = torch.randn(4, 3, generator=generator()), torch.eye(3)[[0, 1, 2, 0]]
    smooth = 0.9 * truth + 0.1 / 3
    torch.testing.assert_close(
        soft_cross_entropy(logits, truth, label_smoothing=0.1), -(smooth * logits.log_softmax(1)).sum(1).mean()
    )
    soft = torch.softmax(torch.randn(4, 3, generator=generator(1)), dim=1)
    divergence = F.kl_div((logits / 3).log_softmax(1), soft, reduction="batchmean")
    torch.testing.assert_close(distillation_loss(logits, soft, temperature=3.0), 9 * divergence, atol=1e-5, rtol=1e-5)
    same = distillation_loss(3 * soft.log(), soft, temperature=3.0)
    assert same.abs() < 1e-5


EVERYTHING = SUPCON._replace(
    scheme="hybrid", epochs=3, mixup=0.3, learn_temperature=True, schedule="one_cycle", ema_decay=0.5, average_tail=0.6,
    label_smoothing=0.1,
    augmentation=Augmentation(filter_p=0.5, mixstyle_p=0.5, scale_max=1.25, mix_by="snr", mix_p=0.5, peak_first=False),
)  # fmt: skip


@pytest.mark.slow
def test_with_every_ingredient_on_a_killed_run_ends_in_the_same_weights(root):
    whole = tiny_fit(root, EVERYTHING, "whole")
    before = copy.deepcopy(whole.model.state_dict())
    whole.run(in_silence)
    assert not torch.equal(before["contrast_scale"], whole.model.state_dict()["contrast_scale"])

    script = KILLED_RUN.replace("SUPCON", "EVERYTHING").replace("from test_fit", "from tests.trainer.test_ingredients")
    tests = Path(__file__).parent
    places = {"repository": str(REPOSITORY), "tests": str(tests), "root": str(root), "epoch": 1, "workers": 0}
    killed = subprocess.run(
        [sys.executable, "-c", script % places], capture_output=True, text=True, timeout=900, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = tiny_fit(root, EVERYTHING)
    assert resumed.epoch == 1
    resumed.run(in_silence)
    assert same_tensors(resumed.averaged.state_dict(), whole.averaged.state_dict())
    assert resumed.history == whole.history


def test_the_average_is_the_last_steps_weights_without_decay_and_others_with(root):
    plain = tiny_fit(root, TINY._replace(ema_decay=0.0), "plain")
    plain.run(in_silence)
    assert same_tensors(plain.averaged.state_dict(), plain.model.state_dict())
    slow = tiny_fit(root, TINY._replace(ema_decay=0.9), "slow")
    slow.run(in_silence)
    assert not same_tensors(slow.averaged.state_dict(), slow.model.state_dict())
    assert same_tensors(slow.model.state_dict(), plain.model.state_dict())  # the average shapes no step
    tail = tiny_fit(root, TINY._replace(average_tail=0.5), "tail")
    tail.run(in_silence)
    assert same_tensors(tail.model.state_dict(), plain.model.state_dict())
    assert not same_tensors(tail.averaged.state_dict(), slow.averaged.state_dict())


def test_the_rate_falls_to_the_floor_of_its_peak_and_no_further(root):
    for floor in (0.0, 0.25, 1.0):
        fit = tiny_fit(root, TINY._replace(lr_floor=floor, epochs=4), "floor-%g" % floor)
        fit.run(in_silence)
        assert fit.schedule.get_last_lr()[0] == pytest.approx(floor * TINY.learning_rate, abs=1e-12)


def test_judging_each_epoch_changes_nothing_but_the_log(root):
    quiet, judged = tiny_fit(root, TINY, "quiet"), tiny_fit(root, TINY, "judged")
    quiet.run(in_silence)
    asked = []

    def judge(network):
        network.eval()(torch.zeros(1, 1, 64, 33))
        asked.append(1)
        return 0.25 * len(asked)

    judged.run(in_silence, judge=judge)
    assert same_tensors(quiet.averaged.state_dict(), judged.averaged.state_dict())
    history = load_checkpoint(root / "judged" / CHECKPOINT_NAME)["history"]
    assert [entry["test_accuracy"] for entry in history] == [0.25, 0.5] and len(asked) == TINY.epochs
    assert "test_accuracy" not in quiet.history[0]
