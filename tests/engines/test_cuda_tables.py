"""The kernels' tables: the sparse mel bank is the bank, and every front end that a manifest may hold has them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engines.cuda.tables import BINS_PER_JOB, build_tables, kernel_constants
from engines.frontend import frontend_spec_from_mapping, mel_filterbank
from tests.cuda_cpu.sounds import SPECS, URBAN


def bank_from_tables(spec, tables):
    """The mel bank that the kernel's sums amount to."""
    bank = np.zeros((spec.n_mels, spec.n_fft // 2 + 1))
    first, count = tables.jobs & 0xFFFF, tables.jobs >> 16
    for band in range(spec.n_mels):
        for side, run in enumerate((band, band + 1)):
            for job in range(tables.runs[run], tables.runs[run + 1]):
                bins = np.arange(first[job], first[job] + count[job])
                bank[band, bins] += tables.weights[: count[job], job, side]
    return bank


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([256, 512, 1024, 2048, 4096]),
    st.integers(1, 512),
    st.floats(0.0, 20000.0),
    st.floats(0.0, 22050.0),
)
def test_sums_of_jobs_are_the_mel_bank(n_fft, n_mels, fmin_hz, fmax_hz):
    assume(fmin_hz < fmax_hz)
    fields = dict(URBAN._asdict(), sample_rate_hz=44100, n_fft=n_fft, win_length=n_fft, hop_length=100)
    spec = frontend_spec_from_mapping(dict(fields, n_mels=n_mels, fmin_hz=fmin_hz, fmax_hz=fmax_hz))
    bank = mel_filterbank(spec)
    tables = build_tables(spec)
    np.testing.assert_allclose(bank_from_tables(spec, tables), bank, atol=1e-6 * max(bank.max(), 1e-30))
    assert (tables.jobs >> 16).max() <= BINS_PER_JOB and len(tables.jobs) < n_fft // 2


@pytest.mark.parametrize("name", sorted(SPECS))
def test_tables_have_the_shapes_that_the_kernels_read(name):
    spec = SPECS[name]
    tables = build_tables(spec)
    constants = kernel_constants(spec, tables)
    assert tables.window.shape == (spec.n_fft,) and tables.runs.shape == (spec.n_mels + 2,)
    assert tables.weights.shape == (BINS_PER_JOB, constants["N_JOBS"], 2)
    half, first = spec.n_fft // 2, {128: 2, 256: 4, 512: 8, 1024: 2, 2048: 4}[spec.n_fft // 2]
    passes = [first, 8 * first] if half < 1024 else [first, 8 * first, 64 * first]
    assert passes[-1] == half // 8 and tables.twiddle.shape == (7 * sum(passes) + half, 2)
    for table in tables:
        assert table.dtype in (np.float32, np.int32) and table.flags["C_CONTIGUOUS"] and np.isfinite(table).all()
    assert constants["BLOCK"] & (constants["BLOCK"] - 1) == 0 and 64 <= constants["BLOCK"] <= 256
