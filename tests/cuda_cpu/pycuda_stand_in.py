"""As much of PyCUDA as the node uses, on the emulator: strict where CUDA is, and as late as CUDA may be.

What is queued on a stream runs only when somebody waits for it, so a host buffer that is changed too early, or read
too soon, gives wrong numbers here. Memory is filled with NaN and fenced; every call needs a current context in its
thread; what was never freed is counted.
"""

import collections
import ctypes
import importlib.machinery
import struct
import threading
import types
import weakref

import numpy as np

from tests.cuda_cpu.emulator import Kernels

_FENCE_BYTES = 4096
_ALIGNMENT = 256  # of cuMemAlloc
_ALL_ONES = 0xFF  # as float32: NaN
_MAPPED = 2


class Error(Exception):
    """Base of PyCUDA's errors."""


class LogicError(Error):
    """A call that cannot be."""


class MemoryError(Error):  # noqa: A001 - PyCUDA's own name
    """cuMemAlloc failed."""


class CompileError(Error):
    """nvcc failed."""

    def __init__(self, msg, command_line, stdout=None, stderr=None):
        super().__init__(msg)
        self.msg, self.command_line, self.stdout, self.stderr = msg, command_line, stdout, stderr


class StandIn:
    """One emulated device and the PyCUDA that drives it.

    Args:
        integrated: whether the device shares the host's memory, as a Jetson's does.
        name, capability, driver_version: what the device says of itself.
        block: threads of each block instead of those asked for; 1 runs fast.
        order: of the threads between barriers.
        memory_bytes: of one allocation, at most.
        recording: keep copies and launches in `recorded`.
    """

    def __init__(
        self,
        integrated=False,
        block=None,
        order="forward",
        memory_bytes=1 << 30,
        recording=False,
        name="g++ on this processor",
        capability=(0, 1),
        driver_version=10020,
    ):
        self.name, self.capability, self.driver_version = name, capability, driver_version
        self.violations = []  # what a real driver might crash of, or silently forgive
        self.integrated, self.block, self.order, self.memory_bytes = integrated, block, order, memory_bytes
        self.live = {}  # address -> Memory
        self.streams = {}  # handle -> Stream
        self.contexts = 0  # retained and not released
        self.uploaded_bytes = 0  # behind streams, that is: without tables
        self.launches = collections.Counter()
        self.compilations = []  # (source, options, nvcc, cache_dir)
        self.recording = recording
        self.recorded = []  # ("copy", address, content) and ("launch", name, grid, block, kinds, values)
        self.context_class = None  # the driver's
        self.fault = ""  # set: what every call says from now on, as after an illegal access
        self.before_waiting = lambda: None  # called by whoever waits for the device
        self._current = threading.local()

    def modules(self):
        """For sys.modules: `pycuda` and what is in it."""
        driver, compiler = types.ModuleType("pycuda.driver"), types.ModuleType("pycuda.compiler")
        for name in ("init", "mem_alloc", "pagelocked_empty", "memcpy_htod", "memcpy_htod_async", "memcpy_dtoh_async"):
            setattr(driver, name, getattr(self, name))
        for error in (Error, LogicError, MemoryError, CompileError):
            setattr(driver, error.__name__, error)
        for kind in (Device, Context, Stream, Event):
            setattr(driver, kind.__name__, self._bound(kind))
        self.context_class = driver.Context
        driver.device_attribute = types.SimpleNamespace(INTEGRATED=18)
        driver.host_alloc_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=_MAPPED, WRITECOMBINED=4)
        driver.get_driver_version = lambda: self.driver_version
        compiler.SourceModule = self._bound(SourceModule)
        package = types.ModuleType("pycuda")
        package.__spec__ = importlib.machinery.ModuleSpec("pycuda", None)  # whoever looks whether it is there sees it
        package.driver, package.compiler = driver, compiler
        return {"pycuda": package, "pycuda.driver": driver, "pycuda.compiler": compiler}

    def init(self):
        """cuInit."""

    def mem_alloc(self, n_bytes):
        """Device memory."""
        self.need_context()
        if not 0 < n_bytes <= self.memory_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return Allocation(Memory(self, n_bytes, on_device=True))

    def pagelocked_empty(self, shape, dtype, order="C", mem_flags=0):
        """Page-locked host memory; the device sees it only where the flags say so."""
        self.need_context()
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        locked = Memory(self, n_bytes, on_device=bool(mem_flags & _MAPPED)).locked()
        return np.ndarray(shape, dtype, buffer=locked, order=order)

    def memcpy_htod(self, address, source):
        """Copy now."""
        source = np.ascontiguousarray(source)
        ctypes.memmove(self.check(address, source.nbytes), source.ctypes.data, source.nbytes)
        if self.recording:
            self.recorded.append(("copy", address, source.tobytes()))

    def memcpy_htod_async(self, address, source, stream):
        """Copy when the stream comes to it, from page-locked memory."""
        self.need_locked(source)
        self.uploaded_bytes += source.nbytes
        stream.queue(lambda: self.memcpy_htod(address, source))

    def memcpy_dtoh_async(self, target, address, stream):
        """Copy when the stream comes to it, into page-locked memory."""
        self.need_locked(target)
        stream.queue(lambda: ctypes.memmove(target.ctypes.data, self.check(address, target.nbytes), target.nbytes))

    def check(self, address, n_bytes=1):
        """The address, if the device owns what is there."""
        self.start_of(address, n_bytes)
        return address

    def start_of(self, address, n_bytes=1):
        """Where the allocation begins that holds this."""
        for start, memory in self.live.items():
            if memory.on_device and start <= address and address + n_bytes <= start + memory.n_bytes:
                return start
        raise LogicError("an illegal memory access was encountered: %#x" % address)

    @property
    def has_context(self):
        """Whether one is current in this thread."""
        return getattr(self._current, "depth", 0) > 0

    def need_context(self):
        """cuCtxGetCurrent."""
        if not self.has_context:
            raise LogicError("invalid device context - no currently active context?")
        if self.fault:
            raise LogicError(self.fault)

    def need_locked(self, array):
        """Only page-locked memory is copied while the host goes on."""
        self.need_context()
        base = array
        while type(base) is np.ndarray:
            base = base.base
        if not isinstance(base, Locked) or not array.flags["C_CONTIGUOUS"]:
            raise LogicError("invalid argument: memory that is not page-locked and contiguous")

    def change_depth(self, by):
        """cuCtxPushCurrent and cuCtxPopCurrent."""
        depth = getattr(self._current, "depth", 0) + by
        if depth < 0:
            raise LogicError("context stack is empty")
        if not depth and self.live:
            self.violations.append("%d allocations outlive their context" % len(self.live))
        self._current.depth = depth

    def _bound(self, kind):
        return type(kind.__name__, (kind,), {"owner": self})


class Memory:
    """A fenced allocation full of NaN."""

    def __init__(self, owner, n_bytes, on_device):
        self._owner, self.n_bytes, self.on_device = owner, n_bytes, on_device
        self._whole = (ctypes.c_uint8 * (n_bytes + 2 * _FENCE_BYTES + _ALIGNMENT))()
        self._start = start = _FENCE_BYTES + -(ctypes.addressof(self._whole) + _FENCE_BYTES) % _ALIGNMENT
        values = np.ndarray((len(self._whole),), np.uint8, buffer=self._whole)
        values[:] = _ALL_ONES
        self.inside = values[start : start + n_bytes]
        self._fences = (values[:start], values[start + n_bytes :])
        self.address = self.inside.ctypes.data
        owner.live[self.address] = self

    def locked(self):
        """Page-locked, as the host has it; let go with the last reference to it."""
        # its base is no array, so NumPy keeps it as the base of what is made on it, as PyCUDA's arrays have theirs
        array = np.ndarray.__new__(Locked, (self.n_bytes,), np.uint8, self._whole, self._start)
        array.memory = self
        self.free_with(array)
        return array

    def free_with(self, handle):
        """Free once nobody holds the handle any more, as PyCUDA's destructors do."""
        weakref.finalize(handle, self._forget).atexit = False

    def free(self):
        """cuMemFree; where the device has failed PyCUDA only warns."""
        if not self._owner.has_context:
            raise LogicError("invalid device context - no currently active context?")
        self.need_fences()
        if self._owner.live.pop(self.address, None) is not self:
            raise LogicError("freed twice: %#x" % self.address)

    def need_fences(self):
        """Nobody wrote beside it."""
        if any((fence != _ALL_ONES).any() for fence in self._fences):
            raise LogicError("an illegal memory access was encountered: beside %#x" % self.address)

    def _forget(self):
        if self._owner.live.get(self.address) is self:
            if not self._owner.has_context:
                self._owner.violations.append("memory let go without a context")
            del self._owner.live[self.address]


class Allocation:
    """What cuMemAlloc gave."""

    def __init__(self, memory):
        self._memory = memory
        memory.free_with(self)

    def __int__(self):
        return self._memory.address

    def free(self):
        """cuMemFree."""
        self._memory.free()


class Locked(np.ndarray):
    """What PyCUDA's page-locked arrays have as their base."""

    memory = None

    def free(self):
        """cuMemFreeHost."""
        self.memory.free()

    def get_device_pointer(self):
        """cuMemHostGetDevicePointer."""
        if not self.memory.on_device:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self.memory.address


class Device:
    """The one device."""

    owner = None

    def __init__(self, ordinal):
        if ordinal != 0:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    @staticmethod
    def count():
        """As cuDeviceGetCount."""
        return 1

    def name(self):
        """As cuDeviceGetName."""
        return self.owner.name

    def compute_capability(self):
        """Of nobody, unless told otherwise."""
        return self.owner.capability

    def total_memory(self):
        """As cuDeviceTotalMem."""
        return self.owner.memory_bytes

    def get_attribute(self, attribute):
        """INTEGRATED alone is asked for."""
        assert attribute == 18
        return int(self.owner.integrated)

    def retain_primary_context(self):
        """cuDevicePrimaryCtxRetain."""
        return self.owner.context_class()


class Context:
    """The primary context, retained once."""

    owner = None

    def __init__(self):
        self._retained = True
        self.owner.contexts += 1

    def push(self):
        """Make it current here."""
        self.owner.change_depth(+1)

    @classmethod
    def pop(cls):
        """Make the current one current no more."""
        cls.owner.change_depth(-1)

    @classmethod
    def synchronize(cls):
        """Do everything that any stream holds."""
        cls.owner.need_context()
        for stream in list(cls.owner.streams.values()):
            stream.synchronize()

    def detach(self):
        """Let it go."""
        assert self._retained
        self._retained = False
        self.owner.contexts -= 1


class Stream:
    """Work that waits for somebody to wait for it."""

    owner = None

    def __init__(self, flags=0):
        self.owner.need_context()
        self.handle = id(self)
        self.owner.streams[self.handle] = self
        self._work = collections.deque()
        self.queued = self._done = 0

    def queue(self, work):
        """Add work."""
        self._work.append(work)
        self.queued += 1

    def run_until(self, done):
        """Do work until so much is done in all."""
        while self._done < done:
            self._done += 1
            self._work.popleft()()

    def synchronize(self):
        """Do everything."""
        self.owner.need_context()
        self.owner.before_waiting()
        self.run_until(self.queued)


class Event:
    """A place in a stream."""

    owner = None

    def __init__(self, flags=0):
        self.owner.need_context()
        self._stream, self._at = None, 0

    def record(self, stream=None):
        """Here."""
        self._stream, self._at = stream, stream.queued
        return self

    def synchronize(self):
        """Do what comes before it."""
        self.owner.need_context()
        self.owner.before_waiting()
        self._stream.run_until(self._at)


class SourceModule:
    """Compiled by g++."""

    owner = None

    def __init__(self, source, nvcc="nvcc", options=None, no_extern_c=False, cache_dir=None):
        assert no_extern_c
        self.owner.need_context()
        self.owner.compilations.append((source, options, nvcc, cache_dir))
        constants = dict(option[2:].split("=") for option in options)
        try:
            self._kernels = Kernels(source, {name: int(value) for name, value in constants.items()})
        except ValueError as error:
            raise CompileError("nvcc compilation of kernel.cu failed", [nvcc], stderr=str(error)) from error

    def get_function(self, name):
        """A kernel by name."""
        return Function(self.owner, self._kernels, name)


class Function:
    """A kernel, prepared with the types of its arguments."""

    def __init__(self, owner, kernels, name):
        self._owner, self._kernels, self._name = owner, kernels, name
        self._format = ""

    def prepare(self, arg_types):
        """Characters as in `struct`."""
        self._format = arg_types
        return self

    def prepared_async_call(self, grid, block, stream, *arguments):
        """Queue a launch."""
        self._owner.need_context()
        struct.pack(self._format, *arguments)  # PyCUDA's complaint about a wrong type or number
        if not (0 < grid[0] < 2**31 and 0 < grid[1] < 2**16 and block[1:] == (1, 1) and 0 < block[0] <= 1024):
            raise LogicError("cuLaunchKernel failed: invalid argument: grid %s, block %s" % (grid, block))
        kinds = {"P": ctypes.c_void_p, "i": ctypes.c_int, "f": ctypes.c_float}
        for kind, value in zip(self._format, arguments):
            if kind == "P":
                self._owner.check(value)
        values = [kinds[kind](value) for kind, value in zip(self._format, arguments)]
        if self._owner.recording:
            launch = ("launch", self._name, grid, block[0], self._format, arguments)
            stream.queue(lambda: self._owner.recorded.append(launch))
        stream.queue(lambda: self._run(grid, self._owner.block or block[0], values))

    def _run(self, grid, block, values):
        self._owner.launches[self._name] += 1
        self._kernels.set_order(self._owner.order)
        self._kernels.launch(self._name, grid, block, values)
        for memory in self._owner.live.values():
            memory.need_fences()
