"""What an engine depends on: the CUDA device and its driver, as PyCUDA tells them."""

from typing import Any, NamedTuple, Tuple

from engines.errors import RuntimeUnavailableError


class DeviceFacts(NamedTuple):
    """One CUDA device."""

    name: str  # "NVIDIA Tegra X1"
    compute_capability: Tuple[int, int]
    driver: str  # the CUDA version that the driver offers: "10.2"
    memory_bytes: int  # on a Jetson the whole machine's

    @property
    def architecture(self) -> str:
        """As NVIDIA's tools name it: sm_53."""
        return "sm_%d%d" % self.compute_capability


def load_driver() -> Any:
    """PyCUDA's driver module, initialised in this process.

    Raises:
        RuntimeUnavailableError: PyCUDA, the driver or a device is not here.
    """
    try:
        import pycuda.driver as driver
    except (ImportError, OSError) as error:  # without libcuda the import itself fails
        raise RuntimeUnavailableError(
            "PyCUDA cannot be loaded (%s); it needs NVIDIA's driver and: pip install pycuda, with the CUDA toolkit's "
            "nvcc on the PATH" % " ".join(str(error).split())
        ) from error
    try:
        driver.init()
        devices = driver.Device.count()
    except driver.Error as error:
        raise RuntimeUnavailableError(
            "CUDA cannot be started (%s); see whether nvidia-smi, or on a Jetson jtop, sees the GPU and whether this "
            "user is in the group video" % " ".join(str(error).split())
        ) from error
    if devices == 0:
        raise RuntimeUnavailableError(
            "no CUDA device: the driver is here but sees no GPU; on a Jetson the user must be in the group video"
        )
    return driver


def read_device_facts(driver: Any) -> DeviceFacts:
    """The first device and the driver.  `driver` is what `load_driver` gave."""
    device = driver.Device(0)
    version = driver.get_driver_version()
    major, minor = device.compute_capability()
    return DeviceFacts(
        device.name(), (major, minor), "%d.%d" % (version // 1000, version % 1000 // 10), device.total_memory()
    )
