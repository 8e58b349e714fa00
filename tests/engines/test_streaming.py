"""The streaming front end equals the definition, whatever the block sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.frontend import compute_logmel
from engines.streaming import StreamingLogMel
from tests.engines.bundles import SPEC

TOLERANCE_DB = 5e-3
SIGNALS = {
    "noise": lambda n: np.random.RandomState(0).randn(n) * 0.1,
    "tone": lambda n: 0.5 * np.sin(2 * np.pi * 1000.0 * np.arange(n) / SPEC.sample_rate_hz),
    "silence": np.zeros,
    "full scale": lambda n: np.sign(np.sin(2 * np.pi * 50.0 * np.arange(n) / SPEC.sample_rate_hz)),
    "click": lambda n: (np.arange(n) == n // 2).astype(float),
}
SPECS = {
    "small": SPEC,
    "urban": SPEC._replace(
        sample_rate_hz=22050, n_fft=1024, win_length=1024, hop_length=512, n_mels=64, fmax_hz=11025.0, window_frames=40
    ),
    "paper": SPEC._replace(
        sample_rate_hz=44100, n_fft=1024, win_length=1024, hop_length=512, n_mels=128, fmax_hz=22050.0, window_frames=50
    ),
    "short window": SPEC._replace(win_length=400, reference="fixed", reference_db=-20.0),
    "empty bands": SPEC._replace(n_fft=256, win_length=256, n_mels=96),
}


def stream(samples, spec, sizes):
    """Push in blocks of the sizes given, over and over."""
    front_end, at, i = StreamingLogMel(spec), 0, 0
    while at < len(samples):
        front_end.push(samples[at : at + sizes[i % len(sizes)]])
        at += sizes[i % len(sizes)]
        i += 1
    return front_end


@pytest.mark.parametrize("signal", sorted(SIGNALS))
@pytest.mark.parametrize("name", sorted(SPECS))
def test_equals_the_definition(name, signal):
    spec = SPECS[name]
    samples = SIGNALS[signal](spec.window_samples).astype(np.float32)
    given = stream(samples, spec, [len(samples)]).read_window()
    error_db = np.abs(given - compute_logmel(samples, spec)).max() / spec.scale
    assert given.dtype == np.float32 and given.shape == (spec.n_mels, spec.window_frames)
    assert error_db <= TOLERANCE_DB


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.integers(0, 40))
def test_chunked_equals_whole(sizes, extra_hops):
    spec = SPECS["small"]
    length = spec.window_samples + extra_hops * spec.hop_length
    samples = (np.random.RandomState(1).randn(length) * 0.1).astype(np.float32)
    front_end = stream(samples, spec, sizes)
    assert front_end.frames == spec.window_frames + extra_hops
    error_db = (
        np.abs(front_end.read_window() - compute_logmel(samples[-spec.window_samples :], spec)).max() / spec.scale
    )
    assert error_db <= TOLERANCE_DB


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20000), st.integers(1, 70))
def test_samples_until_frames_is_exact(before, frames):
    front_end = StreamingLogMel(SPEC)
    front_end.push(np.zeros(before, np.float32))
    until = front_end.samples_until_frames(frames)
    if until == 0:
        assert front_end.frames >= frames
        return
    front_end.push(np.zeros(until - 1, np.float32))
    assert front_end.frames == frames - 1
    front_end.push(np.zeros(1, np.float32))
    assert front_end.frames == frames


def test_nothing_is_glued_over_a_reset():
    samples = (np.random.RandomState(2).randn(SPEC.window_samples) * 0.1).astype(np.float32)
    front_end = stream(np.ones(12345, np.float32), SPEC, [1000])
    front_end.reset()
    front_end.push(samples)
    assert np.abs(front_end.read_window() - compute_logmel(samples, SPEC)).max() / SPEC.scale <= TOLERANCE_DB


def test_an_incomplete_window_is_refused():
    front_end = StreamingLogMel(SPEC)
    front_end.push(np.zeros(SPEC.window_samples - 1, np.float32))
    with pytest.raises(ValueError, match="a window needs"):
        front_end.read_window()
