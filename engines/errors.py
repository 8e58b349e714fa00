"""Errors of the contract. Each message says what was given, what was expected and how to mend it."""

import reprlib
from typing import Any


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 200
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - the name of the base class's
        return repr(x) if x.bit_length() <= 256 else "a number of %d bits" % x.bit_length()


def shown(value: Any) -> str:
    """A given value for a message: as `repr` shows it, in one line, and cut where it is long or deep."""
    return _Shown().repr(value)


class EngineError(Exception):
    """Base of every error that `engines` raises on bad input."""


class FrontendError(EngineError):
    """Front-end constants or samples that no log-mel can be computed from."""


class BundleError(EngineError):
    """A bundle that is missing, damaged, incomplete or of another schema."""


class RuntimeUnavailableError(EngineError):
    """The library or the device that a runtime needs is not here."""


class SelfTestError(EngineError):
    """A runtime whose results differ from those that the bundle records."""


class CompileError(EngineError):
    """A network that TensorRT does not build here, or not within the memory and the time allowed."""


class RefusedError(CompileError):
    """A build that failed for good: the same network on the same device and versions would fail again."""


class NotBuiltError(CompileError):
    """There is no engine yet, and none was to be built."""
