"""The GPU benchmark's contestants compute the same, as far as that can be run without a GPU."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.cuda.device import CudaDevice
from engines.frontend import compute_logmel
from tests.cuda_cpu.emulator import WHY_NOT
from tests.cuda_cpu.pycuda_stand_in import StandIn
from tests.cuda_cpu.sounds import TOLERANCE_DB, URBAN

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))
from gpu_contestants import OurBatch, OurHop, SharedCopy, TorchHop, shared_bytes_per_frame

SPEC = URBAN._replace(window_frames=20)
needs_compiler = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def noise(*shape):
    return (np.random.RandomState(0).randn(*shape) * 0.1).astype(np.float32)


def error_db(given, samples):
    return np.abs(given - compute_logmel(samples, SPEC)).max() / SPEC.scale


@pytest.fixture
def stand_in(monkeypatch):
    found = StandIn(block=1)
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


@needs_compiler
def test_our_side_computes_hops_and_batches(stand_in, tmp_path):
    samples = noise(SPEC.window_samples + 3 * SPEC.hop_length)
    clips = noise(3, SPEC.window_samples + SPEC.window_samples % 2)
    with CudaDevice(tmp_path) as device:
        hop = OurHop(device, SPEC, samples[: SPEC.window_samples])
        hop.run(samples[SPEC.window_samples :])
        assert error_db(hop.read(), samples[-SPEC.window_samples :]) <= TOLERANCE_DB
        batch, output = OurBatch(device, SPEC, 3), device.host_array((3, SPEC.n_mels, SPEC.window_frames))
        batch.run(device.place(clips), clips.shape[1])
        device.download(output, batch.output)
        assert max(error_db(output[i], clips[i, : SPEC.window_samples]) for i in range(3)) <= TOLERANCE_DB
        copy, sums = SharedCopy(device, 2), device.host_array((2,))
        assert copy.run(3) == 2 * 3 * 16384
        device.download(sums, copy.output)
        assert sums.tolist() == [1023.0] * 2


def test_torchaudios_side_computes_the_same():
    samples = noise(SPEC.window_samples)
    hop = TorchHop(SPEC, torch.device("cpu"))
    hop.run(samples)
    assert error_db(hop.output[0].numpy(), samples) <= TOLERANCE_DB


def test_shared_memory_of_a_frame_is_counted():
    assert 20_000 < shared_bytes_per_frame(URBAN) < 30_000
    assert shared_bytes_per_frame(URBAN._replace(n_fft=4096, win_length=4096)) > 100_000
