"""The log-mel on one device, ours and torchaudio's, as `bench_gpu_logmel` lets them compete."""

from pathlib import Path

import numpy as np
import torch
import torchaudio

from engines.cuda.device import CudaDevice
from engines.cuda.kernels import LogMelKernels
from engines.cuda.logmel import CudaLogMel
from engines.cuda.tables import build_tables
from engines.frontend import FrontendSpec

COPY_SOURCE = Path(__file__).with_name("shared_copy.cu")
_COPY_BLOCK, _COPY_BYTES = 256, 2 * 8 * 1024  # read and written by a block in each round


class OurHop:
    """New samples go up, the network's input is on the device."""

    def __init__(self, device: CudaDevice, spec: FrontendSpec, first_window: np.ndarray) -> None:
        self._device, self._front_end = device, CudaLogMel(device, spec)
        self._front_end.push(first_window)
        self.read()

    def run(self, new_samples: np.ndarray) -> None:
        """One hop, until the device has done it."""
        self._front_end.push(new_samples)
        self._front_end.update_input()
        self._device.synchronize()

    def read(self) -> np.ndarray:
        """The network's input."""
        return self._front_end.read_window()


class OurBatch:
    """Whole windows that lie in the device's memory."""

    def __init__(self, device: CudaDevice, spec: FrontendSpec, windows: int) -> None:
        self._device, self._spec, self._windows = device, spec, windows
        self._kernels = LogMelKernels(device, spec)
        cells = windows * spec.window_frames
        self._mel_ring, self._frame_db = device.allocate(4 * cells * spec.n_mels), device.allocate(4 * cells)
        self.output = device.allocate(4 * cells * spec.n_mels)

    def run(self, samples: int, samples_each: int) -> None:
        """`samples` is the address of float32 [windows, samples_each], samples_each even.  Does not wait."""
        frames = self._spec.window_frames
        self._kernels.compute_frames(
            samples, samples_each, 0, self._mel_ring, self._frame_db, frames, 0, frames, self._windows
        )
        self._kernels.compute_window(self._mel_ring, self._frame_db, frames, 0, self.output, self._windows)


class SharedCopy:
    """The bandwidth of shared memory, by a kernel that does nothing else."""

    def __init__(self, device: CudaDevice, blocks: int) -> None:
        self._device, self._blocks = device, blocks
        self._kernel = device.compile(COPY_SOURCE.read_text(), {}).get_function("shared_copy")
        self._kernel.prepare("Pi")
        self.output = device.allocate(4 * blocks)

    def run(self, rounds: int) -> int:
        """Queue the copies.  Returns the bytes that they read and write."""
        self._device.launch(self._kernel, (self._blocks, 1), _COPY_BLOCK, self.output, rounds)
        return self._blocks * rounds * _COPY_BYTES


class TorchLogMel(torch.nn.Module):
    """The same front end in torchaudio's words: [B, T] -> [B, n_mels, window_frames]."""

    def __init__(self, spec: FrontendSpec) -> None:
        super().__init__()
        self._spec = spec
        self._mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=spec.sample_rate_hz,
            n_fft=spec.n_fft,
            win_length=spec.win_length,
            hop_length=spec.hop_length,
            f_min=spec.fmin_hz,
            f_max=spec.fmax_hz,
            n_mels=spec.n_mels,
            power=spec.power,
            center=spec.center,
            norm=spec.mel_norm,
            mel_scale=spec.mel_scale,
        )

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """One pass over whole windows."""
        spec = self._spec
        power_db = 10.0 * torch.log10(self._mel(samples).clamp(min=spec.amin))
        reference_db = power_db.amax(dim=(1, 2), keepdim=True) if spec.reference == "max" else spec.reference_db
        return (power_db - reference_db).clamp(min=-spec.top_db) * spec.scale + spec.offset


class TorchHop:
    """What a program without a stream of its own does: the window goes up, all its frames are computed."""

    def __init__(self, spec: FrontendSpec, device: torch.device) -> None:
        self._model = TorchLogMel(spec).to(device)
        self._host = torch.zeros(1, spec.window_samples)
        if device.type == "cuda":
            self._host = self._host.pin_memory()
        self._samples = torch.zeros(1, spec.window_samples, device=device)
        self.output = torch.empty(0)

    @torch.inference_mode()
    def run(self, window: np.ndarray) -> None:
        """One hop, eagerly, until the device has done it."""
        self._host[0].copy_(torch.from_numpy(window))
        self._compute()
        if self._samples.is_cuda:
            torch.cuda.synchronize()

    def _compute(self) -> None:
        self._samples.copy_(self._host, non_blocking=True)
        self.output = self._model(self._samples)


class TorchGraphHop(TorchHop):
    """The same, captured once in a CUDA graph and replayed: no launch costs but one."""

    @torch.inference_mode()
    def capture(self) -> None:
        """Record the graph; only on a CUDA device."""
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                self._compute()
        side.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._compute()

    def run(self, window: np.ndarray) -> None:
        """One hop, until the device has done it."""
        self._host[0].copy_(torch.from_numpy(window))
        self._graph.replay()
        torch.cuda.synchronize()


def shared_bytes_per_frame(spec: FrontendSpec) -> int:
    """What `logmel_frames` reads and writes in shared memory for one frame; each term is a loop of the source."""
    half, tables = spec.n_fft // 2, build_tables(spec)
    middle_passes = 1 if half < 1024 else 2
    fft = 8 * half * (1 + 2 * middle_passes + 1)  # the first pass writes, the last reads
    bins = int((tables.jobs >> 16).sum())
    joined = 2 * 4 * len(tables.jobs)  # each job's two sums are read for two bands
    mel = 4 * half + 4 * bins + 8 * len(tables.jobs) + joined
    return fft + mel + (2 * 4 * spec.n_mels if spec.reference == "max" else 0)


def memory_bytes_per_frame(spec: FrontendSpec) -> int:
    """What must pass the device's memory for one frame: new samples once, the mel row twice, the input once."""
    return 4 * spec.hop_length + 3 * 4 * spec.n_mels
