"""Runtimes execute a bundle's network behind one interface (`engines.runtimes.base.Runtime`)."""

from engines.bundle import Bundle
from engines.errors import RuntimeUnavailableError
from engines.runtimes.base import Runtime

RUNTIME_NAMES = ("auto", "onnxruntime")


def open_runtime(bundle: Bundle, name: str = "auto", threads: int = 1) -> Runtime:
    """Open the runtime of that name; `auto` takes the best one that works here.

    Raises:
        RuntimeUnavailableError: no such runtime, or what it needs is not installed.
    """
    if name not in RUNTIME_NAMES:
        raise RuntimeUnavailableError("runtime %r; expected one of %s" % (name, ", ".join(RUNTIME_NAMES)))
    from engines.runtimes.onnx import OnnxRuntime  # its library is loaded only where it serves

    runtime = OnnxRuntime(bundle, threads=threads)
    runtime.open()
    return runtime
