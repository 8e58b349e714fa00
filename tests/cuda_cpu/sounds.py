"""Front ends and sounds for the kernels: what ships, what SoundCLR used, and the corners of what a spec may be."""

import functools
from pathlib import Path

import numpy as np

from edge.config import SHIPPED_BUNDLE
from edge.resample import StreamResampler
from engines.bundle import load_bundle
from engines.frontend import compute_logmel

TOLERANCE_DB = 5e-3
CLIPS = ("siren-67358.ogg", "car_horn-178402.ogg", "dog-182395.ogg", "rain-181766.ogg")
_FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

URBAN = load_bundle(SHIPPED_BUNDLE).frontend
_SOUNDCLR = URBAN._replace(
    sample_rate_hz=44100, n_fft=1024, win_length=1024, hop_length=512, n_mels=128, fmax_hz=22050.0, window_frames=430
)
_SHORT = URBAN._replace(window_frames=70)
SPECS = {
    "shipped": URBAN,
    "SoundCLR, 1024": _SOUNDCLR,
    "SoundCLR, 2048": _SOUNDCLR._replace(n_fft=2048, win_length=2048, window_frames=150),
    "fixed reference": _SHORT._replace(reference="fixed", reference_db=20.0, top_db=70.0, scale=-0.5, offset=-3.0),
    "odd hop, short window": _SHORT._replace(win_length=801, hop_length=221, fmin_hz=50.0, fmax_hz=8000.0),
    "256, empty bands": _SHORT._replace(n_fft=256, win_length=256, hop_length=256, n_mels=96, window_frames=33),
    "512, one frame": _SHORT._replace(n_fft=512, win_length=400, hop_length=160, n_mels=40, window_frames=1),
    "4096, high floor": _SHORT._replace(
        n_fft=4096, win_length=4096, hop_length=1000, amin=1e-5, n_mels=200, window_frames=32
    ),
}


@functools.lru_cache(maxsize=None)
def sounds(spec):
    """Real and synthetic sounds of one window: {name: float32 [window_samples]}."""
    at_s = np.arange(spec.window_samples) / float(spec.sample_rate_hz)
    random = np.random.RandomState(0)
    sweep_hz = 50.0 + (spec.sample_rate_hz / 2.0 - 50.0) / (2.0 * max(at_s[-1], 1e-9)) * at_s
    found = {
        "silence": np.zeros(len(at_s)),
        "low tone": 0.5 * np.sin(2 * np.pi * 60.0 * at_s),
        "tone": np.sin(2 * np.pi * 1000.0 * at_s),
        "quiet tone": 1e-4 * np.sin(2 * np.pi * 3000.0 * at_s),
        "sweep": 0.8 * np.sin(2 * np.pi * sweep_hz * at_s),
        "full scale square": np.sign(np.sin(2 * np.pi * 441.0 * at_s)),
        "full scale noise": random.uniform(-1.0, 1.0, len(at_s)),
        "quiet noise": 1e-4 * random.randn(len(at_s)),
        "click": (np.arange(len(at_s)) == len(at_s) // 2).astype(float),
        "tone after silence": 0.5 * np.sin(2 * np.pi * 440.0 * at_s) * (at_s > at_s[-1] / 2),
    }
    for clip in CLIPS:
        found[clip] = np.resize(read_clip(clip, spec.sample_rate_hz), len(at_s))
    return {name: samples.astype(np.float32) for name, samples in found.items()}


@functools.lru_cache(maxsize=None)
def definition(spec, name):
    """The definition's result for one of the sounds, computed once for all tests."""
    return compute_logmel(sounds(spec)[name], spec)


def read_clip(name, sample_rate_hz):
    """A recording from the fixtures.  Shape [T], float32."""
    import soundfile

    samples, rate_hz = soundfile.read(str(_FIXTURES / name), dtype="float32")
    resampler = StreamResampler(rate_hz, sample_rate_hz)
    return np.concatenate([resampler.push(samples), resampler.flush()])
