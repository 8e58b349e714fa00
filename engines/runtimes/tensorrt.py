"""TensorRT on the device: reads the front end's buffer in place, writes its few logits straight to the host."""

from typing import Any, List, Optional, Tuple

import numpy as np

from engines.bundle import Bundle
from engines.device_facts import load_driver, read_device_facts
from engines.errors import BundleError, RuntimeUnavailableError
from engines.network_build import MEMORY_ADVICE, is_memory_complaint
from engines.runtimes.base import DeviceRuntime
from engines.tensorrt_library import first_complaint, load_tensorrt, new_log


class TensorRTRuntime(DeviceRuntime):
    """Runs a plan that was built on this very device (TensorRT 8.2 to 11).

    Args:
        plan: what `engines.compile` built or the cache holds; let go once it is loaded.
        precision: it was built for.
    """

    name = "tensorrt"

    def __init__(self, bundle: Bundle, plan: bytes, precision: str) -> None:
        super().__init__(bundle)
        self.precision = precision
        self._plan: Optional[bytes] = plan
        self._trt: Any = None
        # each needs the ones above it, so they are let go from below
        self._log: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._driver: Any = None
        self._output: Any = None  # page-locked host memory that the device writes: [1, n_outputs], float32
        self._tensors: List[Tuple[str, bool]] = []  # (name, is input), in the engine's order
        self._input_pointer = self._stream_handle = 0
        self._description = ""

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """(1, 1, n_mels, window_frames)."""
        spec = self.bundle.frontend
        return (1, 1, spec.n_mels, spec.window_frames)

    def open(self, stream_handle: int) -> None:
        """Load the plan and allocate the output.  Called once, with the owner's context current."""
        self._driver = load_driver()
        self._trt = load_tensorrt()
        self._stream_handle = stream_handle
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def bind_input(self, device_pointer: int) -> None:
        """Name the device buffer [input_shape] that every later `enqueue` reads."""
        self._require_open()
        self._input_pointer = device_pointer
        if hasattr(self._context, "set_tensor_address"):  # from 8.5 on; they stay set
            for name, is_input in self._tensors:
                if not self._context.set_tensor_address(name, self._pointer(is_input)):
                    raise RuntimeUnavailableError(
                        "TensorRT %s takes no address for tensor %r: %s"
                        % (self._trt.__version__, name, first_complaint(self._log))
                    )

    def enqueue(self) -> None:
        """Queue one inference; its output arrives in host memory by itself.  Does not wait."""
        self._require_open()
        if not self._input_pointer:
            raise RuntimeError("no input is bound")
        if hasattr(self._context, "execute_async_v3"):
            queued = self._context.execute_async_v3(self._stream_handle)
        else:
            bindings = [self._pointer(is_input) for _, is_input in self._tensors]
            queued = self._context.execute_async_v2(bindings, self._stream_handle)
        if not queued:
            raise RuntimeUnavailableError(
                "TensorRT %s refused an inference: %s%s"
                % (self._trt.__version__, first_complaint(self._log), self._advice())
            )

    def read_output(self) -> np.ndarray:
        """Wait for the last `enqueue`.  Returns its raw outputs [n_outputs], float32; a copy."""
        self._require_open()
        try:
            # of the whole context: PyCUDA makes no stream of a handle
            self._driver.Context.synchronize()
        except self._driver.Error as error:
            raise RuntimeUnavailableError("the CUDA device failed: %s" % " ".join(str(error).split())) from error
        return np.array(self._output[0], np.float32)

    def describe(self) -> str:
        """Library, version, precision and device, for people."""
        return self._description or "TensorRT, not open"

    def close(self) -> None:
        """Release everything in order; harmless when called again."""
        self._plan = None
        self._context = None
        self._engine = None
        self._runtime = None
        self._log = None
        self._output = None
        self._tensors = []
        self._input_pointer = 0

    def _load(self) -> None:
        trt = self._trt
        self._log = new_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(self._plan)
        self._plan = None
        if self._engine is None:
            raise RuntimeUnavailableError(
                "TensorRT %s does not load the engine: %s%s; it may be of another version or device: "
                "`soundclr-edge compile --again` builds it anew"
                % (trt.__version__, first_complaint(self._log), self._advice())
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RuntimeUnavailableError(
                "TensorRT %s makes no execution context: %s; %s"
                % (trt.__version__, first_complaint(self._log), MEMORY_ADVICE)
            )
        self._tensors = self._check_tensors()
        self._output = self._allocate_output()
        facts = read_device_facts(self._driver)
        self._description = "TensorRT %s, %s, %s (%s)" % (
            trt.__version__,
            self.precision,
            facts.name,
            facts.architecture,
        )

    def _check_tensors(self) -> List[Tuple[str, bool]]:
        trt, engine = self._trt, self._engine
        if hasattr(engine, "num_io_tensors"):  # from 8.5 on; bindings are gone in 10
            names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
            tensors = [(name, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT) for name in names]
            shapes = [tuple(engine.get_tensor_shape(name)) for name in names]
            types = [engine.get_tensor_dtype(name) for name in names]
        else:
            indices = range(engine.num_bindings)
            tensors = [(engine.get_binding_name(index), engine.binding_is_input(index)) for index in indices]
            shapes = [tuple(engine.get_binding_shape(index)) for index in indices]
            types = [engine.get_binding_dtype(index) for index in indices]
        given = sorted((not is_input, shape) for (_, is_input), shape in zip(tensors, shapes))
        expected = [(False, self.input_shape), (True, (1, self.bundle.n_outputs))]
        if given != expected or any(kind != trt.float32 for kind in types):
            raise BundleError(
                "bundle %s: its engine has tensors %s of types %s; the manifest expects an input of %s and an output "
                "of %s in single precision: export the bundle again"
                % (self.bundle.path, list(zip(tensors, shapes)), [str(kind) for kind in types], *expected)
            )
        return tensors

    def _allocate_output(self) -> Any:
        flags = self._driver.host_alloc_flags.DEVICEMAP
        try:
            return self._driver.pagelocked_empty((1, self.bundle.n_outputs), np.float32, mem_flags=flags)
        except self._driver.Error as error:
            raise RuntimeUnavailableError(
                "no page-locked memory for the network's output: %s; %s" % (" ".join(str(error).split()), MEMORY_ADVICE)
            ) from error

    def _pointer(self, is_input: bool) -> int:
        return self._input_pointer if is_input else int(self._output.base.get_device_pointer())

    def _advice(self) -> str:
        memory = self._log is not None and any(is_memory_complaint(text) for text in self._log.complaints)
        return "; " + MEMORY_ADVICE if memory else ""

    def _require_open(self) -> None:
        if self._context is None:
            raise RuntimeError("the runtime is not open")
