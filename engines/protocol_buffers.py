"""Protocol buffers' wire format, as far as reading and rewriting an ONNX file takes; a node has no onnx package.

A message is a sequence of numbered fields, each a tag (number and kind) and a value:
https://protobuf.dev/programming-guides/encoding
"""

from typing import Dict, Iterator, NamedTuple, Tuple, Union

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message."""

    number: int
    value: Union[int, bytes]  # of a varint; else its bytes: a message, a text, numbers packed or of fixed width
    encoded: bytes  # the whole field as it stands there


def read_fields(content: bytes) -> Iterator[Field]:
    """The fields of a message, in its order.

    Raises:
        ValueError, IndexError: this is no message.
    """
    at, end = 0, len(content)
    while at < end:
        begin = at
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield Field(tag >> 3, value, content[begin:at])
            continue
        if kind == _LENGTH:
            length, at = _varint(content, at)
        elif kind in (_FIXED_32, _FIXED_64):
            length = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError("a field of wire type %d" % kind)
        if at + length > end:
            raise ValueError("it ends early")
        yield Field(tag >> 3, content[at : at + length], content[begin : at + length])
        at += length


def read_by_number(message: Union[int, bytes]) -> Dict[int, Union[int, bytes]]:
    """The values of a message's fields by their numbers; of a repeated field the last one."""
    return {field.number: field.value for field in read_fields(bytes_of(message))}


def bytes_of(value: Union[int, bytes]) -> bytes:
    """The value of a field that holds bytes.  Raises ValueError where it holds a number."""
    if not isinstance(value, bytes):
        raise ValueError("a number where a message was expected")
    return value


def encode_field(number: int, value: Union[int, bytes]) -> bytes:
    """A field of a message: a varint where the value is a number, 0 or more, else bytes with their length."""
    if isinstance(value, int):
        return _encode_varint(number << 3 | _VARINT) + _encode_varint(value)
    return b"".join((_encode_varint(number << 3 | _LENGTH), _encode_varint(len(value)), value))


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


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
