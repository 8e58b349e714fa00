"""From what the node knows to messages ready to send, by the definitions in `edge.message_types`.

Payloads are flat, compact JSON in UTF-8; the two status topics are bare words.
"""

import json
import re
import threading
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from edge.clock import SourceClock, UtcTime, read_machine_boot_id
from edge.levels.period import calibration_values
from edge.levels.told import told_levels
from edge.levels.totals import Condition
from edge.message_fields import (
    BAND_PLACEHOLDER,
    COMMON_FIELDS,
    LABEL_PLACEHOLDER,
    SCHEMA_VERSION,
    SLUG_PATTERN,
    SOURCE_PLACEHOLDER,
    Field,
)
from edge.message_types import MESSAGE_TYPES, MessageType
from edge.message_values import encoded_value
from edge.records import Classification, Dating, EventChange, JsonObject, Message
from edge.rfc3339 import rfc3339_from_ms
from edge.sources.faults import Fault
from engines.errors import shown

_SLUG = re.compile(SLUG_PATTERN + r"\Z")

_MOST_MS = 1 << 53  # of a time: beyond it a float is not exact


def topic_of(type_name: str, root: str, node: str, source: Optional[str] = None) -> str:
    """The topic of one message type.  Raises ValueError: a source where there is none, or none where one is needed."""
    pattern = MESSAGE_TYPES[type_name].topic
    if ("<source>" in pattern) != (source is not None):
        raise ValueError("message type %s with source %r; its topic is %s" % (type_name, source, pattern))
    topic = pattern.replace("<root>", root).replace("<node>", node)
    return topic.replace("<source>", source) if source is not None else topic


def status_message(root: str, node: str, state: str, source: Optional[str] = None) -> Message:
    """`online` or `offline`: of the node, or of one source."""
    type_name = "status" if source is None else "source_status"
    kind = MESSAGE_TYPES[type_name]
    if state not in kind.bare_choices:
        raise ValueError("status %r; expected one of %s" % (state, ", ".join(kind.bare_choices)))
    return Message(topic_of(type_name, root, node, source), state.encode("ascii"), kind.qos, kind.retain, kind.durable)


def mark_replayed(payload: bytes) -> bytes:
    """The same payload, saying that it is sent late.  What has no such field is given back as it is."""
    values = values_from_payload(payload)
    if "replayed" not in values:
        return payload
    values["replayed"] = True
    try:
        return payload_from_values(values)
    except (ValueError, RecursionError):  # not as we write them
        return payload


def time_ms_of(payload: bytes) -> Optional[int]:
    """When what a payload tells of was, milliseconds since the epoch; None where it does not say."""
    value = values_from_payload(payload).get("ts_ms")
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_MS else None


def payload_from_values(values: JsonObject) -> bytes:
    """Compact JSON."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def values_from_payload(payload: bytes) -> JsonObject:
    """The payload's JSON object; an empty one where it holds none."""
    try:
        values = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


class MessageFactory:
    """Builds this node's messages; counts them by topic.  May be used from several threads.

    Args:
        bundle_id: name of the model, in every message.
        boot_id: of this start, from `edge.clock.new_boot_id`.
        labels: the model's classes; each a slug.
        sources: the node's sources, of which `health` tells; each a slug.
        bands: names of the third octaves that `level` tells of; none unless they are asked for.
    """

    def __init__(
        self,
        root: str,
        node: str,
        bundle_id: str,
        boot_id: str,
        labels: Sequence[str],
        sources: Sequence[str] = (),
        bands: Sequence[str] = (),
    ) -> None:
        for label in labels:
            if not _SLUG.match(label):
                raise ValueError("label %r; expected a slug of a-z, 0-9, _ and -" % label)
        self._root, self._node, self._bundle_id, self._boot_id = root, node, bundle_id, boot_id
        self._labels = tuple(labels)
        self._fields = {name: _expanded(kind, self._labels, sources, bands) for name, kind in MESSAGE_TYPES.items()}
        self._machine_boot_id = read_machine_boot_id()
        self._lock = threading.Lock()
        self._sequences: Dict[str, int] = {}
        self._built = 0

    def build(self, type_name: str, time: UtcTime, values: Mapping[str, Any], source: Optional[str] = None) -> Message:
        """One message of any JSON type.

        Args:
            time: of the sound, or of the moment where there is none.
            values: every field that the definition names after the common ones, and no other; what may be null may
                be missing. Times are UtcTime or seconds since the epoch.

        Raises:
            ValueError: the values are not what the definition says; a mistake in the program.
        """
        kind, fields = MESSAGE_TYPES[type_name], self._fields[type_name]
        if kind.bare_choices:
            raise ValueError("message type %s is a bare word; use status_message" % type_name)
        unknown = sorted(set(values) - {field.name for field in fields})
        if unknown:
            raise ValueError("message type %s has no fields %s" % (type_name, shown(unknown)))
        topic = topic_of(type_name, self._root, self._node, source)
        encoded = [(field.name, encoded_value(type_name, field, values.get(field.name))) for field in fields]
        payload = self._common(type_name, topic, time, source)
        payload.update(encoded)
        return Message(topic, payload_from_values(payload), kind.qos, kind.retain, kind.durable, self._dating(time))

    def build_classification(self, source: str, classification: Classification, clock: SourceClock) -> Message:
        """What one window was found to hold."""
        start, end = clock.utc_of_all(classification.start_s, classification.end_s)
        accepted = [label for label in classification.accepted if label in classification.scores]
        values: JsonObject = {
            "start": start,
            "end": end,
            "label": classification.label,
            "score": classification.score,
            "foreign": classification.foreign,
            "reason": classification.reason,
            "accepted_label": max(accepted, key=classification.scores.__getitem__) if accepted else None,
            "level_dbfs": classification.level_dbfs,
            "background_dbfs": classification.background_dbfs,
        }
        values.update(("score_" + label, score) for label, score in classification.scores.items())
        return self.build("classification", end, values, source)

    def build_event(
        self, source: str, change: EventChange, clock: SourceClock, condition: Optional[Condition] = None
    ) -> Message:
        """Start, update or end of an event.  `time` is its start for the first, its end for the others.

        Args:
            condition: under which its levels were taken; None: there are none.
        """
        start, end = clock.utc_of_all(change.start_s, change.end_s)
        values = {
            "event_id": change.event_id,
            "phase": change.phase,
            "label": change.label,
            "start": start,
            "end": end,
            "duration_s": max(0.0, change.end_s - change.start_s),
            "end_reason": change.end_reason,
            "score_max": change.score_max,
            "score_mean": change.score_mean,
            "start_uncertainty_s": change.start_uncertainty_s,
            "replayed": False,
        }
        levels = {
            "laeq": change.laeq_dbfs,
            "lafmax": change.lafmax_dbfs,
            "background_la90": change.background_la90_dbfs,
        }
        values.update(told_levels(levels, condition.calibration if condition is not None else None))
        values.update(calibration_values([condition] if condition is not None else []))
        return self.build("event", start if change.phase == "start" else end, values, source)

    def build_state(
        self,
        source: str,
        time: UtcTime,
        active_labels: Sequence[str],
        level_dbfs: Optional[float],
        background_dbfs: Optional[float],
        fault: Optional[Fault] = None,
        levels: Optional[JsonObject] = None,
    ) -> Message:
        """What sounds now, and what keeps the source from hearing.

        Args:
            levels: fields of the sound levels, where there are any.
        """
        values: JsonObject = dict(levels or {}, level_dbfs=level_dbfs, background_dbfs=background_dbfs)
        values.update(fault=fault.code if fault else None, fault_detail=fault.message if fault else None)
        values.update(("active_" + label, "ON" if label in active_labels else "OFF") for label in self._labels)
        return self.build("state", time, values, source)

    def build_status(self, state: str, source: Optional[str] = None) -> Message:
        """`online` or `offline`: of the node, or of one source."""
        return status_message(self._root, self._node, state, source)

    def _dating(self, time: UtcTime) -> Optional[Dating]:
        if time.synced or time.monotonic_s is None or not self._machine_boot_id:
            return None
        return Dating(self._machine_boot_id, time.monotonic_s)

    def _common(self, type_name: str, topic: str, time: UtcTime, source: Optional[str]) -> JsonObject:
        with self._lock:
            sequence = self._sequences.get(topic, 0)
            self._sequences[topic] = sequence + 1
            self._built += 1
            message_id = "%s-%d" % (self._boot_id, self._built)
        time_ms = int(round(time.epoch_s * 1000.0))
        values = (
            SCHEMA_VERSION,
            type_name,
            self._node,
            source,
            self._boot_id,
            sequence,
            message_id,
            rfc3339_from_ms(time_ms),
            time_ms,
            "synced" if time.synced else "unsynced",
            self._bundle_id,
        )
        return {field.name: value for field, value in zip(COMMON_FIELDS, values)}


def _expanded(
    kind: MessageType, labels: Sequence[str], sources: Sequence[str], bands: Sequence[str]
) -> Tuple[Field, ...]:
    members = {LABEL_PLACEHOLDER: labels, SOURCE_PLACEHOLDER: sources, BAND_PLACEHOLDER: bands}
    fields = []
    for field in kind.fields:
        placeholder = next((word for word in members if word in field.name), "")
        names = (
            [field.name.replace(placeholder, slug) for slug in members[placeholder]] if placeholder else [field.name]
        )
        fields += [field._replace(name=name) for name in names]
    return tuple(fields)
