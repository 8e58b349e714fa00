"""Stand-in for pycuda.driver: host memory behind device pointers, streams that work when synchronised."""

import ctypes
import os
import threading

import numpy as np

_THREAD = threading.local()
_LIVE = {}  # address -> bytes
_STREAMS = {}  # handle -> queued work
violations = []  # what a real driver might crash of, or silently forgive


class Error(Exception):
    pass


class LogicError(Error):
    pass


class MemoryError(Error):  # noqa: A001 -- PyCUDA's own name
    pass


class host_alloc_flags:  # noqa: N801
    PORTABLE, DEVICEMAP, WRITECOMBINED = 1, 2, 4


def faults():
    return os.environ.get("STAND_IN_FAULTS", "").split(",")


def init():
    if "no_device" in faults():
        raise LogicError("cuInit failed: no CUDA-capable device is detected")


def get_driver_version():
    return int(os.environ.get("STAND_IN_DRIVER", "10020"))


def require_current():
    """The current context of this thread, as every call needs it."""
    stack = getattr(_THREAD, "stack", [])
    if not stack:
        raise LogicError("invalid device context: no currently active context")
    return stack[-1]


class Device:
    def __init__(self, index):
        assert index == 0

    @staticmethod
    def count():
        return 0 if "no_gpu" in faults() else 1

    def name(self):
        return os.environ.get("STAND_IN_DEVICE", "NVIDIA Tegra X1")

    def compute_capability(self):
        return tuple(int(part) for part in os.environ.get("STAND_IN_CAPABILITY", "5.3").split("."))

    def total_memory(self):
        return 4 << 30

    def retain_primary_context(self):
        return Context()


class Context:
    def push(self):
        _THREAD.stack = getattr(_THREAD, "stack", []) + [self]

    @staticmethod
    def pop():
        require_current()
        if _LIVE:
            violations.append("%d allocations outlive their context" % len(_LIVE))
        _THREAD.stack = _THREAD.stack[:-1]

    @staticmethod
    def synchronize():
        require_current()
        if "device_lost" in faults():
            raise LogicError("cuCtxSynchronize failed: an illegal memory access was encountered")
        for queue in _STREAMS.values():
            while queue:
                queue.pop(0)()


class Stream:
    def __init__(self):
        require_current()
        self.handle = id(self)
        _STREAMS[self.handle] = []

    def synchronize(self):
        require_current()
        work = _STREAMS[self.handle]
        while work:
            work.pop(0)()

    def __del__(self):
        _STREAMS.pop(getattr(self, "handle", None), None)


def queue_on(stream_handle, work):
    """Do this once the stream is synchronised.  Returns whether there is such a stream."""
    if stream_handle not in _STREAMS:
        return False
    _STREAMS[stream_handle].append(work)
    return True


def is_live(pointer, size):
    """Whether so many bytes from there on were allocated and not yet let go."""
    return any(start <= pointer and pointer + size <= start + length for start, length in _LIVE.items())


class _Allocation:
    def __init__(self, size):
        require_current()
        if "no_device_memory" in faults():
            raise MemoryError("cuMemAlloc failed: out of memory")
        self._block = np.zeros(size + 256, np.uint8)
        self._address = self._block.ctypes.data + (-self._block.ctypes.data) % 256
        self._size = size
        _LIVE[self._address] = size

    def __del__(self):
        if _LIVE.pop(getattr(self, "_address", None), None) is not None and not getattr(_THREAD, "stack", []):
            violations.append("memory let go without a context")


class DeviceAllocation(_Allocation):
    def __int__(self):
        return self._address


class PagelockedHostAllocation(_Allocation):
    def __init__(self, shape, dtype):
        _Allocation.__init__(self, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self.__array_interface__ = {
            "shape": tuple(shape),
            "typestr": np.dtype(dtype).str,
            "data": (self._address, False),
            "version": 3,
        }

    def get_device_pointer(self):
        return self._address


def mem_alloc(size):
    return DeviceAllocation(size)


def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
    array = np.asarray(PagelockedHostAllocation(shape, dtype))
    array[...] = np.nan  # whoever reads it before it is written shall notice
    return array


def memcpy_htod_async(destination, source, stream=None):
    require_current()
    assert source.flags.c_contiguous
    pointer, size, address = int(destination), source.nbytes, source.ctypes.data
    assert is_live(pointer, size)
    assert queue_on(stream.handle, lambda: ctypes.memmove(pointer, address, size))
