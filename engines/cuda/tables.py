"""What the kernels read: window, twiddle factors and the mel bank as runs of bins, computed once in float64."""

from typing import Dict, List, NamedTuple

import numpy as np

from engines.errors import FrontendError
from engines.frontend import FrontendSpec, analysis_window, mel_filterbank

BINS_PER_JOB = 8  # more make threads wait for the widest band's, fewer make more sums to join
_ROUNDING = 1e-12  # of the largest weight; nothing that float32 could tell from zero


class LogMelTables(NamedTuple):
    """Arrays as `logmel.cu` takes them."""

    window: np.ndarray  # float32 [n_fft]: the analysis window
    twiddle: np.ndarray  # float32 [?, 2]: seven for each place of each radix-8 pass, then exp(-2 pi i k / n_fft)
    jobs: np.ndarray  # int32 [n_jobs]: first bin, and number of bins << 16
    runs: np.ndarray  # int32 [n_mels + 2]: first job of each run; band b rises over run b and falls over run b + 1
    weights: np.ndarray  # float32 [BINS_PER_JOB, n_jobs, 2]: rising and falling triangle at each bin


def build_tables(spec: FrontendSpec) -> LogMelTables:
    """Compute what the kernels read for a front end.

    Raises:
        FrontendError: a bin lies under other than two neighbouring bands; Slaney's triangles never do.
    """
    bank = mel_filterbank(spec)
    bank[bank < _ROUNDING * bank.max()] = 0.0  # at a band's very edge
    run_of_bin = _find_runs(bank)
    jobs: List[int] = []
    runs = np.zeros(spec.n_mels + 2, np.int32)
    weights = np.zeros((BINS_PER_JOB, len(run_of_bin) + 1, 2))
    for run in range(spec.n_mels):
        bins = np.flatnonzero(run_of_bin == run)
        runs[run] = len(jobs)
        for first in range(0, len(bins), BINS_PER_JOB):
            part = bins[first : first + BINS_PER_JOB]
            weights[: len(part), len(jobs), 0] = bank[run, part]
            weights[: len(part), len(jobs), 1] = bank[run - 1, part] if run else 0.0
            jobs.append(int(part[0]) | len(part) << 16)
    runs[spec.n_mels :] = len(jobs)
    jobs = jobs or [0]  # a bank without any bin: one job of none
    return LogMelTables(
        analysis_window(spec).astype(np.float32),
        _twiddle_factors(spec.n_fft),
        np.array(jobs, np.int32),
        runs,
        np.ascontiguousarray(weights[:, : len(jobs)], np.float32),
    )


def kernel_constants(spec: FrontendSpec, tables: LogMelTables) -> Dict[str, int]:
    """The macros that `logmel.cu` is compiled with."""
    return {
        "N_FFT": spec.n_fft,
        "HOP": spec.hop_length,
        "N_MELS": spec.n_mels,
        "N_JOBS": len(tables.jobs),
        "WINDOW_FRAMES": spec.window_frames,
        "REFERENCE_MAX": int(spec.reference == "max"),
        "BLOCK": frames_block(spec),
    }


def frames_block(spec: FrontendSpec) -> int:
    """Threads that share one frame: one butterfly of radix 8 for each, but two warps at least."""
    return max(64, spec.n_fft // 16)


def _find_runs(bank: np.ndarray) -> np.ndarray:
    """The uppermost band over each bin, -1 where there is none.  Shape [n_fft // 2 + 1]."""
    n_mels = len(bank)
    run_of_bin = np.where(bank.any(axis=0), n_mels - 1 - np.argmax(bank[::-1] > 0, axis=0), -1)
    band = np.arange(n_mels)[:, None]
    outside = (bank > 0) & (band != run_of_bin) & (band != run_of_bin - 1)
    used = run_of_bin[run_of_bin >= 0]
    if outside.any() or (np.diff(used) < 0).any() or bank[:, [0, -1]].any():
        raise FrontendError("the mel bank has bins under other than two neighbouring bands; the kernels cannot sum it")
    return run_of_bin


def _twiddle_factors(n_fft: int) -> np.ndarray:
    half = n_fft // 2
    done = {0: 8, 1: 2, 2: 4}[int(np.log2(half)) % 3]  # radix of the first pass; all others are 8
    angles = []
    while done < half:
        for power in range(1, 8):
            angles.append(np.arange(done) * power / float(8 * done))
        done *= 8
    angles.append(np.arange(half) / float(n_fft))
    turns = -2.0 * np.pi * np.concatenate(angles)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
