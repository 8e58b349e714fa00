"""Ends for events that a start of the daemon began and did not live to end."""

import logging
from typing import Any, List, Optional

from edge.clock import UtcTime, read_machine_boot_id
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory, payload_from_values, values_from_payload
from edge.records import JsonObject, Message
from edge.rfc3339 import epoch_s_from_rfc3339
from edge.store import OpenEvent, Store

_LOGGER = logging.getLogger(__name__)
_KEPT = ("node", "bundle")  # who heard it, though name or model may have been changed since


def restart_ends(store: Store, factory: MessageFactory) -> List[Message]:
    """One end, with the reason `restart`, for every event that was left open.

    It ends when it was last known to last; what it had been until then is told again.
    """
    ends = []
    for event in store.open_events():
        try:
            ends.append(_end_of(event, factory))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:  # not as we write them
            _LOGGER.error("event %r of the last start cannot be ended: %s", event.message.payload[:500], error)
    if ends:
        _LOGGER.warning("%d events had no end when the last start was cut off; they get it now", len(ends))
    return ends


def _end_of(event: OpenEvent, factory: MessageFactory) -> Message:
    last = values_from_payload(event.message.payload)
    start_s, end_s = (
        epoch_s_from_rfc3339(last["start"]),
        max(epoch_s_from_rfc3339(last["end"]), event.known_ms / 1000.0),
    )
    values = {field.name: _value(last, field.name, field.kind) for field in MESSAGE_TYPES["event"].fields}
    values.update(phase="end", end=end_s, end_reason="restart", replayed=False, duration_s=max(0.0, end_s - start_s))
    time = UtcTime(end_s, last["clock"] == "synced", _monotonic_s(event.message, last, end_s))
    message = factory.build("event", time, values, last["source"])
    payload = values_from_payload(message.payload)
    payload.update((name, last[name]) for name in _KEPT)
    return message._replace(topic=event.message.topic, payload=payload_from_values(payload))


def _value(last: JsonObject, name: str, kind: str) -> Any:
    value = last.get(name)
    return epoch_s_from_rfc3339(value) if kind == "time" and value is not None else value


def _monotonic_s(message: Message, last: JsonObject, end_s: float) -> Optional[float]:
    """Of the end, where it can still be dated by it."""
    if message.dating is None or message.dating.machine_boot_id != read_machine_boot_id():
        return None
    return message.dating.monotonic_s + end_s - last["ts_ms"] / 1000.0
