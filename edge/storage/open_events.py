"""Which events have begun and not ended, followed from the messages that tell of them."""

from typing import Dict, List, NamedTuple, Tuple

from edge.messages import values_from_payload
from edge.records import JsonObject, Message
from edge.store import OpenEvent

_EVENT = "/event"  # how the topics of events end
_LONGEST_SILENCE_MS = 3600 * 1000 + 60 * 1000  # an event that lasts is told of again at least each hour


class _Open(NamedTuple):
    first_id: int
    message: Message  # the last that told of it
    values: JsonObject  # its payload
    known_ms: int  # when it was last known to last


class OpenEvents:
    """Takes every message in its order."""

    def __init__(self) -> None:
        self._open: Dict[Tuple[str, str], _Open] = {}

    def follow(self, message_id: int, message: Message) -> None:
        """Take the next message, by its number in the store."""
        is_event = message.topic.endswith(_EVENT)
        if not (is_event or self._open):  # nothing to learn, and most of what comes is no event
            return
        values = values_from_payload(message.payload)
        time_ms, event_id = values.get("ts_ms"), values.get("event_id")
        if isinstance(time_ms, int):
            self._note_alive(values, time_ms)
        if not is_event or not isinstance(event_id, str) or not isinstance(time_ms, int):
            return
        key = (message.topic, event_id)
        if values.get("phase") == "end":
            self._open.pop(key, None)
        else:
            first_id = self._open[key].first_id if key in self._open else message_id
            self._open[key] = _Open(first_id, message, values, time_ms)

    def first_id(self, otherwise: int) -> int:
        """Of the messages that tell of what lasts; `otherwise` where nothing does."""
        return min((event.first_id for event in self._open.values()), default=otherwise)

    def events(self) -> List[OpenEvent]:
        """What lasts, oldest first."""
        ordered = sorted(self._open.values(), key=lambda event: event.first_id)
        return [OpenEvent(event.message, event.known_ms) for event in ordered]

    def _note_alive(self, values: JsonObject, time_ms: int) -> None:
        """Whatever a source told of, by the same clock, an event of its that had not ended then lasted until then."""
        for key, event in self._open.items():
            is_same = all(event.values.get(name) == values.get(name) for name in ("boot_id", "source", "clock"))
            if is_same and event.known_ms < time_ms <= event.known_ms + _LONGEST_SILENCE_MS:
                self._open[key] = event._replace(known_ms=time_ms)
