"""The kernels compile for every device that the node runs on, within what those devices have.

Compiled by CUDA 12.9's NVRTC as C++11; a Jetson Nano's own compiler is CUDA 10.2's, which is not to be had here, so
that the source asks for nothing newer is argued (plain C, no library, no intrinsics), not proven.
"""

import sys

import pytest

from engines.cuda.kernels import SOURCE
from engines.cuda.tables import build_tables, kernel_constants
from tests.cuda_cpu.compile_gate import compile_for
from tests.cuda_cpu.sounds import URBAN

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="the compilers are installed for Python 3.10 on")
ARCHITECTURES = ("sm_53", "sm_62", "sm_72", "sm_87", "sm_90")  # Nano, TX2, Xavier, Orin; H100 and H200
LENGTHS = {n_fft: URBAN._replace(n_fft=n_fft, win_length=n_fft, hop_length=100) for n_fft in (256, 512, 2048, 4096)}
GATED = dict(LENGTHS, shipped=URBAN)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", GATED, ids=str)
def test_fits_the_device(name, arch):
    spec = GATED[name]
    constants = kernel_constants(spec, build_tables(spec))
    found = compile_for(arch, SOURCE.read_text(encoding="ascii"), constants)
    assert sorted(found) == ["logmel_frames", "logmel_window"]
    for resources in found.values():
        assert 0 < resources.registers <= 64
        assert 0 < resources.shared_bytes <= 48 * 1024
        assert resources.spill_bytes == 0 and resources.stack_bytes == 0


def test_the_gate_sees_spills_and_large_frames():
    source = """extern "C" __global__ void __launch_bounds__(1024, 1) large(float *x, int n)
    {
        float v[200];
        for (int i = 0; i < 200; i++) v[i] = x[i * n];
        for (int i = 0; i < 200; i++) x[i] = v[(i * n) % 200];
    }"""
    assert compile_for("sm_53", source, {})["large"].stack_bytes >= 800


def test_the_gate_says_what_the_compiler_says():
    with pytest.raises(ValueError, match="undeclared|undefined"):
        compile_for("sm_53", 'extern "C" __global__ void wrong(float *x) { *x = nothing; }', {})
