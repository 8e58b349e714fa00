"""What an ONNX file says of itself, read without the onnx package, which a node does not have.

Only the few fields of ONNX's messages (onnx/onnx.proto) that decide whether a TensorRT reads a network rightly.
"""

from typing import Dict, List, NamedTuple, Tuple

from engines.errors import BundleError
from engines.protocol_buffers import bytes_of, read_by_number, read_fields

LAST_OPSET_OF_8_2 = 13  # TensorRT 8.2 and 8.4 take later ones without a word, and misread them
# What TensorRT 8.2's operator matrix has, of what networks for sound are made of.
OPERATORS_OF_8_2 = frozenset(
    [
        "Add",
        "BatchNormalization",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "Div",
        "Exp",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "Log",
        "LpNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Mul",
        "Pow",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Sqrt",
        "Sub",
        "Transpose",
    ]
)
_FLOAT16 = 10  # TensorProto.DataType


class OnnxGraph(NamedTuple):
    """A network's outline."""

    opset: int  # of the standard operators
    operators: Tuple[str, ...]  # one a node, in the file's order
    has_float16: bool  # among the weights and constants
    is_quantised: bool  # holds QuantizeLinear
    other_domains: Tuple[str, ...] = ()  # of operators that are not ONNX's own
    axes_as_input: Tuple[str, ...] = ()  # operators that reduce along axes that are no attribute

    def describe_node(self, index: int) -> str:
        """A node for people, by the index that a parser gives."""
        return self.operators[index] if 0 <= index < len(self.operators) else "unknown"


def read_onnx_graph(content: bytes, where: str) -> OnnxGraph:
    """Read an ONNX file's outline.

    Args:
        where: what to name in a complaint.

    Raises:
        BundleError: this is no ONNX file.
    """
    opsets: Dict[str, int] = {}
    nodes: List[_Node] = []
    data_types: List[object] = []
    try:
        for field in read_fields(content):
            if field.number == 8:  # ModelProto.opset_import
                entry = read_by_number(field.value)
                opsets[bytes_of(entry.get(1, b"")).decode("utf-8")] = int(entry.get(2, 0))
            elif field.number == 7:  # ModelProto.graph
                for part in read_fields(bytes_of(field.value)):
                    if part.number == 1:  # GraphProto.node
                        nodes.append(_read_node(bytes_of(part.value)))
                        data_types += nodes[-1].data_types
                    elif part.number == 5:  # GraphProto.initializer: data_type is field 2
                        data_types.append(read_by_number(part.value).get(2))
    except (ValueError, KeyError, IndexError) as error:
        raise BundleError("%s is no ONNX file (%s); export the bundle again" % (where, error)) from error
    if not nodes or not opsets:
        raise BundleError("%s is no ONNX file (no operator in it); export the bundle again" % where)
    operators = tuple(node.operator for node in nodes)
    return OnnxGraph(
        opsets.get("", 0),
        operators,
        _FLOAT16 in data_types,
        "QuantizeLinear" in operators,
        tuple(sorted((set(opsets) | {node.domain for node in nodes}) - {"", "ai.onnx"})),
        tuple(node.operator for node in nodes if node.has_axes_as_input),
    )


def misread_by_8_2(graph: OnnxGraph) -> Tuple[str, ...]:
    """What TensorRT 8.2 and 8.4 take without a word and read wrongly, for people; empty where nothing is.

    Source: onnx-tensorrt at 8.2-GA, builtin_op_importers.cpp (Clip) and onnx2trt_utils.cpp (reduceTensor).
    """
    found = []
    if graph.opset > LAST_OPSET_OF_8_2:
        found.append("ONNX opset %d, of which it knows none after %d" % (graph.opset, LAST_OPSET_OF_8_2))
    if graph.has_float16 and "Clip" in graph.operators:
        found.append("Clip on half precision, whose limits it takes for single precision")
    for operator in sorted(set(graph.axes_as_input)):
        found.append("%s with its axes as an input, which it takes for all axes" % operator)
    return tuple(found)


def unknown_to_8_2(graph: OnnxGraph) -> Tuple[str, ...]:
    """Operators and operator domains that TensorRT 8.2 lacks, or that nobody has seen it read."""
    return tuple(sorted(set(graph.operators) - OPERATORS_OF_8_2)) + tuple(
        "domain " + domain for domain in graph.other_domains
    )


class _Node(NamedTuple):
    operator: str
    domain: str
    inputs: int
    data_types: Tuple[object, ...]  # of tensors among its attributes

    @property
    def has_axes_as_input(self) -> bool:
        # ReduceSum has them there from opset 13 on; the others from 18 on, where 8.2 does not look for them
        return self.operator.startswith("Reduce") and self.operator != "ReduceSum" and self.inputs > 1


def _read_node(content: bytes) -> _Node:
    operator, domain, inputs = "", "", 0
    data_types: List[object] = []
    for field in read_fields(content):
        if field.number == 1:  # NodeProto.input; an empty name stands for one that is left out
            inputs += bool(field.value)
        elif field.number == 4:
            operator = bytes_of(field.value).decode("utf-8")
        elif field.number == 7:
            domain = bytes_of(field.value).decode("utf-8")
        elif field.number == 5:  # NodeProto.attribute: t is field 5
            tensors = [inner for inner in read_fields(bytes_of(field.value)) if inner.number == 5]
            data_types += [read_by_number(tensor.value).get(2) for tensor in tensors]
    if not operator:
        raise ValueError("a node without an operator")
    return _Node(operator, domain, inputs, tuple(data_types))
