"""What the stand-ins of all versions share: networks, plans and their execution. Versions pick from it."""

import ctypes
import enum
import json
import os
import signal
import time
import weakref

import numpy as np
import onnxruntime
import pycuda.driver as driver  # the stand-in's: both lie on one path

from engines.onnx_graph import read_onnx_graph

MAGIC = b"stand-in plan "
violations = driver.violations
_LAYER_OF = {
    "Conv": "CONVOLUTION",
    "GlobalAveragePool": "REDUCE",
    "ReduceSum": "REDUCE",
    "Sqrt": "UNARY",
    "Add": "ELEMENTWISE",
    "Mul": "ELEMENTWISE",
    "Div": "ELEMENTWISE",
    "Clip": "ACTIVATION",
}


def has_fault(name):
    return name in driver.faults()


def enumeration(name, *members):
    """An enumeration whose members count from 0."""
    return enum.IntEnum(name, {member: index for index, member in enumerate(members)})


class Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self):
        self.is_initialised = True


class Logger(ILogger):
    def __init__(self, min_severity=Severity.WARNING):
        ILogger.__init__(self)

    def log(self, severity, msg):
        pass


LayerType = enumeration(
    "LayerType", "CONVOLUTION", "ACTIVATION", "ELEMENTWISE", "SHUFFLE", "REDUCE", "UNARY", "MATRIX_MULTIPLY", "CONSTANT"
)
DataType = enumeration("DataType", "FLOAT", "HALF", "INT8", "INT32", "BOOL")
float32, float16, int8, int32 = DataType.FLOAT, DataType.HALF, DataType.INT8, DataType.INT32
TensorIOMode = enumeration("TensorIOMode", "NONE", "INPUT", "OUTPUT")
MemoryPoolType = enumeration("MemoryPoolType", "WORKSPACE", "DLA_MANAGED_SRAM")


class IHostMemory(bytes):
    @property
    def nbytes(self):
        return len(self)


class Owner:
    """Something that must be let go after what was made of it."""

    __slots__ = ("__weakref__", "_children")

    def __init__(self):
        self._children = weakref.WeakSet()

    def _made(self, child):
        self._children.add(child)
        return child

    def __del__(self):
        if len(getattr(self, "_children", ())):
            violations.append("%s was let go before what it made" % type(self).__name__)


class Tensor:
    __slots__ = ("dtype",)

    def __init__(self):
        self.dtype = float32


class Layer:
    __slots__ = ("_output", "operator", "precision", "type")

    def __init__(self, operator):
        self.operator, self.precision, self._output = operator, None, Tensor()
        self.type = LayerType[_LAYER_OF.get(operator, "SHUFFLE")]

    def get_output(self, index):
        assert index == 0
        return self._output

    def set_output_type(self, index, dtype):
        assert index == 0
        self._output.dtype = dtype


class Network:
    __slots__ = ("__weakref__", "flags", "layers", "onnx")

    def __init__(self, flags):
        self.flags, self.layers, self.onnx = flags, [], b""

    @property
    def num_layers(self):
        return len(self.layers)

    def get_layer(self, index):
        return self.layers[index]


class ParserError:
    """What 8.2 offers; later versions add the operator's name."""

    __slots__ = ()

    def node(self):
        return 1

    def desc(self):
        return "Assertion failed: this is a stand-in\n and nothing else"


class NamedParserError(ParserError):
    __slots__ = ()

    def node_operator(self):
        return "Gemm"


class Parser:
    __slots__ = ("_log", "_network", "errors")
    error_class = ParserError
    required_flags = 0

    def __init__(self, network, logger):
        assert logger.is_initialised
        self._network, self._log, self.errors = network, logger, []

    def parse(self, model):
        if has_fault("parse") or self._network.flags & self.required_flags != self.required_flags:
            self.errors.append(type(self).error_class())
            self._log.log(Severity.ERROR, "ModelImporter.cpp: While parsing node number 1")
            return False
        self._network.onnx = bytes(model)
        self._network.layers = [Layer(operator) for operator in read_onnx_graph(model, "it").operators]
        return True

    @property
    def num_errors(self):
        return len(self.errors)

    def get_error(self, index):
        return self.errors[index]


class TimingCache:
    __slots__ = ("content",)

    def __init__(self, content):
        self.content = content

    def serialize(self):
        return IHostMemory(self.content)


class Config:
    """Without the workspace, which versions set in different ways."""

    __slots__ = ("_cache", "_flags", "_workspace")

    def __init__(self):
        self._flags, self._cache, self._workspace = {"TF32"}, None, 0

    def set_flag(self, flag):
        self._flags.add(flag.name)

    def clear_flag(self, flag):
        self._flags.discard(flag.name)

    def create_timing_cache(self, serialized):
        return TimingCache(serialized) if not serialized or serialized.startswith(b"timings") else None

    def set_timing_cache(self, cache, ignore_mismatch):
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache


class Builder(Owner):
    __slots__ = ("_log",)
    config_class = Config
    version = ""

    def __init__(self, logger):
        Owner.__init__(self)
        self._log = logger

    def create_network(self, flags=0):
        return Network(flags)

    def create_builder_config(self):
        return self.config_class()

    def build_serialized_network(self, network, config):
        time.sleep(float(os.environ.get("STAND_IN_BUILD_S", "0")))
        while "STAND_IN_BUILD_WAITS_FOR" in os.environ and not os.path.exists(os.environ["STAND_IN_BUILD_WAITS_FOR"]):
            time.sleep(0.02)
        half = "FP16" in config._flags
        if has_fault("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if has_fault("segfault") or (has_fault("segfault_fp16") and half):
            os.kill(os.getpid(), signal.SIGSEGV)
        if has_fault("oom"):
            self._log.log(Severity.ERROR, "2: [virtualMemoryBuffer.cpp] OutOfMemory (no further information)")
            return None
        if has_fault("build_none") or config._workspace < 1 << 20:
            self._log.log(Severity.ERROR, "10: [optimizer.cpp] Could not find any implementation for node Gemm_1")
            return None
        if read_onnx_graph(network.onnx, "it").is_quantised and not self._is_quantising(config):
            self._log.log(Severity.ERROR, "4: [network.cpp] Int8 precision is set for a layer, but int8 is not on")
            return None
        config._cache.content = b"timings of " + self.version.encode("ascii")
        head = {
            "version": self.version,
            "device": driver.Device(0).name(),
            "flags": sorted(config._flags),
            "workspace": config._workspace,
            "single": [i for i, layer in enumerate(network.layers) if layer.precision == float32],
        }
        return IHostMemory(MAGIC + json.dumps(head).encode("ascii") + b"\n" + network.onnx)

    def _is_quantising(self, config):
        return "INT8" in config._flags


def read_plan(plan):
    """A plan's head and its ONNX."""
    head, _, onnx = bytes(plan)[len(MAGIC) :].partition(b"\n")
    return json.loads(head.decode("ascii")), onnx


class Runtime(Owner):
    __slots__ = ("_log",)
    engine_class = None
    version = ""

    def __init__(self, logger):
        assert logger.is_initialised
        Owner.__init__(self)
        self._log = logger

    def deserialize_cuda_engine(self, serialized_engine):
        driver.require_current()
        if not serialized_engine.startswith(MAGIC) or has_fault("deserialize_none"):
            self._log.log(Severity.ERROR, "1: [stdArchiveReader.cpp] Serialization assertion magicTagRead failed")
            return None
        head, onnx = read_plan(serialized_engine)
        if (head["version"], head["device"]) != (self.version, driver.Device(0).name()):
            self._log.log(Severity.ERROR, "6: The engine plan file is not compatible with this version of TensorRT")
            return None
        return self._made(self.engine_class(onnx, head["flags"], self._log))


class Engine(Owner):
    """Without names and bindings, which versions offer in different ways."""

    __slots__ = ("_flags", "_log", "_session")
    context_class = None

    def __init__(self, onnx, flags, log):
        Owner.__init__(self)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._flags, self._log = flags, log

    def create_execution_context(self):
        return None if has_fault("context_none") else self._made(self.context_class(self))

    def _tensors(self):
        """(name, is input, shape), in the order of the bindings."""
        return [(i.name, True, tuple(i.shape)) for i in self._session.get_inputs()] + [
            (o.name, False, tuple(o.shape)) for o in self._session.get_outputs()
        ]

    def _run(self, pointers, stream_handle):
        driver.require_current()
        if has_fault("execute_false"):
            self._log.log(Severity.ERROR, "3: [executionContext.cpp] Parameter check failed")
            return False
        (name, _, shape), (_, _, out_shape) = self._tensors()
        given, taken = pointers
        size, out_size = 4 * int(np.prod(shape)), 4 * int(np.prod(out_shape))
        if not driver.is_live(given, size) or not driver.is_live(taken, out_size):
            violations.append("a pointer to memory that nobody has")
            return False
        half, session = "FP16" in self._flags, self._session  # no more than that: a queue keeps no engine alive

        def work():
            values = np.ctypeslib.as_array((ctypes.c_float * (size // 4)).from_address(given)).reshape(shape)
            logits = session.run(None, {name: values})[0]
            if half:
                logits = logits.astype(np.float16).astype(np.float32) + (5.0 if has_fault("fp16_wrong") else 0.0)
            if half and has_fault("fp16_nan"):
                logits = np.full_like(logits, np.nan)
            if has_fault("always_wrong"):
                logits = logits[:, ::-1] + 1.0
            ctypes.memmove(taken, np.ascontiguousarray(logits).ctypes.data, out_size)

        return driver.queue_on(stream_handle, work)


class BoundEngine(Engine):
    """Bindings by index: 8.x."""

    __slots__ = ()

    @property
    def num_bindings(self):
        return len(self._tensors())

    def get_binding_name(self, index):
        return self._tensors()[index][0]

    def binding_is_input(self, index):
        return self._tensors()[index][1]

    def get_binding_shape(self, index):
        return self._tensors()[index][2]

    def get_binding_dtype(self, index):
        return float32


class _NamedTensors:
    """Tensors by name: from 8.5 on."""

    __slots__ = ()

    @property
    def num_io_tensors(self):
        return len(self._tensors())

    def get_tensor_name(self, index):
        return self._tensors()[index][0]

    def _tensor(self, name):
        return next(tensor for tensor in self._tensors() if tensor[0] == name)

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._tensor(name)[1] else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._tensor(name)[2]

    def get_tensor_dtype(self, name):
        return float32


class NamedEngine(_NamedTensors, Engine):
    __slots__ = ()


class NamedAndBoundEngine(_NamedTensors, BoundEngine):
    __slots__ = ()


class Context(Owner):
    __slots__ = ("_engine_ref", "_pointers")

    def __init__(self, engine):
        Owner.__init__(self)
        self._engine_ref, self._pointers = weakref.ref(engine), {}


class BoundContext(Context):
    __slots__ = ()

    def execute_async_v2(self, bindings, stream_handle):
        return self._engine_ref()._run([int(pointer) for pointer in bindings], stream_handle)


class _NamedAddresses:
    __slots__ = ()

    def set_tensor_address(self, name, memory):
        self._pointers[name] = memory
        return not has_fault("address_false")

    def execute_async_v3(self, stream_handle):
        engine = self._engine_ref()
        return engine._run([self._pointers[name] for name, _, _ in engine._tensors()], stream_handle)


class NamedContext(_NamedAddresses, Context):
    __slots__ = ()


class NamedAndBoundContext(_NamedAddresses, BoundContext):
    __slots__ = ()


class FastPlatform:
    """What a builder says of its device, until 11."""

    __slots__ = ()

    @property
    def platform_has_fast_fp16(self):
        return driver.Device(0).compute_capability() not in ((5, 0), (5, 2), (6, 1))

    @property
    def platform_has_fast_int8(self):
        return driver.Device(0).compute_capability() >= (6, 1) and driver.Device(0).compute_capability() != (6, 2)
