"""One CUDA device through PyCUDA: its primary context, one stream, memory, and the compiler.

TensorRT computes in the primary context, so that is the one used here. A context belongs to the thread that made it
current: one thread opens a device, uses it and closes it.
"""

import logging
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from engines.device_facts import load_driver
from engines.errors import RuntimeUnavailableError

_LOGGER = logging.getLogger(__name__)
_TOOLKIT_VARIABLES = ("CUDA_HOME", "CUDA_ROOT", "CUDA_PATH")
TOOLKIT = "/usr/local/cuda"  # where JetPack and NVIDIA's packages put it, on nobody's PATH


class CudaDevice:
    """A device, open from `open` to `close`.

    Args:
        cache_dir: where PyCUDA keeps compiled kernels; in the state directory. Made when missing.
        mapped: let the device read page-locked host memory in place; None: where both share one memory (Tegra).
    """

    def __init__(self, cache_dir: Path, ordinal: int = 0, mapped: Optional[bool] = None) -> None:
        self._cache_dir, self._ordinal, self._mapped = Path(cache_dir), ordinal, mapped
        self._driver: Any = None
        self._context: Any = None
        self._stream: Any = None
        self._memory: List[Any] = []  # what must be freed before the context goes
        self._thread = 0
        self.name = ""
        self.compute_capability = (0, 0)
        self.maps_host_memory = False

    def open(self) -> None:
        """Make the primary context current in this thread.

        Raises:
            RuntimeUnavailableError: PyCUDA, the driver or a device is not here.
        """
        self._driver = load_driver()
        try:
            with self._translated("opening device %d" % self._ordinal):
                self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free everything and let go of the context; harmless when called again."""
        if self._context is None:
            return
        self._check_thread()
        if self._stream is not None:
            self._try("finishing", self._stream.synchronize)
        while self._memory:
            self._try("freeing memory", self._memory.pop().free)
        self._stream = None
        context, self._context = self._context, None
        self._try("leaving its context", context.pop)
        self._try("leaving its context", context.detach)

    @property
    def stream_handle(self) -> int:
        """CUstream of everything that this device does."""
        return int(self._stream.handle)

    def describe(self) -> str:
        """Name and architecture, for people."""
        return "%s (sm_%d%d)" % ((self.name,) + self.compute_capability)

    def compile(self, source: str, constants: Dict[str, int]) -> Any:
        """Compile CUDA C with nvcc, or take it from the cache.  Returns a module with `get_function`.

        Raises:
            RuntimeUnavailableError: no nvcc, no C++ compiler, or the source is refused.
        """
        self._check_thread()
        nvcc = find_nvcc()
        options = ["-D%s=%d" % item for item in sorted(constants.items())]
        try:
            os.makedirs(str(self._cache_dir), exist_ok=True)
            from pycuda.compiler import SourceModule

            with self._translated("compiling the kernels"):
                return SourceModule(
                    source, nvcc=nvcc, options=options, no_extern_c=True, cache_dir=str(self._cache_dir)
                )
        except OSError as error:
            raise RuntimeUnavailableError(
                "the kernels cannot be compiled with %s into %s (%s); the folder must be writable and a C++ compiler "
                "(g++) on the PATH" % (nvcc, self._cache_dir, error)
            ) from error

    def allocate(self, n_bytes: int) -> int:
        """Device memory that lives until `close`.  Returns its address."""
        self._check_thread()
        with self._translated("allocating %d bytes" % n_bytes):
            allocation = self._driver.mem_alloc(max(1, n_bytes))
        self._memory.append(allocation)
        return int(allocation)

    def place(self, values: np.ndarray) -> int:
        """Copy an array into device memory that lives until `close`.  Returns its address."""
        address = self.allocate(values.nbytes)
        with self._translated("copying a table"):
            self._driver.memcpy_htod(address, np.ascontiguousarray(values))
        return address

    def host_array(self, shape: Tuple[int, ...]) -> np.ndarray:
        """Page-locked float32 zeros that live until `close`; on Tegra in the device's address space too."""
        self._check_thread()
        flags = self._driver.host_alloc_flags.DEVICEMAP if self.maps_host_memory else 0
        with self._translated("allocating page-locked memory"):
            array: np.ndarray = self._driver.pagelocked_empty(shape, np.float32, mem_flags=flags)
        self._memory.append(array.base)
        array[...] = 0.0
        return array

    def address_of(self, array: np.ndarray) -> int:
        """Where the device sees a whole `host_array`.  Only where `maps_host_memory`."""
        return int(array.base.get_device_pointer())  # type: ignore[union-attr]

    def upload(self, address: int, values: np.ndarray) -> None:
        """Queue a copy from (a part of) a `host_array`; do not change it before an event behind it has passed."""
        with self._translated("copying to the device"):
            self._driver.memcpy_htod_async(address, values, self._stream)

    def download(self, values: np.ndarray, address: int) -> None:
        """Copy from the device into a `host_array`, behind all that is queued, and wait."""
        with self._translated("copying from the device"):
            self._driver.memcpy_dtoh_async(values, address, self._stream)
            self._stream.synchronize()

    def launch(self, function: Any, grid: Tuple[int, int], block: int, *arguments: Any) -> None:
        """Queue a kernel that was `prepare`d."""
        with self._translated("starting a kernel"):
            function.prepared_async_call(grid, (block, 1, 1), self._stream, *arguments)

    def mark(self) -> Any:
        """An event that passes when all that is queued so far has; for `wait`."""
        with self._translated("recording an event"):
            event = self._driver.Event()
            return event.record(self._stream)

    def wait(self, event: Any) -> None:
        """Wait until an event has passed."""
        with self._translated("waiting for the device"):
            event.synchronize()

    def synchronize(self) -> None:
        """Wait until all that is queued has been done."""
        with self._translated("waiting for the device"):
            self._stream.synchronize()

    def __enter__(self) -> "CudaDevice":
        self.open()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _open(self) -> None:
        driver = self._driver
        if driver.Device.count() <= self._ordinal:
            raise RuntimeUnavailableError(
                "CUDA finds %d devices and no number %d; on a Jetson add the service's user to the group video"
                % (driver.Device.count(), self._ordinal)
            )
        device = driver.Device(self._ordinal)
        self.name, self.compute_capability = device.name(), device.compute_capability()
        integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
        self.maps_host_memory = integrated if self._mapped is None else self._mapped
        context = device.retain_primary_context()
        context.push()
        self._context, self._thread = context, threading.get_ident()
        self._stream = driver.Stream()

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("device %s is open in another thread" % self.name)

    def _try(self, doing: str, step: Callable[[], Any]) -> None:
        """A step of closing. A fault of the device is told where it struck; here all must go that can."""
        try:
            with self._translated(doing):
                step()
        except RuntimeUnavailableError as error:
            _LOGGER.warning("%s", error)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        driver = self._driver
        try:
            yield
        except driver.MemoryError as error:
            raise RuntimeUnavailableError(
                "device %s has too little memory (%s, %s); close other programs, or run this model on the processor: "
                'runtime = "onnxruntime"' % (self.name or self._ordinal, doing, _first_line(error))
            ) from error
        except driver.Error as error:
            raise RuntimeUnavailableError(
                "device %s failed while %s (%s); see the kernel's log (dmesg), or run on the processor: "
                'runtime = "onnxruntime"' % (self.name or self._ordinal, doing, _reason(error))
            ) from error


def find_nvcc(toolkit: str = TOOLKIT) -> str:
    """CUDA's compiler: on the PATH, else where CUDA_HOME says, else in the usual toolkit.

    Raises:
        RuntimeUnavailableError: it is in neither place.
    """
    on_path = shutil.which("nvcc")
    if on_path:
        return on_path
    folders = [os.environ[name] for name in _TOOLKIT_VARIABLES if os.environ.get(name)] + [toolkit]
    for folder in folders:
        nvcc = os.path.join(folder, "bin", "nvcc")
        if os.access(nvcc, os.X_OK):
            return nvcc
    raise RuntimeUnavailableError(
        "CUDA's compiler nvcc is neither on the PATH nor in %s; install it (on a Jetson: sudo apt-get install "
        "cuda-nvcc-10-2, or the package of your CUDA version), or name the toolkit's folder in CUDA_HOME"
        % ", ".join(os.path.join(folder, "bin") for folder in folders)
    )


def _reason(error: Exception) -> str:
    """One line: what the compiler complained of first, else what the driver said."""
    complaints = [line for line in (getattr(error, "stderr", None) or "").splitlines() if "error" in line]
    return complaints[0].strip() if complaints else _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
