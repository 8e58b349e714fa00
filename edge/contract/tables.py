"""The page's tables and examples, from the one definition, so that they cannot lie."""

import json
from typing import Any, Callable, Dict, Iterable, List, Sequence

from edge.contract.examples import example_payload
from edge.message_fields import COMMON_FIELDS, KINDS, Field
from edge.message_types import MESSAGE_TYPES
from edge.messages import payload_from_values

_WORDS = {
    "text": "text",
    "texts": "list of texts",
    "time": "time, RFC 3339 UTC",
    "flag": "true, false",
    "switch": "`ON`, `OFF`",
    "count": "whole number",
    "score": "0 to 1",
    "seconds": "seconds",
    "level": "dB",
    "number": "number",
    "percent": "0 to 100",
    "degrees": "degrees",
}


def topics_table() -> str:
    """Every topic with its delivery."""
    rows = []
    for kind in MESSAGE_TYPES.values():
        retained = "retained" if kind.retain else ""
        durable = "durable" if kind.durable else ""
        rows.append(("`%s`" % kind.topic, str(kind.qos), retained, durable, kind.description))
    return _table(("topic", "QoS", "", "", "what"), rows)


def common_table() -> str:
    """The fields of every JSON message."""
    return _fields_table(COMMON_FIELDS)


def types_text() -> str:
    """A section for each type: its fields of its own, and an example; the roll-ups of summaries together."""
    parts: List[str] = []
    previous: Sequence[Field] = ()
    for name, kind in MESSAGE_TYPES.items():
        delivery = ["QoS %d" % kind.qos] + ["retained"] * kind.retain + ["durable"] * kind.durable
        parts.append("### %s\n\n`%s`, %s. %s" % (name, kind.topic, ", ".join(delivery), kind.description))
        if kind.bare_choices:
            parts.append("Payload: the bare word %s." % " or ".join("`%s`" % word for word in kind.bare_choices))
            continue
        is_same = bool(previous) and kind.fields[: len(previous)] == previous
        if is_same:
            parts.append("The fields of the one before%s" % (", and:" if kind.fields[len(previous) :] else "."))
        own = kind.fields[len(previous) :] if is_same else kind.fields
        if own:
            parts.append(_fields_table(own))
        parts.append("```json\n%s\n```" % _example(name))
        previous = kind.fields
    return "\n\n".join(parts)


def _example(name: str) -> str:
    payload = example_payload(name)
    own = {field: value for field, value in payload.items() if field not in {one.name for one in COMMON_FIELDS}}
    if name != "event":  # the one that shows the common fields too
        return "{ ...,\n  " + ",\n  ".join(_lines(own)) + " }"
    return "{ " + ",\n  ".join(_lines(payload)) + " }"


def _lines(values: Dict[str, Any]) -> List[str]:
    """Pairs of JSON, as many a line as fit."""
    lines = [""]
    for name, value in values.items():
        pair = "%s: %s" % (json.dumps(name), payload_from_values({"": value}).decode("utf-8")[4:-1])
        if lines[-1] and len(lines[-1]) + len(pair) > 96:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + pair
    return lines


def _fields_table(fields: Sequence[Field]) -> str:
    rows: List[Sequence[str]] = []
    names = {field.name for field in fields}
    for field in fields:
        if field.name.endswith("_db") and field.name + "fs" in names:  # the two ways that a level is told
            what = field.description.split(", dB re ")[0]
            rows.append(("`%s`, `%sfs`" % (field.name, field.name), "dB", "null", what))
        elif not (field.name.endswith("_dbfs") and field.name[:-2] in names):
            rows.append(("`%s`" % field.name, _type_of(field), "null" if field.nullable else "", field.description))
    return _table(("field", "value", "may be", "meaning"), rows)


def _type_of(field: Field) -> str:
    if field.choices:
        return ", ".join("`%s`" % word for word in field.choices)
    return _WORDS[field.kind]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| %s |" % " | ".join(cell.replace("|", "\\|") for cell in row) for row in [head] + list(rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head)] + lines[1:])


TABLES: Dict[str, Callable[[], str]] = {"topics": topics_table, "common": common_table, "types": types_text}

if set(_WORDS) != set(KINDS):  # a kind that was added and has no word here
    raise LookupError("kinds without a word: %s" % ", ".join(sorted(set(KINDS) ^ set(_WORDS))))
