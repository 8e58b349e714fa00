"""JSON Schema of the messages, derived from their one definition."""

import re
from typing import Any, Dict

from edge.message_fields import COMMON_FIELDS, KINDS, SCHEMA_VERSION, SLUG_PATTERN, Field
from edge.message_types import MESSAGE_TYPES
from edge.records import JsonObject


def json_schema(type_name: str) -> JsonObject:
    """JSON Schema (draft 7) of one message type's payload.  Bare words are a schema of strings.

    More properties are allowed: v1 may gain fields.
    """
    kind = MESSAGE_TYPES[type_name]
    head: JsonObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:soundclr:v%d:%s" % (SCHEMA_VERSION, type_name),
        "description": kind.description,
        "title": "%s v%d" % (type_name, SCHEMA_VERSION),
    }
    if kind.bare_choices:
        return dict(head, enum=list(kind.bare_choices))
    fields = COMMON_FIELDS + kind.fields
    single = [field for field in fields if not field.is_family]
    properties = {field.name: _schema_of_field(field) for field in single}
    slug: JsonObject = {"type": "string", "pattern": "^%s$" % SLUG_PATTERN}
    narrower: Dict[str, JsonObject] = {
        "schema": {"const": SCHEMA_VERSION},
        "type": {"const": type_name},
        "node": slug,
        "source": slug if kind.has_source else {"type": "null"},
    }
    for name, value in narrower.items():
        properties[name] = dict(value, description=properties[name]["description"])
    families = {
        "^%s$" % re.sub("<.*>", SLUG_PATTERN, field.name): _schema_of_field(field)
        for field in fields
        if field.is_family
    }
    return dict(
        head,
        type="object",
        properties=properties,
        patternProperties=families,
        required=[field.name for field in single],
    )


def _schema_of_field(field: Field) -> JsonObject:
    value: Dict[str, Any] = dict(KINDS[field.kind].schema)
    if field.choices:
        value["enum"] = list(field.choices)
    if field.nullable:
        value = {"anyOf": [value, {"type": "null"}]}
    return dict(value, description=field.description)
