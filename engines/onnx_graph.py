"""What an ONNX file says of itself, read without the onnx package, which a node does not have.

Only the few fields that decide whether a TensorRT reads a network rightly: ONNX's messages (onnx/onnx.proto) are
protocol buffers, a sequence of numbered fields.
"""

from typing import Dict, Iterator, NamedTuple, Tuple, Union

from engines.errors import BundleError

_FLOAT16 = 10  # TensorProto.DataType
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5


class OnnxGraph(NamedTuple):
    """A network's outline."""

    opset: int  # of the standard operators
    operators: Tuple[str, ...]  # one a node, in the file's order
    has_float16: bool  # among the weights
    is_quantised: bool  # holds QuantizeLinear

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
    operators = []
    has_float16 = False
    try:
        for field, value in _fields(content):
            if field == 8:  # ModelProto.opset_import
                entry = dict(_fields(_bytes_of(value)))
                opsets[_bytes_of(entry.get(1, b"")).decode("utf-8")] = int(entry.get(2, 0))
            elif field == 7:  # ModelProto.graph
                for part, message in _fields(_bytes_of(value)):
                    if part == 1:  # GraphProto.node: op_type is field 4
                        operators.append(_bytes_of(dict(_fields(_bytes_of(message)))[4]).decode("utf-8"))
                    elif part == 5:  # GraphProto.initializer: data_type is field 2
                        has_float16 = has_float16 or dict(_fields(_bytes_of(message))).get(2) == _FLOAT16
    except (ValueError, KeyError, IndexError) as error:
        raise BundleError("%s is no ONNX file (%s); export the bundle again" % (where, error)) from error
    if not operators or not opsets:
        raise BundleError("%s is no ONNX file (no operator in it); export the bundle again" % where)
    return OnnxGraph(opsets.get("", 0), tuple(operators), has_float16, "QuantizeLinear" in operators)


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
