"""Training on a real device: features, both precisions, batches made ahead by workers and pinned."""

import numpy as np
import pytest
import timm
import torch

from engines.frontend import compute_logmel
from tests.trainer.test_fit import BACKBONE, TINY
from trainer.data.batches import BatchSource
from trainer.data.clips import Clip
from trainer.data.waveforms import Waveforms
from trainer.fit import Fit
from trainer.frontend import LogMel
from trainer.inference import compute_clip_logits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]
SPEC = TINY.frontend
LABELS = ["low", "high"]


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """What is compared with the processor is computed in single precision, not TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Noise below or above 2 kHz: what a network of any size learns in seconds."""
    rng = np.random.default_rng(0)
    samples, clips = [], []
    for i in range(48):
        spectrum = np.fft.rfft(rng.standard_normal(SPEC.window_samples))
        above = np.fft.rfftfreq(SPEC.window_samples, 1 / SPEC.sample_rate_hz) > 2000
        spectrum[above != bool(i % 2)] *= 0.01
        wave = np.fft.irfft(spectrum, SPEC.window_samples)
        samples.append((0.3 * wave / np.abs(wave).max()).astype(np.float32))
        clips.append(Clip(tmp_path_factory.getbasetemp() / ("%d.wav" % i), LABELS[i % 2], 1, "s%d" % i))
    return Waveforms(samples, np.arange(48) % 2, np.ones(48, int), clips)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Begun from chance, the same for all."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), path)
    return path


def test_features_on_the_device_are_those_of_the_definition(tones):
    samples = torch.from_numpy(np.stack(tones.samples[:8])).cuda()
    features = LogMel(SPEC).cuda()(samples).cpu().numpy()[:, 0]
    for window, heard in zip(tones.samples[:8], features, strict=True):
        assert np.abs(heard - compute_logmel(window, SPEC)).max() / SPEC.scale < 0.1  # dB


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_learns_on_the_device_and_answers_the_same_on_the_processor(tones, weights, tmp_path, precision):
    recipe = TINY._replace(epochs=20, batch=16, precision=precision, learning_rate=5e-3)
    fit = Fit(tones, None, LABELS, recipe, tmp_path, weights=weights, device="cuda", workers=2)
    model = fit.run(lambda epoch, step, means: None)
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert fit.history[-1]["loss"] < 0.7 * fit.history[0]["loss"]
    on_device = compute_clip_logits(
        model, tones.samples, SPEC, recipe.short_clip, device="cuda", progress=lambda done: None
    )
    assert (on_device[:, :2].argmax(axis=1) == tones.labels).mean() > 0.9
    on_processor = compute_clip_logits(
        model.cpu(), tones.samples, SPEC, recipe.short_clip, device="cpu", progress=lambda done: None
    )
    np.testing.assert_allclose(on_device, on_processor, atol=0.05)


def test_a_run_is_continued_on_the_device(tones, weights, tmp_path):
    whole, parts = TINY._replace(epochs=4, batch=16), []

    def stop_after_two(epoch, step, means):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fit(tones, None, LABELS, whole, tmp_path, weights=weights, device="cuda").run(stop_after_two)
    fit = Fit(tones, None, LABELS, whole, tmp_path, weights=weights, device="cuda")
    assert fit.epoch == 2
    fit.run(lambda epoch, step, means: parts.append(epoch))
    assert set(parts) == {2, 3} and [row["epoch"] for row in fit.log] == [1, 2, 3, 4]


def test_batches_are_the_same_for_a_device_and_pinned(tones, weights, tmp_path):
    fit = Fit(tones, None, LABELS, TINY, tmp_path, weights=weights, device="cuda", workers=2)
    source = BatchSource(tones, None, len(LABELS), TINY)
    for step, batch in enumerate(fit.loader.batches(0)):
        assert batch.samples.is_pinned()
        torch.testing.assert_close(batch.samples, source.batch(0, step).samples)
