"""Runtimes execute a bundle's network behind one interface (`engines.runtimes.base.Runtime`)."""

from engines.bundle import Bundle
from engines.errors import RuntimeUnavailableError
from engines.runtimes.base import Runtime

RUNTIME_NAMES = ("auto", "tensorrt", "onnxruntime")


def open_runtime(bundle: Bundle, name: str = "auto", threads: int = 1) -> Runtime:
    """Open the runtime of that name that is fed from the host; `auto` takes ONNX Runtime, which is everywhere.

    TensorRT's is fed by the front end on the device instead, and needs an engine: `engines.runtimes.tensorrt`.

    Raises:
        RuntimeUnavailableError: no such runtime, or what it needs is not installed.
    """
    if name not in ("auto", "onnxruntime"):
        raise RuntimeUnavailableError("runtime %r; here only auto and onnxruntime can be opened" % name)
    from engines.runtimes.onnx import OnnxRuntime  # its library is loaded only where it serves

    runtime = OnnxRuntime(bundle, threads=threads)
    runtime.open()
    return runtime
