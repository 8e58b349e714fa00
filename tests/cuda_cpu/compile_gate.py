"""Compiles CUDA C for real devices without one: NVRTC to PTX, ptxas to machine code, both from PyPI.

NVRTC 12.9 is the last that knows a Jetson Nano (sm_53). CUDA 10.2's own compiler cannot be had here.
"""

import ctypes
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple


class Resources(NamedTuple):
    """What a kernel takes of a multiprocessor."""

    registers: int  # of each thread
    shared_bytes: int  # of each block
    spill_bytes: int  # to local memory
    stack_bytes: int


def compile_for(arch, source, constants):
    """Compile for one architecture, as in "sm_53".  Returns {kernel: Resources}."""
    ptx = _ptx_from_source(arch.replace("sm", "compute"), source, constants)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernels.ptx").write_bytes(ptx)
        command = [str(_package_folder("cuda_nvcc") / "bin" / "ptxas"), "-v", "-arch=" + arch, "kernels.ptx"]
        done = subprocess.run(
            command + ["-o", "kernels.cubin"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
    if done.returncode:
        raise ValueError("ptxas refuses the kernels for %s:\n%s" % (arch, done.stdout))
    found = {}
    for part in done.stdout.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)' for '%s'" % arch, part).group(1)
        found[name] = Resources(
            _number(r"Used (\d+) registers", part),
            _number(r"(\d+) bytes smem", part),
            _number(r"(\d+) bytes spill stores", part) + _number(r"(\d+) bytes spill loads", part),
            _number(r"(\d+) bytes stack frame", part),
        )
    return found


def _number(pattern, text):
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0


def _ptx_from_source(arch, source, constants):
    library = ctypes.CDLL(str(_package_folder("cuda_nvrtc") / "lib" / "libnvrtc.so.12"))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode("ascii"), b"logmel.cu", 0, None, None)
    options = ["--gpu-architecture=" + arch, "--std=c++11"] + ["-D%s=%d" % item for item in constants.items()]
    encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    if library.nvrtcCompileProgram(program, len(options), encoded):
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        raise ValueError("NVRTC refuses the kernels for %s:\n%s" % (arch, log.value.decode()))
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, ptx)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value


def _package_folder(name):
    place = importlib.util.find_spec("nvidia." + name)
    return Path(next(iter(place.submodule_search_locations)))
