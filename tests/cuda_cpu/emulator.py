"""Compiles a `.cu` file with g++ as it stands and starts its kernels on this processor."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HEADER = Path(__file__).with_name("cuda_cpu.h")
ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}
WHY_NOT = None if shutil.which("g++") else "g++ is not installed: the CUDA emulator cannot be built"
_KERNEL = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([\w, ]+\))?\s+(\w+)\(')
_FLAGS = ["-x", "c++", "-std=c++11", "-w", "-pthread", "-U_FORTIFY_SOURCE"]

_built = {}  # digest -> path, for this process
_folder = tempfile.TemporaryDirectory(prefix="cuda-cpu-")


class DivergentBarrierError(Exception):
    """Threads of one block waited at different barriers, or some at none."""


class Kernels:
    """The kernels of one source."""

    def __init__(self, source, constants, optimise="-O1"):
        path = build(source, constants, ["-shared", "-fPIC", optimise])
        self._library = ctypes.CDLL(str(path))
        self.set_order("forward")

    def set_order(self, order, seed=1):
        """The order in which a block's threads run from barrier to barrier."""
        self._library.cuda_cpu_set_order(ORDERS[order], ctypes.c_uint(seed))

    def launch(self, name, grid, block, arguments):
        """Run a kernel.  `arguments` are ctypes values of the kernel's types, addresses as c_void_p."""
        function = getattr(self._library, name + "__launch")
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(value) for value in arguments])
        if function((ctypes.c_uint * 2)(*grid), (ctypes.c_uint * 1)(block), pointers):
            raise DivergentBarrierError("%s: threads of a block waited at different barriers" % name)


def kernel_names(source):
    """Names of the kernels in a source, in order."""
    return _KERNEL.findall(source)


def build(source, constants, flags, main=""):
    """Compile to a library, or with `main` to a program.  Returns its path; the same call is answered from before."""
    exports = "".join("CUDA_CPU_EXPORT(%s)\n" % name for name in kernel_names(source))
    text = "%s\n%s%s" % (source, exports, main)
    options = list(flags) + ["-D%s=%d" % item for item in sorted(constants.items())]
    digest = hashlib.sha256(repr((text, options, HEADER.read_text())).encode()).hexdigest()[:24]
    if digest not in _built:
        target = os.path.join(_folder.name, digest)
        Path(target + ".cpp").write_text(text)
        command = ["g++"] + _FLAGS + ["-include", str(HEADER)] + options + ["-o", target, target + ".cpp"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        if done.returncode:
            raise ValueError("g++ refuses the kernels:\n" + done.stdout)
        _built[digest] = target
    return Path(_built[digest])
