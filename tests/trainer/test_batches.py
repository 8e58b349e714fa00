"""Batches: reproducible, with honest targets, and balanced by source."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.data.batches import BatchSource, draw_weights
from trainer.data.datasets import UNKNOWN_LABEL, Clip
from trainer.data.loading import BatchLoader
from trainer.data.waveforms import Waveforms
from trainer.losses import NO_PART
from trainer.parallel import Group
from trainer.recipe import URBAN_FRONTEND, Augmentation, Recipe

RECIPE = Recipe(frontend=URBAN_FRONTEND._replace(window_frames=9), batch=8, foreign_batch=4, seed=3)
PLAIN = RECIPE._replace(
    augmentation=Augmentation(cut_p=0.0, noise_fill_p=0.0, background_p=0.0, mix_p=0.0, gain_db=(0.0, 0.0))
)


def waveforms(labels, sources=None):
    """Tones, one frequency for each clip, of lengths shorter and longer than the window."""
    at = np.arange(8000)
    samples = [
        (0.5 * np.sin(at * 0.05 * (i + 1))).astype(np.float32)[: 3000 + 500 * (i % 8)] for i in range(len(labels))
    ]
    sources = sources or [str(i) for i in range(len(labels))]
    clips = [Clip(Path("clip"), "class", 1, source) for source in sources]
    return Waveforms(samples, np.array(labels), np.ones(len(labels), np.int64), clips)


KNOWN = waveforms([0, 0, 1, 1, 2, 2] * 6)
FOREIGN = waveforms([UNKNOWN_LABEL] * 5)


def drawn(source, epoch):
    return [tuple(field.clone() for field in batch) for batch in source.batches(epoch)]


def test_an_epoch_is_the_same_whatever_was_drawn_before_it():
    fresh = drawn(BatchSource(KNOWN, FOREIGN, 3, RECIPE), 4)
    used = BatchSource(KNOWN, FOREIGN, 3, RECIPE)
    drawn(used, 0)
    for first, second in zip(fresh, drawn(used, 4), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("seed", "epoch"), [(3, 5), (4, 4)])
def test_another_epoch_or_seed_is_another_draw(seed, epoch):
    first = drawn(BatchSource(KNOWN, FOREIGN, 3, RECIPE), 4)[0]
    second = drawn(BatchSource(KNOWN, FOREIGN, 3, RECIPE._replace(seed=seed)), epoch)[0]
    assert not torch.equal(first[0], second[0])


def test_shapes_types_and_ranges():
    source = BatchSource(KNOWN, FOREIGN, 3, RECIPE)
    batches = list(source.batches(0))
    assert len(batches) == source.steps == 36 // 8
    for batch in batches:
        assert batch.samples.shape == (12, RECIPE.frontend.window_samples)
        assert batch.samples.dtype == torch.float32
        assert batch.targets.shape == (12, 4)
        assert batch.targets.dtype == torch.float32
        assert batch.labels.shape == (12,)
        assert batch.labels.dtype == torch.int64
        assert torch.isfinite(batch.samples).all()
        assert batch.samples.abs().max() <= 1.0 + 1e-6


def test_targets_sum_to_one_and_labels_agree_with_them():
    for epoch in range(5):
        for batch in BatchSource(KNOWN, FOREIGN, 3, RECIPE).batches(epoch):
            torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(12))
            assert (batch.targets >= 0).all()
            pure = batch.labels >= 0
            assert (batch.targets[pure].gather(1, batch.labels[pure, None]) == 1.0).all()


def test_foreign_rows_are_foreign_and_known_rows_never_are():
    for batch in BatchSource(KNOWN, FOREIGN, 3, RECIPE).batches(0):
        foreign = batch.targets[:, 3] == 1.0
        assert foreign.tolist() == [False] * 8 + [True] * 4
        assert (batch.labels[foreign] == UNKNOWN_LABEL).all()
        assert (batch.targets[~foreign, 3] == 0.0).all()


def test_mixtures_of_classes_are_no_anchors():
    recipe = RECIPE._replace(augmentation=Augmentation(mix_p=1.0))
    seen = set()
    for batch in BatchSource(KNOWN, None, 3, recipe).batches(0):
        mixed = batch.targets.max(dim=1).values < 1.0
        assert (batch.labels[mixed] == UNKNOWN_LABEL).all()
        seen.update(mixed.tolist())
    assert seen == {True, False}  # clips of the same class mix, too, and stay anchors


def test_without_foreign_clips_there_are_only_known_rows():
    batch = next(BatchSource(KNOWN, None, 3, RECIPE).batches(0))
    assert len(batch.samples) == RECIPE.batch
    assert batch.targets.shape == (RECIPE.batch, 3)


def test_without_augmentation_a_window_holds_the_clip_itself():
    batch = next(BatchSource(KNOWN, None, 3, PLAIN).batches(0))
    for row, label in zip(batch.samples.numpy(), batch.labels.tolist(), strict=True):
        heard = np.trim_zeros(row)
        clips = [clip / np.abs(clip).max() for clip, of in zip(KNOWN.samples, KNOWN.labels, strict=True) if of == label]
        assert any(_contains(clip, heard) for clip in clips)


def _contains(clip, heard):
    """Whether heard, peak-normalised, is a stretch of clip."""
    lags = np.arange(len(clip) - len(heard) + 1) if len(heard) <= len(clip) else []
    scaled = [clip[lag : lag + len(heard)] for lag in lags]
    return any(np.allclose(part / np.abs(part).max(), heard, atol=1e-4) for part in scaled)


def test_fewer_clips_than_a_batch_still_make_one_step():
    assert BatchSource(waveforms([0, 1]), None, 2, RECIPE).steps == 1


def test_weights_balance_sources():
    sources = ["a"] * 4 + ["b", "c"] + ["d", "d", "e"]
    labels = [0] * 6 + [1] * 3
    per_source = {}
    for balance in (0.0, 0.5, 1.0):
        weights = draw_weights(waveforms(labels, sources), balance)
        assert weights.sum() == pytest.approx(1.0)
        assert (weights > 0).all()
        for name in "abcde":
            per_source[balance, name] = weights[np.array(sources) == name].sum()
    assert all(per_source[0.0, name] == pytest.approx(sources.count(name) / 9) for name in "abcde")
    assert per_source[1.0, "a"] == pytest.approx(per_source[1.0, "b"]) == pytest.approx(per_source[1.0, "c"])
    assert per_source[1.0, "d"] == pytest.approx(per_source[1.0, "e"])
    assert 1.0 < per_source[0.5, "a"] / per_source[0.5, "b"] < 4.0


def test_weights_balance_classes():
    labels = np.array([0] * 30 + [1] * 3)
    share = {balance: draw_weights(waveforms(labels), balance)[labels == 1].sum() for balance in (0.0, 0.5, 1.0)}
    assert share[0.0] == pytest.approx(3 / 33)
    assert share[1.0] == pytest.approx(0.5)
    assert share[0.0] < share[0.5] < share[1.0]


def test_batches_made_ahead_are_the_same():
    alone = BatchLoader(BatchSource(KNOWN, FOREIGN, 3, RECIPE))
    ahead = BatchLoader(BatchSource(KNOWN, FOREIGN, 3, RECIPE), workers=2)
    for epoch in (0, 3):
        pairs = list(zip(alone.batches(epoch), ahead.batches(epoch), strict=True))
        assert pairs
        for first, second in pairs:
            assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_a_group_are_the_batch_of_one(size):
    recipe = RECIPE._replace(views=2)
    whole = BatchSource(KNOWN, FOREIGN, 3, recipe).batch(1, 0)
    sources = [BatchSource(KNOWN, FOREIGN, 3, recipe, group=Group(rank, size)) for rank in range(size)]
    shares = [source.batch(1, 0) for source in sources]
    assert sum(len(share.samples) for share in shares) == len(whole.samples)
    assert max(len(share.samples) for share in shares) == sources[0].rows
    for rank, share in enumerate(shares):
        for given, expected in zip(share, whole, strict=True):
            assert torch.equal(given, expected[rank::size])


def test_a_batch_of_p_classes_holds_k_clips_of_each_in_every_view():
    recipe = RECIPE._replace(classes_per_batch=2, batch=6, views=2, augmentation=RECIPE.augmentation._replace(mix_p=0))
    seen = set()
    for step in range(20):
        batch = BatchSource(KNOWN, None, 3, recipe).batch(0, step)
        labels, counts = torch.unique(batch.labels, return_counts=True)
        assert counts.tolist() == [6, 6]
        seen |= set(labels.tolist())
        assert not torch.equal(batch.samples[0], batch.samples[1])  # two views of one clip
    assert seen == {0, 1, 2}


def test_mixtures_may_be_left_out_of_the_contrast():
    mixed = RECIPE._replace(augmentation=RECIPE.augmentation._replace(mix_p=1.0), contrast_mixtures=False)
    batch = next(BatchSource(KNOWN, FOREIGN, 3, mixed).batches(0))
    shared = (batch.targets > 0).sum(dim=1) > 1
    assert shared.any() and (batch.labels[shared] == NO_PART).all()
    assert (batch.labels[batch.targets[:, 3] == 1] == UNKNOWN_LABEL).all()
