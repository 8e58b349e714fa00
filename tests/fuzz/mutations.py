"""Valid examples, damaged: a few changes each, so that what is behind the first check is reached as well."""

import copy
import json
import struct
from typing import Any, Iterator, List, Sequence, Tuple

from hypothesis import strategies as st

DEEP = 2000  # of nesting: more than Python's own recursion takes
WORDS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
ODD_TEXTS = [
    "",
    " ",
    "\0",
    "a\nb",
    "\x1b[2J",
    "\u2028",
    "\ud800",
    "ä" * 40,
    "x" * 5000,
    "..",
    "../x",
    "a/b",
    "%s%d",
    "#",
]
ODD_NUMBERS = [0, -1, 1, 2, 1 << 31, 1 << 63, 1 << 64, -(1 << 63), 10**400, 0.0, -0.5, 1e308, 5e-324]
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(ODD_NUMBERS + NOT_FINITE),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
_DEEPER = ["<nested %d>" % depth for depth in (300, 900, 960, 980, 985, 990, 994)]  # as JSON text: see `json_of`


def nested(depth: int) -> List[Any]:
    """A list in a list in a list."""
    value: List[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def json_of(value: Any) -> bytes:
    """JSON; what is nested deeper than an encoder goes is put in as text."""
    text = json.dumps(value)
    for mark in _DEEPER:
        depth = int(mark.strip("<>").split()[1])
        text = text.replace('"%s"' % mark, "[" * depth + "]" * depth)
    return text.encode("utf-8")


ODD_VALUES = st.one_of(
    _LEAVES,
    st.lists(_LEAVES, max_size=3),
    st.dictionaries(st.text(max_size=4), _LEAVES, max_size=3),
    st.sampled_from([30, 60]).map(nested),
    st.sampled_from(_DEEPER),
)


@st.composite
def damaged_values(draw: Any, examples: Sequence[Any], most: int = 3) -> Any:
    """One of these trees of dicts and lists, with fields replaced, removed, renamed, copied or wrapped."""
    value = copy.deepcopy(draw(st.sampled_from(list(examples))))
    for _ in range(draw(st.integers(1, most))):
        holders = list(_places(value))
        if not holders:
            return draw(ODD_VALUES)
        holder, key = holders[draw(st.integers(0, len(holders) - 1))]
        change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "copy", "wrap"]))
        if change == "remove":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=6)))] = holder.pop(key)
        elif change == "copy":
            source, at = holders[draw(st.integers(0, len(holders) - 1))]
            holder[key] = copy.deepcopy(source[at])
        elif change == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {str(key): holder[key]}]))
        else:
            holder[key] = draw(ODD_VALUES)
    return value


@st.composite
def damaged_bytes(draw: Any, examples: Sequence[bytes], most: int = 4) -> bytes:
    """One of these byte strings with bytes flipped, cut out, doubled, put in, or overwritten by odd numbers."""
    content = bytearray(draw(st.sampled_from(list(examples))))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 16))
        change = draw(st.sampled_from(["flip", "set", "word", "word", "put", "cut", "double", "end"]))
        if change == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif change == "word":
            form = draw(st.sampled_from(["<H", "<I", ">H", ">I"]))
            word = struct.pack(form, draw(st.sampled_from(WORDS)) & (0xFFFF if "H" in form else 0xFFFFFFFF))
            content[at : at + len(word)] = word
        elif change == "put":
            content[at:at] = draw(st.binary(max_size=16))
        elif change == "cut":
            del content[at : at + length]
        elif change == "double":
            content[at:at] = content[at : at + length]
        elif change == "end":
            del content[at:]
    return bytes(content)


def damaged_json(examples: Sequence[Any]) -> Any:
    """JSON of damaged values, or damaged JSON."""
    texts = [json.dumps(example).encode("utf-8") for example in examples]
    return st.one_of(
        damaged_values(examples).map(json_of),
        damaged_values(examples).map(json_of),
        damaged_bytes(texts),
        st.binary(max_size=100),
        st.just(b'{"a":' * DEEP),
        st.just(b"[" * DEEP + b"]" * DEEP),
    )


def _places(value: Any) -> Iterator[Tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from _places(value[key])
