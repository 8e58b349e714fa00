"""From ONNX to a TensorRT plan, in this process. Callers run it in a child (`engines.compile`): a build may take
minutes and more memory than there is, and what the system kills must not be the node.
"""

from typing import Any, List, NamedTuple, Tuple

from engines.device_facts import DeviceFacts
from engines.errors import CompileError, RefusedError
from engines.half_weights import widen_half_weights
from engines.onnx_graph import LAST_OPSET_OF_8_2, OnnxGraph, misread_by_8_2, read_onnx_graph
from engines.tensorrt_library import first_complaint, read_version

PRECISIONS = ("fp32", "fp16", "int8")
MODEL_FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
# Parsers do not refuse an opset that they do not know, they misread it without a word.
_LAST_OPSETS = (((8, 5), LAST_OPSET_OF_8_2), ((10, 0), 17))  # below this version, at most this opset
_MEMORY_WORDS = ("out of memory", "outofmemory", "out_of_memory", "could not allocate", "cudaerrormemoryallocation")
MEMORY_ADVICE = "lower [model] workspace_mib (64 is enough for most networks), close what else runs, or add swap"


class BuildRequest(NamedTuple):
    """What to build."""

    onnx: bytes
    where: str  # the file's name, for complaints
    precision: str  # "fp32", "fp16", "int8"
    workspace_bytes: int  # scratch memory that a layer may take
    timing_cache: bytes  # what earlier builds measured; b"" for nothing


class BuiltPlan(NamedTuple):
    """What came of it."""

    plan: bytes
    timing_cache: bytes


def needs_typed_network(trt: Any) -> bool:
    """Whether half precision must be in the ONNX already: from 11 on there is no flag for it."""
    return not hasattr(trt.BuilderFlag, "FP16")


def is_fast(builder: Any, precision: str, facts: DeviceFacts) -> bool:
    """Whether the device computes in this precision faster than in single."""
    if precision == "fp32":
        return True
    known = getattr(builder, "platform_has_fast_" + precision, None)
    if known is not None:
        return bool(known)
    return facts.compute_capability >= (7, 5)  # TensorRT 11 knows no older device, and all of these have both


def build_plan(trt: Any, log: Any, request: BuildRequest, facts: DeviceFacts) -> BuiltPlan:
    """Build.

    Args:
        log: of `new_log`; outlives the call.

    Raises:
        RefusedError: the device has no such precision, or TensorRT does not read or build the network.
        CompileError: it ran out of memory; less workspace may help.
    """
    request = request._replace(onnx=widen_half_weights(request.onnx, request.where))
    graph = read_onnx_graph(request.onnx, request.where)
    _check_graph(trt, graph, request)
    builder = trt.Builder(log)
    if not builder:
        raise CompileError("TensorRT %s makes no builder: %s" % (trt.__version__, first_complaint(log)))
    if not is_fast(builder, request.precision, facts):
        raise RefusedError(
            "%s has no fast %s arithmetic; use another [model] precision" % (facts.architecture, request.precision)
        )
    flags = trt.NetworkDefinitionCreationFlag
    # 8.x reads ONNX only with this flag, 10 ignores it, 11 has it no more
    network = builder.create_network(1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(request.onnx):
        raise RefusedError(_parser_complaint(trt, parser, graph, request))
    config = builder.create_builder_config()
    _set_workspace(trt, config, request.workspace_bytes)
    _set_precision(trt, network, config, request.precision)
    _set_timing_cache(config, request.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _build_failure(trt, log, request)
    cache = config.get_timing_cache()
    return BuiltPlan(bytes(plan), bytes(cache.serialize()) if cache is not None else b"")


def is_memory_complaint(text: str) -> bool:
    """Whether a message of TensorRT or CUDA says that memory ran out."""
    return any(word in text.lower() for word in _MEMORY_WORDS)


def _check_graph(trt: Any, graph: OnnxGraph, request: BuildRequest) -> None:
    version = read_version(trt)
    for before, last_opset in _LAST_OPSETS:
        if version < before and graph.opset > last_opset:
            raise RefusedError(
                "%s is of ONNX opset %d; TensorRT %s reads at most %d and would misread it without a word: export "
                "the bundle again" % (request.where, graph.opset, trt.__version__, last_opset)
            )
    misread = misread_by_8_2(graph) if version < (8, 5) else ()
    if misread:
        raise RefusedError(
            "%s has %s; TensorRT %s would misread it without a word: export the bundle again"
            % (request.where, "; ".join(misread), trt.__version__)
        )


def _parser_complaint(trt: Any, parser: Any, graph: OnnxGraph, request: BuildRequest) -> str:
    complaints: List[str] = []
    for index in range(min(parser.num_errors, 3)):
        error = parser.get_error(index)
        operator = error.node_operator() if hasattr(error, "node_operator") else graph.describe_node(error.node())
        complaints.append("operator %s (node %d): %s" % (operator, error.node(), " ".join(error.desc().split())[:200]))
    return (
        "TensorRT %s refuses %s: %s; export the bundle with another backbone, or set [model] runtime to onnxruntime"
        % (
            trt.__version__,
            request.where,
            "; ".join(complaints) or "without a reason",
        )
    )


def _set_workspace(trt: Any, config: Any, workspace_bytes: int) -> None:
    if hasattr(config, "set_memory_pool_limit"):  # from 8.4 on
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    else:
        config.max_workspace_size = workspace_bytes


def _set_precision(trt: Any, network: Any, config: Any, precision: str) -> None:
    if precision == "fp32" and hasattr(trt.BuilderFlag, "TF32"):
        # on by default from Ampere on: ten bits of mantissa are not what is called single precision here
        config.clear_flag(trt.BuilderFlag.TF32)
    if precision == "int8" and hasattr(trt.BuilderFlag, "INT8"):
        config.set_flag(trt.BuilderFlag.INT8)
    if precision != "fp32" and hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
        _keep_end_in_single(trt, network, config)


def _keep_end_in_single(trt: Any, network: Any, config: Any) -> None:
    """Hold what follows the last convolution in single precision: the square of an embedding overflows half."""
    if not hasattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS"):
        return
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    convolutions = [i for i, layer in enumerate(layers) if layer.type == trt.LayerType.CONVOLUTION]
    arithmetic = (trt.LayerType.REDUCE, trt.LayerType.UNARY, trt.LayerType.ELEMENTWISE)
    for layer in layers[convolutions[-1] + 1 if convolutions else 0 :]:
        if layer.type in arithmetic and layer.get_output(0).dtype in (trt.float32, trt.float16):
            layer.precision = trt.float32
            layer.set_output_type(0, trt.float32)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)


def _set_timing_cache(config: Any, content: bytes) -> None:
    # a cache of another device or version gives None or False, and the build measures anew
    for attempt in (content, b""):
        cache = config.create_timing_cache(attempt)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _build_failure(trt: Any, log: Any, request: BuildRequest) -> CompileError:
    complaint = first_complaint(log)
    if any(is_memory_complaint(text) for text in log.complaints):
        return CompileError(
            "not enough memory to build %s with %d MiB of workspace (%s); %s"
            % (request.where, request.workspace_bytes >> 20, complaint, MEMORY_ADVICE)
        )
    return RefusedError(
        "TensorRT %s does not build %s in %s: %s" % (trt.__version__, request.where, request.precision, complaint)
    )


def model_file_for(trt: Any, precision: str) -> Tuple[str, bool]:
    """Which of a bundle's files this precision is built from, and whether a bundle may lack it."""
    if precision == "fp16" and not needs_typed_network(trt):
        return MODEL_FILES["fp32"], False  # 8.2's parser misreads typed half precision; the flag does it
    return MODEL_FILES[precision], precision != "fp32"
