"""One value on its way into a message: checked by its field's definition, and rounded to what the definition tells."""

import math
from typing import Any, NamedTuple, Tuple

from edge.clock import UtcTime
from edge.message_fields import KINDS, Field
from edge.records import JsonObject
from edge.rfc3339 import rfc3339_from_epoch


class _Checked(NamedTuple):
    accepts: Tuple[type, ...]
    expected: str


_TYPES = {
    "text": _Checked((str,), "a string"),
    "texts": _Checked((list, tuple), "strings"),
    "flag": _Checked((bool,), "a bool"),
    "switch": _Checked((str,), "ON or OFF"),
    "count": _Checked((int,), "a whole number from 0"),
}


def encoded_value(type_name: str, field: Field, value: Any) -> Any:
    """A field's value as JSON has it, rounded as the definition says.

    Args:
        value: a time is UtcTime or seconds since the epoch.

    Raises:
        ValueError: it is not what the definition says; a mistake in the program.
    """
    where = "message type %s, field %s is %r; expected " % (type_name, field.name, value)
    if value is None:
        if not field.nullable:
            raise ValueError(where + "a value")
        return None
    kind = KINDS[field.kind]
    if field.kind == "time":
        return rfc3339_from_epoch(value.epoch_s if isinstance(value, UtcTime) else value)
    if kind.decimals is not None:
        return _encoded_number(where, kind.schema, kind.decimals, value)
    return _encoded_word(where, field, value)


def _encoded_word(where: str, field: Field, value: Any) -> Any:
    expected = _TYPES[field.kind]
    if not _is_of(expected.accepts, value):
        raise ValueError(where + expected.expected)
    allowed = field.choices or KINDS[field.kind].schema.get("enum")
    if allowed and value not in allowed:
        raise ValueError(where + "one of " + ", ".join(allowed))
    if field.kind == "texts":
        if not all(isinstance(item, str) for item in value):
            raise ValueError(where + expected.expected)
        return list(value)
    if field.kind == "count" and value < 0:
        raise ValueError(where + expected.expected)
    return value


def _is_of(accepts: Tuple[type, ...], value: Any) -> bool:
    return isinstance(value, accepts) and (bool in accepts or not isinstance(value, bool))


def _encoded_number(where: str, schema: JsonObject, decimals: int, value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise ValueError(where + "a number")
    number = round(float(value), decimals)  # float first: NumPy's scalars round and print otherwise
    if not math.isfinite(number):
        raise ValueError(where + "a finite number; what is not valid is null")
    if not schema.get("minimum", number) <= number <= schema.get("maximum", number):
        raise ValueError(where + "a number from %s to %s" % (schema.get("minimum"), schema.get("maximum", "any")))
    return number + 0.0  # -0.0 becomes 0.0
