"""What the log-mel on a device must do. Collected twice: on the emulator, and on a real GPU by `make test-gpu`.

A module that collects these offers the fixture `device`: an open CudaDevice, for the whole module.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.cuda.kernels import LogMelKernels
from engines.cuda.logmel import CudaLogMel
from engines.frontend import compute_logmel
from engines.streaming import StreamingLogMel
from tests.cuda_cpu.sounds import SPECS, TOLERANCE_DB, URBAN, definition, read_clip, sounds

SMALL = URBAN._replace(n_fft=256, win_length=256, hop_length=100, n_mels=20, window_frames=13)


def error_db(given_input, samples, spec):
    """Largest difference from the definition."""
    return float(np.abs(given_input - compute_logmel(samples, spec)).max() / abs(spec.scale))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_equals_the_definition(device, name):
    spec = SPECS[name]
    front_end = CudaLogMel(device, spec)
    for sound, samples in sounds(spec).items():
        front_end.reset()
        front_end.push(samples)
        network_input = front_end.read_window()
        assert network_input.dtype == np.float32 and network_input.shape == (spec.n_mels, spec.window_frames)
        off_db = np.abs(network_input - definition(spec, sound)).max() / abs(spec.scale)
        assert off_db <= TOLERANCE_DB, sound


def test_far_below_a_loud_tone_single_precision_still_tells(device):
    spec = SPECS["fixed reference"]._replace(reference_db=-20.0, top_db=90.0)
    samples = sounds(spec)["tone"]
    front_end = CudaLogMel(device, spec)
    front_end.push(samples)
    expected = definition(spec, "tone")
    off_db = np.abs(front_end.read_window() - expected) / abs(spec.scale)
    below_db = np.abs(expected - expected.min()) / abs(spec.scale)  # scale is negative: the loudest is the least
    assert off_db[below_db <= 110.0].max() <= 10 * TOLERANCE_DB
    assert below_db.max() > 125.0 and off_db.max() <= 1.0


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.integers(0, 60), st.integers(1, 25))
def test_chunked_equals_whole(small_front_end, sizes, extra_hops, read_every):
    samples = noise(SMALL.window_samples + extra_hops * SMALL.hop_length)
    small_front_end.reset()
    at = 0
    for i in range(len(samples)):
        if at >= len(samples):
            break
        size = sizes[i % len(sizes)]
        small_front_end.push(samples[at : at + size])
        at += size
        if i % read_every == 0 and small_front_end.frames >= SMALL.window_frames:
            small_front_end.update_input()  # reading in between must not change what comes after
    assert small_front_end.frames == SMALL.window_frames + extra_hops
    assert error_db(small_front_end.read_window(), samples[-SMALL.window_samples :], SMALL) <= TOLERANCE_DB


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 2500), min_size=1, max_size=30))
def test_counts_frames_as_the_processor_does(small_front_end, sizes):
    small_front_end.reset()
    reference = StreamingLogMel(SMALL)
    for size in sizes:
        samples = np.zeros(size, np.float32)
        assert small_front_end.push(samples) == reference.push(samples)
        assert small_front_end.frames == reference.frames
        assert small_front_end.samples_until_frames(30) == reference.samples_until_frames(30)


def test_follows_a_real_stream_hop_by_hop(device):
    front_end, reference = CudaLogMel(device, URBAN), StreamingLogMel(URBAN)
    street = np.concatenate([read_clip(clip, URBAN.sample_rate_hz) for clip in ("siren-67358.ogg", "rain-181766.ogg")])
    hop = 21 * URBAN.hop_length
    compared = 0
    for at in range(0, len(street) - hop, hop):
        for stream in (front_end, reference):
            stream.push(street[at : at + hop])
        if reference.frames >= URBAN.window_frames:
            difference = np.abs(front_end.read_window() - reference.read_window()).max() / URBAN.scale
            assert difference <= TOLERANCE_DB
            compared += 1
    assert compared >= 3


def test_nothing_is_glued_over_a_gap(small_front_end):
    small_front_end.reset()
    small_front_end.push(np.ones(5 * SMALL.window_samples + 77, np.float32))
    small_front_end.read_window()
    small_front_end.push(np.ones(333, np.float32))
    small_front_end.reset()
    with pytest.raises(ValueError, match="a window needs"):
        small_front_end.read_window()
    samples = noise(SMALL.window_samples)
    small_front_end.push(samples)
    assert error_db(small_front_end.read_window(), samples, SMALL) <= TOLERANCE_DB


def test_several_microphones_at_once(device):
    front_end = CudaLogMel(device, SMALL, streams=3)
    samples = np.stack([noise(SMALL.window_samples + 900, seed) for seed in range(3)])
    for at in range(0, samples.shape[1], 700):
        front_end.push(samples[:, at : at + 700])
    network_input = front_end.read_window()
    assert network_input.shape == (3, SMALL.n_mels, SMALL.window_frames)
    for stream in range(3):
        heard = samples[stream, 900 : 900 + SMALL.window_samples]
        assert error_db(network_input[stream], heard, SMALL) <= TOLERANCE_DB


def test_many_clips_at_once(device):
    clips, length, frames = 60, SMALL.window_samples + SMALL.window_samples % 2, SMALL.window_frames
    samples = np.stack([noise(length, seed) for seed in range(clips)])
    kernels, cells = LogMelKernels(device, SMALL), clips * frames * SMALL.n_mels
    mel_ring, frame_db = device.allocate(4 * cells), device.allocate(4 * clips * frames)
    result = device.allocate(4 * cells)
    output = device.host_array((clips, SMALL.n_mels, frames))
    kernels.compute_frames(device.place(samples), length, 0, mel_ring, frame_db, frames, 0, frames, clips)
    kernels.compute_window(mel_ring, frame_db, frames, 0, result, clips)
    device.download(output, result)
    for clip in range(clips):
        assert error_db(output[clip], samples[clip, : SMALL.window_samples], SMALL) <= TOLERANCE_DB


def test_two_streams_do_not_touch_each_other(device, small_front_end):
    other = CudaLogMel(device, SMALL)
    mine, others = noise(SMALL.window_samples, 1), noise(SMALL.window_samples, 2)
    small_front_end.reset()
    for at in range(0, len(mine), 500):
        small_front_end.push(mine[at : at + 500])
        other.push(others[at : at + 500])
    assert error_db(small_front_end.read_window(), mine, SMALL) <= TOLERANCE_DB
    assert error_db(other.read_window(), others, SMALL) <= TOLERANCE_DB


def noise(count, seed=0):
    """A tenth of full scale."""
    return (np.random.RandomState(seed).randn(count) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def small_front_end(device):
    """Small, so that rings wrap often."""
    return CudaLogMel(device, SMALL)
