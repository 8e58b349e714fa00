"""Weights that a file stores in half precision and its network computes with in single: half the bytes of a bundle.

Each is an initializer of float16 and a Cast to float32, which ONNX Runtime folds as it loads. TensorRT 8.2 wants the
weights of a convolution as initializers, and its parser has not been seen to take a Cast in their place: it is given
the network with its weights widened.
"""

from typing import Dict, List, Set

import numpy as np

from engines.errors import BundleError
from engines.protocol_buffers import Field, bytes_of, encode_field, read_by_number, read_fields

_GRAPH = 7  # of ModelProto
_NODE, _INITIALIZER = 1, 5  # of GraphProto
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
_DATA_TYPE, _NAME, _RAW_DATA = 2, 8, 9  # of TensorProto
_FLOAT, _FLOAT16 = 1, 10  # TensorProto.DataType


def widen_half_weights(onnx: bytes, where: str) -> bytes:
    """An ONNX file whose half-precision initializers that are cast to single are single themselves, the Casts gone.

    Args:
        onnx: the file; one without such weights is returned as it is.
        where: what to name in a complaint.

    Raises:
        BundleError: this is no ONNX file.
    """
    try:
        model = list(read_fields(onnx))
        widened = [
            encode_field(_GRAPH, _widen_graph(bytes_of(field.value))) if field.number == _GRAPH else field.encoded
            for field in model
        ]
    except (ValueError, KeyError, IndexError) as error:
        raise BundleError("%s is no ONNX file (%s); export the bundle again" % (where, error)) from error
    return b"".join(widened)


def _widen_graph(graph: bytes) -> bytes:
    fields = list(read_fields(graph))
    halves = [field for field in fields if field.number == _INITIALIZER and _is_half(field)]
    stored = {_name_of(field) for field in halves} - {b""}
    if not stored:
        return graph
    casts = _find_casts(fields, stored)
    kept: List[bytes] = []
    for field in fields:
        if field.number == _NODE and _cast_of(field) in casts:
            continue
        if field.number == _INITIALIZER and _name_of(field) in casts:
            kept += [encode_field(_INITIALIZER, _widen(field, name)) for name in casts[_name_of(field)]]
        else:
            kept.append(field.encoded)
    return b"".join(kept)


def _find_casts(fields: List[Field], stored: Set[bytes]) -> Dict[bytes, List[bytes]]:
    """What each stored weight is called once it is cast; without those that something else reads as they are."""
    casts: Dict[bytes, List[bytes]] = {}
    read_as_half: Set[bytes] = set()
    for field in fields:
        if field.number != _NODE:
            continue
        weight = _cast_of(field)
        if weight in stored:
            casts.setdefault(weight, []).append(_values(field, _OUTPUT)[0])
        else:
            read_as_half.update(_values(field, _INPUT))
    return {weight: names for weight, names in casts.items() if weight not in read_as_half}


def _cast_of(node: Field) -> bytes:
    """What a node casts to single precision; empty where it does anything else."""
    if _values(node, _OPERATOR) != [b"Cast"]:
        return b""
    # its one attribute, `to`: AttributeProto.i is field 3
    targets = [
        attribute.value
        for encoded in _values(node, _ATTRIBUTE)
        for attribute in read_fields(encoded)
        if attribute.number == 3
    ]
    inputs = _values(node, _INPUT)
    return inputs[0] if targets == [_FLOAT] and inputs else b""


def _widen(initializer: Field, name: bytes) -> bytes:
    parts: List[bytes] = []
    for field in read_fields(bytes_of(initializer.value)):
        if field.number == _DATA_TYPE:
            parts.append(encode_field(_DATA_TYPE, _FLOAT))
        elif field.number == _NAME:
            parts.append(encode_field(_NAME, name))
        elif field.number == _RAW_DATA:
            values = np.frombuffer(bytes_of(field.value), "<f2").astype("<f4")
            parts.append(encode_field(_RAW_DATA, values.tobytes()))
        else:
            parts.append(field.encoded)
    return b"".join(parts)


def _is_half(initializer: Field) -> bool:
    numbers = read_by_number(initializer.value)
    return numbers.get(_DATA_TYPE) == _FLOAT16 and _RAW_DATA in numbers


def _name_of(initializer: Field) -> bytes:
    names = _values(initializer, _NAME)
    return names[0] if names else b""


def _values(message: Field, number: int) -> List[bytes]:
    return [bytes_of(field.value) for field in read_fields(bytes_of(message.value)) if field.number == number]
