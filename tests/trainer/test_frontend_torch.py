"""The trainer's torchaudio front end equals the definition."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from engines.frontend import compute_logmel
from trainer.frontend import LogMel
from trainer.recipe import URBAN_FRONTEND, Recipe
from trainer.recipes import SOUNDCLR_FRONTEND, fix_reference

TOLERANCE_DB = 5e-3
# 100 dB below a full-scale tone single precision's own noise shows; on recordings the same 5e-3 dB hold
TOLERANCES_OF_TONES_DB = {"levels count": 1e-2}
CLIPS = sorted(path.name for path in (Path(__file__).resolve().parent.parent / "fixtures").glob("*.ogg"))
SPECS = {
    "urban": URBAN_FRONTEND,
    "fixed": URBAN_FRONTEND._replace(reference="fixed", reference_db=20.0),
    "levels count": fix_reference(Recipe()).frontend,
    "the paper's": SOUNDCLR_FRONTEND,
    "short window": URBAN_FRONTEND._replace(
        win_length=800, hop_length=220, window_frames=100, fmin_hz=50.0, fmax_hz=8000.0
    ),
}
AT_S = np.arange(URBAN_FRONTEND.window_samples) / URBAN_FRONTEND.sample_rate_hz
SYNTHETIC = {
    "tone": 0.5 * np.sin(2 * np.pi * 1000 * AT_S),
    "silence": np.zeros_like(AT_S),
    "full-scale square": np.sign(np.sin(2 * np.pi * 440 * AT_S)),
    "full-scale noise": np.random.default_rng(0).uniform(-1, 1, len(AT_S)),
}


def largest_difference(samples, spec):
    samples = np.resize(samples, max(len(samples), spec.window_samples))[: spec.window_samples].astype(np.float32)
    ours = LogMel(spec)(torch.from_numpy(samples)[None])
    assert ours.shape == (1, 1, spec.n_mels, spec.window_frames)
    assert ours.dtype == torch.float32
    return np.abs(ours[0, 0].numpy() - compute_logmel(samples, spec)).max()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", sorted(SYNTHETIC))
def test_equals_the_definition_on_synthetic_sound(name, spec):
    tolerance_db = TOLERANCES_OF_TONES_DB.get(spec, TOLERANCE_DB) if name == "tone" else TOLERANCE_DB
    assert largest_difference(SYNTHETIC[name], SPECS[spec]) <= tolerance_db * SPECS[spec].scale


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
@pytest.mark.parametrize("clip", CLIPS)
def test_equals_the_definition_on_real_clips(fixtures, clip, spec):
    samples, rate = soundfile.read(str(fixtures / clip))
    window = np.zeros(spec.window_samples)
    samples = soxr.resample(samples, rate, spec.sample_rate_hz)[: len(window)]
    window[: len(samples)] = samples
    assert largest_difference(window, spec) <= TOLERANCE_DB * spec.scale


def test_each_clip_of_a_batch_has_its_own_reference():
    quiet_and_loud = torch.from_numpy(SYNTHETIC["full-scale noise"]).float()[None] * torch.tensor([[1e-2], [1.0]])
    network_input = LogMel(URBAN_FRONTEND)(quiet_and_loud)
    torch.testing.assert_close(network_input[0], network_input[1], atol=1e-4, rtol=0)
