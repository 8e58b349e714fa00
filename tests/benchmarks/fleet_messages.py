"""What one node publishes, built by the node's own parts from an hour of a made-up street; and how often it does.

Levels and summaries come out of the objects that the daemon feeds too, so that each message is as long as a real one;
`info` and `health` have a value in every field. A thousand nodes send the same, each under its own name.
"""

import json
import time
from typing import Any, NamedTuple

from edge.clock import SourceClock, UtcTime
from edge.config import PublishConfig
from edge.level_news import LevelNews
from edge.levels.summaries import SourceSummaries
from edge.levels.totals import Condition
from edge.message_fields import Field
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory, status_message
from edge.records import Calibration, Classification, EventChange, Message
from engines.bundle import Bundle
from tests.edge.level_frames import RATE_HZ, street_of

SOURCE = "mic"
MODEL_NAME = "corner-00000"  # as long as every node's name, which takes its place
_SOUNDINGS_HZ = 1.0 / 60.0
_DEFAULTS = PublishConfig()
# messages a second of each kind, by [publish] as it ships; the day's summary, one in 86,400 s, is left out
RATES_HZ = {
    "classification": 1.0 / _DEFAULTS.classification_interval_s,
    "level": 1.0,
    "state": 1.0 / _DEFAULTS.state_interval_s + 2.0 * _SOUNDINGS_HZ,  # by the clock, and at an event's start and end
    "health": 1.0 / _DEFAULTS.health_interval_s,
    "event": 2.0 * _SOUNDINGS_HZ,
    "summary": 1.0 / 60.0,
    "summary_hour": 1.0 / 3600.0,
}
_NOON_S = 1793534400.0  # 2026-11-01T12:00:00Z
_HEARD_S = 3700  # an hour, and what its last minute waits for
_CONDITION = Condition(Calibration(118.37, "2026-10-01", "calibrator"))


class NodeMessages(NamedTuple):
    """All that the node of the name `MODEL_NAME` has to say."""

    will: Message
    announcement: list[Message]  # on every connection
    regular: dict[str, Message]  # one of each kind of `RATES_HZ`, in its order


def build_messages(bundle: Bundle) -> NodeMessages:
    """Those of the model node."""
    labels = tuple(bundle.labels)
    factory = MessageFactory("soundclr", MODEL_NAME, bundle.id, "0123456789abcdef" * 2, labels, (SOURCE,))
    now = UtcTime(time.time(), True)
    offline, online = (status_message("soundclr", MODEL_NAME, state) for state in ("offline", "online"))
    announcement = [online, factory.build("info", now, _full_values("info")), factory.build_status("online", SOURCE)]
    published = _sound_messages(factory, labels)
    published.append(factory.build("health", now, _full_values("health")))
    latest = {json.loads(message.payload)["type"]: message for message in published}
    return NodeMessages(offline, announcement, {kind: latest[kind] for kind in RATES_HZ})


def renamed(message: Message, name: str) -> Message:
    """The same message, from the node of this name."""
    if len(name) != len(MODEL_NAME):
        raise ValueError(f"node name {name!r}; expected {len(MODEL_NAME)} characters, as {MODEL_NAME!r} has")
    payload = message.payload.replace(MODEL_NAME.encode(), name.encode())
    return message._replace(topic=message.topic.replace(MODEL_NAME, name), payload=payload)


def _sound_messages(factory: MessageFactory, labels: tuple[str, ...]) -> list[Message]:
    """Of an hour with one sounding in each minute: all levels and summaries, and one of each other kind."""
    clock, published = SourceClock(_NOON_S), list[Message]()
    levels = LevelNews(SOURCE, clock, factory, published.append)
    summaries = SourceSummaries(SOURCE, clock, factory, published.append, labels)
    frames = street_of(_HEARD_S)
    for second in range(_HEARD_S):
        heard, changes = frames[8 * second : 8 * second + 8], _changes_at(second, labels[0])
        clock.observe(second * RATE_HZ, RATE_HZ, float(second))
        levels.take(heard, RATE_HZ, _CONDITION)
        summaries.note(heard, RATE_HZ, _CONDITION, changes)
        summaries.advance(float(second), second + 1.0)
        published += [factory.build_event(SOURCE, change, clock, _CONDITION) for change in changes]
    scores = dict.fromkeys(labels, 0.1234)
    window = Classification(8.0, 10.0, scores, labels[0], 0.1234, 0.1234, labels[:1], -34.56, -45.67, None)
    published.append(factory.build_classification(SOURCE, window, clock))
    now, told = clock.utc_of(float(_HEARD_S)), levels.state_values
    published.append(factory.build_state(SOURCE, now, labels[:1], -34.56, -45.67, levels=told))
    return published


def _changes_at(second: int, label: str) -> list[EventChange]:
    minute, within_s = divmod(second, 60)
    phase = {10: "start", 15: "end"}.get(within_s)
    if phase is None:
        return []
    start_s, reason = 60.0 * minute + 8.123, "quiet" if phase == "end" else None
    event_id = f"0123456789ab-{SOURCE}-0-{minute}"
    sound_levels = (-34.56, -23.45, -56.78)
    return [EventChange(event_id, phase, label, start_s, second - 1.0, reason, 0.9876, 0.8765, 0.25, *sound_levels)]


def _full_values(kind: str) -> dict[str, Any]:
    """A plausible value for every field."""
    fields = MESSAGE_TYPES[kind].fields
    return {field.name.replace("<source>", SOURCE): _plausible(field) for field in fields}


def _plausible(field: Field) -> Any:
    by_kind = {
        "text": field.choices[0] if field.choices else "as long as a word or two",
        "texts": ["siren", "car_horn", "dog_bark", "drilling", "jackhammer", "gun_shot", "engine_idling"],
        "time": time.time(),
        "flag": False,
        "count": 12345,
        "seconds": 1234.567,
        "number": 123.456,
        "degrees": 52.516275,
    }
    return by_kind[field.kind]
