"""What v1 has promised, in `v1.json`: it may gain, never lose."""

from typing import Any, Dict, List, Tuple

from edge.message_fields import COMMON_FIELDS, KINDS, Field
from edge.message_types import MESSAGE_TYPES, MessageType
from edge.records import JsonObject

_MISSING = object()


def promises() -> JsonObject:
    """What the definition promises now: each type's topic, delivery and words, each field's JSON and nullability."""
    return {
        "common": {field.name: _promise_of_field(field) for field in COMMON_FIELDS},
        "types": {name: _promise_of_type(kind) for name, kind in MESSAGE_TYPES.items()},
    }


def broken_promises(frozen: JsonObject, now: JsonObject) -> List[str]:
    """One line for each thing that was promised and is no longer so.  Lists of words may gain words."""
    found: List[str] = []
    _compare((), frozen, now, found)
    return found


def _promise_of_type(kind: MessageType) -> JsonObject:
    return {
        "topic": kind.topic,
        "qos": kind.qos,
        "retain": kind.retain,
        "durable": kind.durable,
        "words": list(kind.bare_choices),
        "fields": {field.name: _promise_of_field(field) for field in kind.fields},
    }


def _promise_of_field(field: Field) -> JsonObject:
    return {"json": KINDS[field.kind].schema, "null": field.nullable, "words": list(field.choices)}


def _compare(path: Tuple[str, ...], frozen: Any, now: Any, found: List[str]) -> None:
    where = "/".join(path)
    if now is _MISSING:
        found.append("%s is gone" % where)
    elif isinstance(frozen, dict) and isinstance(now, dict):
        for name, value in frozen.items():
            _compare((*path, name), value, now.get(name, _MISSING), found)
        if path[-1:] == ("json",):  # a new bound would refuse what was allowed
            found.extend("%s/%s is new" % (where, name) for name in now if name not in frozen)
    elif path[-1:] == ("words",):
        found.extend("%s: the word %s is gone" % (where, word) for word in frozen if word not in now)
        if now and not frozen:
            found.append("%s: any word was allowed" % where)
    elif frozen != now:
        found.append("%s was %r and is %r" % (where, frozen, now))


def merged(frozen: Dict[str, Any], now: Dict[str, Any]) -> Dict[str, Any]:
    """The promises so far, and what is new now."""
    joined = dict(frozen)
    for name, value in now.items():
        old = joined.get(name)
        joined[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return joined
