"""Repeats what the host code asked of a device, in a process of its own: with changed kernels, or under sanitizers."""

import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from engines.cuda.device import CudaDevice
from engines.cuda.kernels import SOURCE, LogMelKernels
from engines.cuda.logmel import CudaLogMel
from engines.cuda.tables import build_tables, kernel_constants
from engines.frontend import FrontendSpec, compute_logmel, hz_from_mel, mel_from_hz
from tests.cuda_cpu.emulator import ORDERS, build, kernel_names
from tests.cuda_cpu.pycuda_stand_in import StandIn
from tests.cuda_cpu.sounds import URBAN

MAIN = Path(__file__).with_name("replay.h")
MODES = {
    "fibers": ["-O0"],
    "thread": ["-O1", "-g", "-DCUDA_CPU_THREADS", "-fsanitize=thread"],
    "address": ["-O1", "-g", "-DCUDA_CPU_THREADS", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
_TIMEOUT_S = 900.0  # a barrier that some threads never reach hangs where threads are the system's


class Case(NamedTuple):
    """A recording, and what must come out of it."""

    spec: FrontendSpec
    path: Path
    expected: np.ndarray


class Outcome(NamedTuple):
    """How a replay ended."""

    status: int  # None: it hung
    report: str  # what a sanitizer said
    error_db: float  # largest difference from the definition; NaN where there is no result


def record_stream(folder, name, spec, streams=1):
    """Let the host code hear sound until its rings have wrapped, and write down what it asked for.  Returns a Case."""

    def hear(device, samples):
        front_end = CudaLogMel(device, spec, streams)
        once = spec.window_samples + (spec.window_frames * 2 // 3) * spec.hop_length
        front_end.push(samples[:, :once])
        front_end.update_input()
        front_end.push(samples[:, once:])
        front_end.update_input()
        return front_end.input_pointer

    length = spec.window_samples + (2 * spec.window_frames - 1) * spec.hop_length
    samples = _sound(spec, length, streams)
    return _record(folder, name, spec, hear, samples, samples[:, -spec.window_samples :])


def record_batch(folder, name, spec, clips):
    """The same for clips that lie in the device's memory whole, with more frames than the window looks at."""
    before, after, first = 2, 3, 4  # frames beside the window, and the place of the first

    def hear(device, samples):
        kernels, rows = LogMelKernels(device, spec), before + spec.window_frames + after
        frame_db, mel_ring = device.allocate(4 * clips * rows), device.allocate(4 * clips * rows * spec.n_mels)
        result = device.allocate(4 * clips * spec.window_frames * spec.n_mels)
        kernels.compute_frames(
            device.place(samples), samples.shape[1], first, mel_ring, frame_db, rows, rows - 3, rows, clips
        )
        kernels.compute_window(mel_ring, frame_db, rows, (rows - 3 + before) % rows, result, clips)
        return result

    begin = first + before * spec.hop_length
    length = begin + spec.window_samples + after * spec.hop_length
    samples = _sound(spec, length + length % 2, clips)
    return _record(folder, name, spec, hear, samples, samples[:, begin : begin + spec.window_samples])


def record_cases(folder):
    """Cases in which every barrier and every bound of the kernels matters.  Returns {name: Case}."""
    small = URBAN._replace(n_fft=256, win_length=256, hop_length=100, n_mels=20, window_frames=13)
    return {
        "small": record_stream(folder, "small", small, streams=2),
        "odd": record_stream(folder, "odd", small._replace(hop_length=101, n_mels=40, window_frames=70)),
        "2048": record_stream(
            folder, "2048", small._replace(n_fft=2048, win_length=2048, hop_length=700, n_mels=64, window_frames=4)
        ),
        "long": record_stream(folder, "long", small._replace(hop_length=200, n_mels=8, window_frames=256)),
        "batch": record_batch(folder, "batch", small._replace(window_frames=35), clips=2),
    }


def replay(case, source, mode, order="forward"):
    """Run a recording with the kernels of a source.  Returns an Outcome."""
    names = kernel_names(source)
    table = "static int (*KERNELS[])(const unsigned *, const unsigned *, void **) = {%s};\n"
    main = table % ", ".join(name + "__launch" for name in names) + MAIN.read_text()
    program = build(source, kernel_constants(case.spec, build_tables(case.spec)), MODES[mode], main)
    command = [str(program), str(case.path), str(ORDERS[order]), "1"]
    if mode == "thread" and shutil.which("setarch"):  # ThreadSanitizer needs the address space as it used to be
        command = ["setarch", platform.machine(), "-R"] + command
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return Outcome(None, "", float("nan"))
    found = np.frombuffer(done.stdout, np.float32) if done.returncode == 0 else np.zeros(0, np.float32)
    error_db = float("nan")
    if found.size == case.expected.size:
        error_db = float(np.abs(found.reshape(case.expected.shape) - case.expected).max() / abs(case.spec.scale))
    return Outcome(done.returncode, done.stderr.decode(errors="replace"), error_db)


def logmel_source():
    """The kernels as they are."""
    return SOURCE.read_text(encoding="ascii")


def _sound(spec, length, streams):
    """Noise, and at the very end a tone in the last band that is louder than all before."""
    samples = np.random.RandomState(5).randn(streams, length) * 0.02
    limits_mel = mel_from_hz(np.array([spec.fmin_hz, spec.fmax_hz]))
    centre_hz = hz_from_mel(np.linspace(limits_mel[0], limits_mel[1], spec.n_mels + 2))[spec.n_mels]
    at_s = np.arange(spec.n_fft) / float(spec.sample_rate_hz)
    samples[:, -spec.n_fft :] += 0.8 * np.sin(2 * np.pi * centre_hz * at_s)
    return samples.astype(np.float32)


def _record(folder, name, spec, hear, samples, heard):
    stand_in, path = StandIn(block=1, recording=True), Path(str(folder)) / name
    with pytest.MonkeyPatch.context() as patch:
        for module, content in stand_in.modules().items():
            patch.setitem(sys.modules, module, content)
        with CudaDevice(folder) as device:
            result = hear(device, samples)
            device.synchronize()
            path.write_bytes(_encode(stand_in, result))
    return Case(spec, path, np.stack([compute_logmel(one, spec) for one in heard]))


def _encode(stand_in, result):
    addresses = sorted(stand_in.live)
    numbers = {address: number for number, address in enumerate(addresses)}
    parts = [struct.pack("=i", len(addresses))]
    parts += [struct.pack("=q", stand_in.live[address].n_bytes) for address in addresses]
    parts.append(struct.pack("=i", len(stand_in.recorded)))
    for operation in stand_in.recorded:
        if operation[0] == "copy":
            _, address, content = operation
            start = stand_in.start_of(address)
            parts.append(struct.pack("=ciqq", b"C", numbers[start], address - start, len(content)) + content)
        else:
            _, name, grid, block, kinds, values = operation
            kernel = kernel_names(logmel_source()).index(name)
            parts.append(struct.pack("=ciIIIi", b"L", kernel, grid[0], grid[1], block, len(values)))
            for kind, value in zip(kinds, values):
                if kind == "P":
                    start = stand_in.start_of(value)
                    parts.append(struct.pack("=ciq", b"P", numbers[start], value - start))
                else:
                    parts.append(struct.pack("=c" + kind, kind.encode(), value))
    parts.append(struct.pack("=i", numbers[result]))
    return b"".join(parts)
