"""What fields of messages can hold, and the fields that every message has."""

from typing import Dict, NamedTuple, Optional, Tuple

from edge.records import JsonObject

SCHEMA_VERSION = 1
LABEL_PLACEHOLDER = "<label>"
SOURCE_PLACEHOLDER = "<source>"
BAND_PLACEHOLDER = "<band>"
SLUG_PATTERN = "[a-z0-9][a-z0-9_-]{0,31}"
_TIME_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


class Kind(NamedTuple):
    """How values of a field look."""

    schema: JsonObject  # JSON Schema of one value that is not null
    decimals: Optional[int] = None  # numbers are rounded to this; None for what is no fractional number


KINDS: Dict[str, Kind] = {
    "text": Kind({"type": "string"}),
    "texts": Kind({"type": "array", "items": {"type": "string"}}),
    "time": Kind({"type": "string", "pattern": _TIME_PATTERN}),
    "flag": Kind({"type": "boolean"}),
    "switch": Kind({"enum": ["ON", "OFF"]}),
    "count": Kind({"type": "integer", "minimum": 0}),
    "score": Kind({"type": "number", "minimum": 0, "maximum": 1}, 4),
    "seconds": Kind({"type": "number", "minimum": 0}, 3),
    "level": Kind({"type": "number"}, 2),
    "number": Kind({"type": "number"}, 3),
    "percent": Kind({"type": "number", "minimum": 0, "maximum": 100}, 2),
    "degrees": Kind({"type": "number", "minimum": -180, "maximum": 180}, 6),
}


class Field(NamedTuple):
    """One field of a payload.  A field that may be null may also be left out when a message is built."""

    name: str
    kind: str
    description: str
    nullable: bool = False
    choices: Tuple[str, ...] = ()

    @property
    def is_family(self) -> bool:
        """Whether the name stands for one field a label, a source, or a third octave."""
        return "<" in self.name


COMMON_FIELDS = (
    Field("schema", "count", "version of these definitions: 1"),
    Field("type", "text", "the message type's name"),
    Field("node", "text", "the node's name, as in the topic"),
    Field("source", "text", "the source's name, as in the topic; null where a message tells of the node", True),
    Field("boot_id", "text", "changes with each start of the daemon, and with it every seq begins anew"),
    Field("seq", "count", "counts the messages of this topic since the start, from 0; a hole is a lost message"),
    Field("id", "text", "globally unique; QoS 1 may deliver twice, so readers of durable messages compare it"),
    Field("time", "time", "UTC of the sound (health, info, check: of the moment), not of the sending"),
    Field("ts_ms", "count", "the same, in milliseconds since 1970-01-01T00:00:00Z"),
    Field("clock", "text", "whether the node's clock was set by a time server", choices=("synced", "unsynced")),
    Field("bundle", "text", "name of the model"),
)
