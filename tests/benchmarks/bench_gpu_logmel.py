"""Log-mel on an NVIDIA device against torchaudio's on the same device: one hop, and a batch of whole windows.

One hop is timed from samples in the host's memory to the network's input on the device. Ours uploads what is new;
torchaudio's gets the whole window, eagerly and in a CUDA graph. The batch lies on the device already. The kernel's
bound is shared memory: its share of what a copy kernel reaches in the same run is reported, and DRAM's beside it.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gpu_contestants import (
    OurBatch,
    OurHop,
    SharedCopy,
    TorchGraphHop,
    TorchHop,
    TorchLogMel,
    memory_bytes_per_frame,
    shared_bytes_per_frame,
)
from report import Report, build_parser, quantile
from street import load_street

from edge.config import SHIPPED_BUNDLE
from engines.bundle import load_bundle
from engines.cuda.device import CudaDevice
from engines.errors import RuntimeUnavailableError
from engines.frontend import FrontendSpec

_HOP_S = 1.0
_WARM_UP = 50
_COPY_BLOCKS, _COPY_ROUNDS = 132 * 64, 4000


def main() -> None:
    """Run the contest and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=1000, help="hops (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=4096, help="of the batch (default: %(default)s)")
    arguments = parser.parse_args()
    spec = load_bundle(SHIPPED_BUNDLE).frontend
    with tempfile.TemporaryDirectory() as folder:
        try:
            devices = [CudaDevice(Path(folder), mapped=mapped) for mapped in (False, True)]
            with devices[0] as copying, devices[1] as mapping:
                if not torch.cuda.is_available():
                    raise RuntimeUnavailableError("PyTorch sees no CUDA device; torchaudio could not compete")
                report = Report(f"Log-mel on {copying.describe()}", ["torch", "torchaudio", "pycuda", "numpy"])
                measure_hops(report, spec, copying, mapping, arguments.repetitions)
                measure_batch(report, spec, copying, arguments.windows)
        except RuntimeUnavailableError as error:
            print(f"\nLog-mel on a GPU: not run ({error})")
            return
    report.write(as_json=arguments.json)


def measure_hops(report: Report, spec: FrontendSpec, copying: CudaDevice, mapping: CudaDevice, times: int) -> None:
    """One hop, the contestants in turns on the same sound."""
    sound = load_street(spec.sample_rate_hz)
    hop = round(_HOP_S * spec.frames_per_s) * spec.hop_length
    ours = {"ours, copied up": OurHop(copying, spec, sound[: spec.window_samples])}
    ours["ours, read in place"] = OurHop(mapping, spec, sound[: spec.window_samples])
    eager, graph = TorchHop(spec, torch.device("cuda")), TorchGraphHop(spec, torch.device("cuda"))
    graph.capture()
    theirs = {"torchaudio, eager": eager, "torchaudio, CUDA graph": graph}
    times_s: dict[str, list[float]] = {name: [] for name in [*ours, *theirs]}
    end, difference_db = spec.window_samples, 0.0
    for round_number in range(_WARM_UP + times):
        end = end + hop if end + hop <= len(sound) else spec.window_samples
        new, window = sound[end - hop : end], sound[end - spec.window_samples : end]
        runs = [(name, partial(one.run, new)) for name, one in ours.items()]
        runs += [(name, partial(one.run, window)) for name, one in theirs.items()]
        for name, run in runs:
            began_s = time.perf_counter()
            run()
            if round_number >= _WARM_UP:
                times_s[name].append(time.perf_counter() - began_s)
        if 3 <= round_number < 8:  # until the street repeats, all have heard the same
            for one in ours.values():
                off = np.abs(one.read() - eager.output[0].cpu().numpy()).max() / abs(spec.scale)
                difference_db = max(difference_db, float(off))
    for name, values in times_s.items():
        report.add_row(name, values, "us", 1e6)
    best = min(quantile(times_s[name], 0.5) for name in ours)
    for name in theirs:
        report.add_figure(f"{name} / ours, one hop", quantile(times_s[name], 0.5) / best, "times", at_least=3.0)
    report.add_figure("largest difference from torchaudio", difference_db, "dB", below=5e-3)


def measure_batch(report: Report, spec: FrontendSpec, device: CudaDevice, windows: int) -> None:
    """Whole windows on the device, and what the device could do at best."""
    generator = torch.Generator("cuda").manual_seed(0)
    samples_each = spec.window_samples + spec.window_samples % 2
    samples = torch.randn(windows, samples_each, device="cuda", generator=generator) * 0.1
    torch.cuda.synchronize()
    batch = OurBatch(device, spec, windows)

    def run_ours() -> None:
        batch.run(samples.data_ptr(), samples_each)
        device.synchronize()

    model = TorchLogMel(spec).to("cuda")
    chunks = [size for size in (64, 256, 1024, 4096) if size <= windows] or [windows]
    ours_s = best_of(run_ours)
    theirs_s = min(best_of(lambda size=size: run_in_chunks(model, samples, spec, size)) for size in chunks)
    frames_hz = windows * spec.window_frames / ours_s
    copy, copied = SharedCopy(device, _COPY_BLOCKS), torch.empty_like(samples)

    def run_copy() -> None:
        copy.run(_COPY_ROUNDS)
        device.synchronize()

    def run_memory_copy() -> None:
        copied.copy_(samples)
        torch.cuda.synchronize()

    shared_bytes_hz = copy.run(1) * _COPY_ROUNDS / best_of(run_copy)
    memory_bytes_hz = 2 * 4 * samples.numel() / best_of(run_memory_copy)
    report.add_figure(f"torchaudio / ours, {windows} windows", theirs_s / ours_s, "times", at_least=2.0)
    report.add_figure(f"ours, {windows} windows", ours_s * 1e3, "ms")
    report.add_figure("ours, per frame", 1e9 / frames_hz, "ns")
    shared, memory = shared_bytes_per_frame(spec), memory_bytes_per_frame(spec)
    report.add_figure("shared memory of a frame", shared / 1024, "KiB")
    report.add_figure("share of the shared-memory copy's rate", 100 * frames_hz * shared / shared_bytes_hz, "%")
    report.add_figure("share of the DRAM copy's rate", 100 * frames_hz * memory / memory_bytes_hz, "%")
    report.add_figure("shared-memory copy", shared_bytes_hz / 1e12, "TB/s")
    report.add_figure("DRAM copy", memory_bytes_hz / 1e12, "TB/s")
    report.add_remark(
        "A frame also reads window, twiddle factors and weights through the same L1; they are not counted."
    )
    report.add_remark("torchaudio's batch in the chunks that suit it best: " + ", ".join(map(str, chunks)))


@torch.inference_mode()
def run_in_chunks(model: TorchLogMel, samples: torch.Tensor, spec: FrontendSpec, size: int) -> None:
    """torchaudio on all windows, so many at once; out of memory is no candidate."""
    for chunk in samples.split(size):
        model(chunk[:, : spec.window_samples])
    torch.cuda.synchronize()


def best_of(run: Callable[[], None], rounds: int = 10) -> float:
    """Seconds of the quickest of some runs, after two that warm up; infinite where memory does not suffice."""
    try:
        times_s = []
        for _ in range(rounds + 2):
            began_s = time.perf_counter()
            run()
            times_s.append(time.perf_counter() - began_s)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return float("inf")
    return min(times_s[2:])


if __name__ == "__main__":
    main()
