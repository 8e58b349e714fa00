"""Whole machines with a GPU, as far as stand-ins go: PyCUDA on emulated kernels, and one version of TensorRT behind it.

Here, in the node's own process, both work on one device's memory and one stream. The child that builds an engine finds
the plainer stand-in of PyCUDA, which says the same of its device.
"""

import contextlib
import importlib
import os
import sys
import threading
from typing import NamedTuple, Tuple

from tests.cuda_cpu.pycuda_stand_in import LogicError, StandIn
from tests.engines.stand_in_environment import installed

_SURFACE = "tests.engines.tensorrt_stand_ins.surface"


class MachineFacts(NamedTuple):
    """What a kind of machine has."""

    tensorrt: str  # a folder of tests/engines/tensorrt_stand_ins
    device: str
    capability: Tuple[int, int]
    driver: int
    integrated: bool


JETSON_NANO = MachineFacts("v8_2", "NVIDIA Tegra X1", (5, 3), 10020, True)
ORIN_NANO = MachineFacts("v10_3", "Orin", (8, 7), 12060, True)
WORKSTATION = MachineFacts("v11", "NVIDIA GeForce RTX 4070", (8, 9), 13000, False)


class GpuMachine(StandIn):
    """A device that can be lost, and can hang until `go_on`."""

    def __init__(self, facts):
        StandIn.__init__(
            self,
            integrated=facts.integrated,
            block=1,
            name=facts.device,
            capability=facts.capability,
            driver_version=facts.driver,
        )
        self._goes = threading.Event()
        self._goes.set()
        self.before_waiting = self._goes.wait

    def modules(self):
        """With what the stand-ins of TensorRT ask theirs of PyCUDA."""
        modules = StandIn.modules(self)
        driver = modules["pycuda.driver"]
        driver.violations = self.violations
        driver.faults = lambda: os.environ.get("STAND_IN_FAULTS", "").split(",")
        driver.require_current = self.need_context
        driver.is_live = self.is_live
        driver.queue_on = self.queue_on
        return modules

    def is_live(self, address, n_bytes):
        """Whether the device owns what is there."""
        try:
            self.check(address, n_bytes)
        except LogicError:
            return False
        return True

    def queue_on(self, stream_handle, work):
        """Do this when the stream comes to it.  Returns whether there is such a stream."""
        if stream_handle not in self.streams:
            return False
        self.streams[stream_handle].queue(work)
        return True

    def lose(self):
        """From now on every call fails."""
        self.fault = "an illegal memory access was encountered"

    def hang(self):
        """Whoever waits for the device waits until `go_on`."""
        self._goes.clear()

    def go_on(self):
        """Hang no more."""
        self._goes.set()


@contextlib.contextmanager
def gpu_machine(monkeypatch, facts):
    """For as long as this lasts this process and its children are on such a machine.  Yields its device."""
    monkeypatch.setenv("STAND_IN_DEVICE", facts.device)
    monkeypatch.setenv("STAND_IN_CAPABILITY", "%d.%d" % facts.capability)
    monkeypatch.setenv("STAND_IN_DRIVER", str(facts.driver))
    machine = GpuMachine(facts)
    with installed(monkeypatch, facts.tensorrt):
        for name in ("tensorrt", _SURFACE):
            sys.modules.pop(name, None)
        sys.modules.update(machine.modules())
        importlib.import_module(_SURFACE)  # now it finds this machine's driver
        try:
            yield machine
        finally:
            machine.go_on()
            sys.modules.pop("pycuda.compiler", None)
