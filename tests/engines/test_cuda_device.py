"""What is missing for CUDA, and how each is told: one line that says how to mend it."""

import importlib.abc
import os
import sys
import threading
import time

import pytest

from engines.cuda.device import CudaDevice, find_nvcc
from engines.cuda.gpu_thread import GpuThread
from engines.errors import RuntimeUnavailableError
from tests.cuda_cpu.emulator import WHY_NOT
from tests.cuda_cpu.pycuda_stand_in import LogicError, StandIn

needs_compiler = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
NOTHING = 'extern "C" __global__ void nothing(float *out) { out[threadIdx.x] = SIZE; }'


@pytest.fixture
def stand_in(monkeypatch):
    found = StandIn()
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


class Refusing(importlib.abc.MetaPathFinder):
    """PyCUDA's import ends with this error."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "pycuda" or name.startswith("pycuda."):
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'pycuda'", name="pycuda"),
        ImportError("libcuda.so.1: cannot open shared object file", name="pycuda._driver"),
    ],
)
def test_pycuda_or_the_driver_missing(monkeypatch, tmp_path, error):
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(error)] + sys.meta_path)
    with pytest.raises(RuntimeUnavailableError, match="PyCUDA.*%s.*pip install pycuda" % error):
        CudaDevice(tmp_path).open()


def test_no_device(stand_in, monkeypatch):
    def refuse():
        raise LogicError("cuInit failed: no CUDA-capable device is detected")

    monkeypatch.setattr(sys.modules["pycuda.driver"], "init", refuse)
    with pytest.raises(RuntimeUnavailableError, match="no CUDA-capable device.*group video"):
        CudaDevice("kernels").open()


def test_no_such_device(stand_in, tmp_path):
    with pytest.raises(RuntimeUnavailableError, match="1 devices and no number 3"):
        CudaDevice(tmp_path, ordinal=3).open()
    assert stand_in.contexts == 0


def test_a_device_that_fails_while_opening_holds_nothing(stand_in, monkeypatch, tmp_path):
    class NoStream:
        def __init__(self):
            raise LogicError("cuStreamCreate failed: operation not supported")

    monkeypatch.setattr(sys.modules["pycuda.driver"], "Stream", NoStream)
    device = CudaDevice(tmp_path)
    with pytest.raises(RuntimeUnavailableError, match="operation not supported"):
        device.open()
    device.close()
    assert stand_in.contexts == 0
    with pytest.raises(LogicError):
        stand_in.need_context()


def test_nvcc_is_found_on_the_path_then_by_variable_then_in_the_toolkit(monkeypatch, tmp_path):
    for place in ("path", "home", "toolkit"):
        compiler = tmp_path / place / "bin" / "nvcc"
        compiler.parent.mkdir(parents=True)
        compiler.write_text("#!/bin/sh\n")
        compiler.chmod(0o755)
    toolkit = str(tmp_path / "toolkit")
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert find_nvcc(toolkit) == str(tmp_path / "path" / "bin" / "nvcc")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_nvcc(toolkit) == str(tmp_path / "home" / "bin" / "nvcc")
    monkeypatch.delenv("CUDA_HOME")
    assert find_nvcc(toolkit) == os.path.join(toolkit, "bin", "nvcc")


def test_no_nvcc_anywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CUDA_HOME", "CUDA_ROOT", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeUnavailableError, match="neither on the PATH nor in .*cuda-nvcc.*CUDA_HOME") as told:
        find_nvcc(str(tmp_path / "cuda"))
    assert "\n" not in str(told.value)


@pytest.fixture
def device(stand_in, monkeypatch, tmp_path):
    """Open, with something on the PATH that is called nvcc."""
    compiler = tmp_path / "nvcc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    with CudaDevice(tmp_path / "state" / "kernels") as device:
        yield device


@needs_compiler
def test_kernels_are_kept_where_the_caller_says(device, stand_in, tmp_path):
    device.compile(NOTHING, {"SIZE": 3})
    source, options, nvcc, cache_dir = stand_in.compilations[-1]
    assert (source, options, nvcc) == (NOTHING, ["-DSIZE=3"], str(tmp_path / "nvcc"))
    assert cache_dir == str(tmp_path / "state" / "kernels") and os.path.isdir(cache_dir)


@needs_compiler
def test_what_the_compiler_complains_of_is_told_in_one_line(device):
    with pytest.raises(RuntimeUnavailableError, match="compiling the kernels.*error.*SIZE") as told:
        device.compile(NOTHING, {})
    assert "\n" not in str(told.value)


def test_a_cache_that_cannot_be_written_is_named(stand_in, device, tmp_path):
    (tmp_path / "file").write_text("")
    with CudaDevice(tmp_path / "file" / "kernels") as elsewhere:
        with pytest.raises(RuntimeUnavailableError, match="file/kernels.*must be writable"):
            elsewhere.compile(NOTHING, {"SIZE": 3})


def test_only_the_thread_that_opened_it_may_use_it(device):
    complaints = []

    def use():
        try:
            device.allocate(4)
        except RuntimeError as error:
            complaints.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(complaints) == 1 and "another thread" in complaints[0]


def test_the_gpus_thread_gives_back_answers_and_errors():
    thread = GpuThread("gpu-test")
    thread.start()
    assert thread.call(lambda: threading.current_thread().name) == "gpu-test"
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 // 0)
    assert thread.call(lambda: 7) == 7
    assert thread.close()
    with pytest.raises(RuntimeUnavailableError, match="has ended"):
        thread.call(lambda: 7)


def test_a_device_that_hangs_is_told_and_waited_for_once():
    thread, go_on, released = GpuThread("gpu-test"), threading.Event(), threading.Event()
    thread.start()
    began_s = time.monotonic()
    with pytest.raises(RuntimeUnavailableError, match=r"not answered for 0\.2 s"):
        thread.call(lambda: go_on.wait(600), timeout_s=0.2)
    with pytest.raises(RuntimeUnavailableError, match="not answered for"):
        thread.call(lambda: 7, timeout_s=600)
    assert not thread.close(released.set, timeout_s=600) and not released.is_set()
    assert time.monotonic() - began_s < 300
    go_on.set()
    assert released.wait(300), "what it held is let go when it comes back"


def test_closing_raises_what_the_last_call_raises():
    thread = GpuThread("gpu-test")
    thread.start()
    with pytest.raises(ZeroDivisionError):
        thread.close(lambda: 1 // 0)


def test_an_errors_own_timeout_is_not_taken_for_a_hang():
    thread = GpuThread("gpu-test")
    thread.start()

    def run_out():
        raise TimeoutError("the function's own")

    with pytest.raises(TimeoutError, match="the function's own"):
        thread.call(run_out)
    assert thread.close()
