"""Whether messages are what the published contract says.  For the tests of everything that sends."""

import json
import re
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - Python 3.6 imports this too

from edge.message_fields import SLUG_PATTERN
from edge.message_types import MESSAGE_TYPES

SCHEMAS = Path(__file__).resolve().parents[2] / "edge" / "contract" / "schemas"
_VALIDATORS: Dict[str, Any] = {}  # noqa: UP006


def type_of(topic: str, root: str = "soundclr") -> str:
    """Name of the message type whose topic this is.  Raises LookupError: of none."""
    for name, kind in MESSAGE_TYPES.items():
        pattern = re.sub("<(?:node|source)>", SLUG_PATTERN, kind.topic.replace("<root>", re.escape(root)))
        if re.match(pattern + r"\Z", topic):
            return name
    raise LookupError("topic %s is none of v1's" % topic)


def validate(topic: str, payload: bytes, root: str = "soundclr") -> str:
    """Hold one message against the schema that is published for its topic.  Returns the type's name.

    Needs jsonschema, which is there on current Pythons alone.
    """
    import jsonschema

    name, text = type_of(topic, root), payload.decode("utf-8")
    if name not in _VALIDATORS:
        schema = json.loads((SCHEMAS / (name + ".schema.json")).read_text(encoding="utf-8"))
        _VALIDATORS[name] = jsonschema.Draft7Validator(schema)
    _VALIDATORS[name].validate(text if MESSAGE_TYPES[name].bare_choices else json.loads(text))
    return name
