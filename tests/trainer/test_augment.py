"""Augmentations keep what they promise to keep, and fill with silence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.augment import (
    add_background,
    augment_spectrograms,
    click_randomly,
    cut_randomly,
    mask_randomly,
    mix_pair,
    place_randomly,
    random_gain,
    random_response,
    random_warp,
    roll_randomly,
)
from trainer.data.made_up import coloured_noise, make_up_foreign, rms
from trainer.frontend import LogMel
from trainer.recipe import URBAN_FRONTEND, Augmentation

RECIPE = Augmentation()
OFF = Augmentation(
    cut_p=0.0,
    noise_fill_p=0.0,
    background_p=0.0,
    mix_p=0.0,
    response_db=0.0,
    low_pass_p=0.0,
    warp_p=0.0,
    frequency_masks=0,
    time_masks=0,
)
SILENCE = -1.0
RATE_HZ = 1000
SEEDS = st.integers(0, 2**32 - 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=3, bands=16, frames=40, seed=0):
    """Spectrograms with nothing as quiet as silence."""
    return torch.rand(batch, 1, bands, frames, generator=generator(seed)) * 1.5 - 0.5


@given(SEEDS, st.integers(1, 1500), st.integers(1, 1500))
@settings(max_examples=60, deadline=None)
def test_a_cut_is_a_stretch_of_the_clip_and_fits(seed, length, limit):
    clip = np.arange(length)
    part = cut_randomly(clip, limit, np.random.default_rng(seed), recipe=RECIPE, sample_rate_hz=RATE_HZ)
    assert min(length, limit, int(RECIPE.cut_min_s * RATE_HZ)) <= len(part) <= min(length, limit)
    np.testing.assert_array_equal(part, np.arange(part[0], part[0] + len(part)))


@given(SEEDS, st.integers(1, 500))
@settings(max_examples=40, deadline=None)
def test_a_placed_clip_lies_whole_in_silence(seed, length):
    clip = np.random.default_rng(1).uniform(0.5, 1.0, length).astype(np.float32)
    window = place_randomly(clip, 500, np.random.default_rng(seed), OFF)
    at = np.flatnonzero(window)
    assert window.shape == (500,)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window[at[0] : at[-1] + 1], clip)


def test_a_noise_filled_window_has_no_digital_silence_and_quiet_noise():
    clip = np.full(100, 0.5, np.float32)
    window = place_randomly(clip, 2000, np.random.default_rng(0), RECIPE._replace(noise_fill_p=1.0))
    noise = np.delete(window, np.flatnonzero(np.abs(window) > 0.3))
    assert np.count_nonzero(noise) == len(noise) >= 1900
    assert -55.0 < 20 * np.log10(rms(noise) / 0.5) < -10.0


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_noise_has_unit_rms(seed):
    assert rms(coloured_noise(4000, np.random.default_rng(seed))) == pytest.approx(1.0, rel=1e-4)


@given(SEEDS, st.booleans())
@settings(max_examples=30, deadline=None)
def test_background_lies_at_the_ratio_that_was_drawn(seed, with_foreign):
    sound = np.random.default_rng(5).standard_normal(3000).astype(np.float32)
    foreign = np.sin(np.arange(700)).astype(np.float32) * 0.01 if with_foreign else None
    below = add_background(sound, foreign, np.random.default_rng(seed), RECIPE) - sound
    low_db, high_db = RECIPE.background_snr_db
    assert low_db - 0.01 <= 20 * np.log10(rms(sound) / rms(below)) <= high_db + 0.01


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_mixture_weighs_sounds_as_if_equally_loud(weight):
    first, second = np.zeros(1000, np.float32), np.zeros(1000, np.float32)
    first[:500], second[500:] = 0.8, 0.002
    mixed = mix_pair(first, second, weight)
    assert rms(mixed[:500]) == pytest.approx(max(weight * 0.8, 1e-5), rel=1e-4)
    assert rms(mixed[500:]) == pytest.approx(max((1 - weight) * 0.8, 1e-5), rel=1e-4)


def test_mixing_with_digital_silence_stays_finite():
    silence = np.zeros(100, np.float32)
    assert np.isfinite(mix_pair(silence, silence, 0.5)).all()
    assert np.isfinite(add_background(silence, silence, np.random.default_rng(0), RECIPE)).all()
    assert np.isfinite(random_gain(silence, np.random.default_rng(0), RECIPE)).all()


@given(SEEDS, st.floats(1e-3, 5.0))
@settings(max_examples=40, deadline=None)
def test_gain_leaves_a_peak_within_its_range_and_never_clips(seed, peak):
    sound = peak * np.sin(np.arange(1000) / 7)
    gained = random_gain(sound, np.random.default_rng(seed), RECIPE)
    assert gained.dtype == np.float32
    assert RECIPE.gain_db[0] - 0.01 <= 20 * np.log10(np.abs(gained).max()) <= 0.01
    np.testing.assert_allclose(gained / np.abs(gained).max(), sound / np.abs(sound).max(), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.integers(1, 30000))
def test_a_click_is_short_between_the_sounds_peak_and_full_scale(seed, peak, length):
    rng = np.random.default_rng(seed)
    sound = (peak * np.sin(np.arange(length) / 5)).astype(np.float32)
    clicked = click_randomly(sound, rng, Augmentation(click_p=1.0), 22050)
    changed = np.flatnonzero(clicked != sound)
    assert clicked.shape == sound.shape and clicked.dtype == np.float32 and np.abs(clicked).max() <= 1.0
    assert len(changed) == 0 or changed[-1] - changed[0] < 0.03 * 22050
    assert np.abs(clicked - sound).max() <= 2.0


def test_clicks_come_as_often_as_asked_for_and_without_them_no_number_is_drawn():
    sound = np.full(4000, 0.01, np.float32)
    rng = np.random.default_rng(0)
    clicked = [click_randomly(sound, rng, Augmentation(click_p=0.3), 22050) for _ in range(500)]
    assert np.mean([(one != sound).any() for one in clicked]) == pytest.approx(0.3, abs=0.06)
    peaks_db = [20 * np.log10(np.abs(one).max()) for one in clicked if (one != sound).any()]
    assert min(peaks_db) < -34 and max(peaks_db) > -3  # from the sound's own to full scale
    before = rng.bit_generator.state
    assert click_randomly(sound, rng, Augmentation(), 22050) is sound and rng.bit_generator.state == before


def test_masks_are_silence_and_nothing_else_changes():
    before = pictures(batch=64)
    after = mask_randomly(before, generator(), RECIPE._replace(frequency_mask_bands=5, time_mask_frames=9), SILENCE)
    masked = after != before
    assert masked.any()
    assert (after[masked] == SILENCE).all()
    for picture in masked[:, 0]:
        whole_bands, whole_frames = picture.all(dim=1), picture.all(dim=0)
        assert torch.equal(picture, whole_bands[:, None] | whole_frames[None, :])
        assert whole_bands.sum() <= 2 * 5
        assert whole_frames.sum() <= 9
    assert len({tuple(picture.flatten().tolist()) for picture in masked}) > 32  # each clip has masks of its own


def test_without_masks_the_picture_is_untouched():
    before = pictures()
    assert torch.equal(mask_randomly(before, generator(), OFF, SILENCE), before)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_roll_keeps_every_frame_and_their_circle(seed):
    before = pictures(batch=2, bands=3, frames=11)
    after = roll_randomly(before, generator(seed))
    for old, new in zip(before, after, strict=True):
        assert any(torch.equal(new, old.roll(shift, dims=-1)) for shift in range(11))


@pytest.mark.parametrize("still", [{"warp_p": 0.0}, {"warp_pitch_bands": 0.0, "warp_tempo": 0.0}])
def test_a_warp_of_no_strength_is_the_identity(still):
    before = pictures()
    torch.testing.assert_close(
        random_warp(before, generator(), RECIPE._replace(**still), SILENCE), before, atol=1e-5, rtol=0
    )


def test_a_warp_moves_a_line_by_at_most_its_bands_and_brings_in_silence():
    before = torch.full((40, 1, 21, 30), SILENCE)
    before[:, :, 10] = 1.0
    recipe = RECIPE._replace(warp_p=1.0, warp_pitch_bands=3.0, warp_tempo=0.0)
    after = random_warp(before, generator(), recipe, SILENCE)
    loudest = after[:, 0, :, 15].argmax(dim=1)
    assert (loudest - 10).abs().max() <= 3
    assert len(set(loudest.tolist())) > 3
    torch.testing.assert_close(after[:, 0, 0], torch.full((40, 30), SILENCE))


def test_a_response_is_one_curve_for_all_frames_of_a_clip_and_within_its_strength():
    power_db = torch.rand(8, 20, 15, generator=generator()) * 40
    change = random_response(power_db, generator(3), RECIPE._replace(low_pass_p=0.0)) - power_db
    torch.testing.assert_close(change, change[:, :, :1].expand_as(change), atol=1e-4, rtol=0)
    assert change.abs().max() <= RECIPE.response_db + 1e-4
    assert (change[0] - change[1]).abs().max() > 0.1


def test_a_low_pass_only_takes_from_the_upper_bands():
    power_db = torch.zeros(50, 30, 4)
    change = random_response(power_db, generator(), OFF._replace(low_pass_p=1.0))
    assert (change[:, :10] == 0).all()
    assert (change <= 0).all()
    assert (change[:, -1] <= -20).all()
    assert change.min() >= -80


def test_everything_off_leaves_the_front_end_rolled():
    front_end = LogMel(URBAN_FRONTEND)
    power_db = front_end.power_db(torch.randn(2, URBAN_FRONTEND.window_samples, generator=generator()) * 0.1)
    augmented = augment_spectrograms(power_db, front_end, generator(), OFF)
    plain = front_end.network_input(power_db)
    assert augmented.shape == plain.shape == (2, 1, 64, 171)
    torch.testing.assert_close(augmented.sort(dim=-1).values, plain.sort(dim=-1).values, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_pictures_within_the_networks_range():
    front_end = LogMel(URBAN_FRONTEND)
    power_db = front_end.power_db(torch.randn(4, URBAN_FRONTEND.window_samples, generator=generator()) * 0.1)
    first = augment_spectrograms(power_db, front_end, generator(7), RECIPE)
    assert torch.equal(first, augment_spectrograms(power_db, front_end, generator(7), RECIPE))
    assert not torch.equal(first, augment_spectrograms(power_db, front_end, generator(8), RECIPE))
    assert first.min() >= -1.0 - 1e-5
    assert first.max() <= 1.0 + 1e-5


@pytest.mark.parametrize("seed", range(20))
def test_made_up_sound_has_unit_rms_and_is_the_same_for_the_same_seed(seed):
    first, second = (make_up_foreign(22050, np.random.default_rng(seed), 22050) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == (22050,) and np.isfinite(first).all()
    assert rms(first) == pytest.approx(1.0, rel=1e-3) and np.array_equal(first, second)
