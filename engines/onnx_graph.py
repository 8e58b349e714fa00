"""What an ONNX file says of itself, read without the onnx package, which a node does not have.

Only the few fields that decide whether a TensorRT reads a network rightly: ONNX's messages (onnx/onnx.proto) are
protocol buffers, a sequence of numbered fields.
"""

from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

from engines.errors import BundleError

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
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5


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
        for field, value in _fields(content):
            if field == 8:  # ModelProto.opset_import
                entry = dict(_fields(_bytes_of(value)))
                opsets[_bytes_of(entry.get(1, b"")).decode("utf-8")] = int(entry.get(2, 0))
            elif field == 7:  # ModelProto.graph
                for part, message in _fields(_bytes_of(value)):
                    if part == 1:  # GraphProto.node
                        nodes.append(_read_node(_bytes_of(message)))
                        data_types += nodes[-1].data_types
                    elif part == 5:  # GraphProto.initializer: data_type is field 2
                        data_types.append(dict(_fields(_bytes_of(message))).get(2))
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
    for field, value in _fields(content):
        if field == 1:  # NodeProto.input; an empty name stands for one that is left out
            inputs += bool(value)
        elif field == 4:
            operator = _bytes_of(value).decode("utf-8")
        elif field == 7:
            domain = _bytes_of(value).decode("utf-8")
        elif field == 5:  # NodeProto.attribute: t is field 5
            tensor = dict(_fields(_bytes_of(value))).get(5)
            if tensor is not None:
                data_types.append(dict(_fields(_bytes_of(tensor))).get(2))
    if not operator:
        raise ValueError("a node without an operator")
    return _Node(operator, domain, inputs, tuple(data_types))


def _fields(content: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            length, at = _varint(content, at)
        elif kind in (_FIXED_32, _FIXED_64):
            length = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError("a field of wire type %d" % kind)
        if at + length > end:
            raise ValueError("it ends early")
        yield tag >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _bytes_of(value: Union[int, bytes]) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where a message was expected")
    return value
