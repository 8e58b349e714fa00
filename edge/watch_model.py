"""What a subscriber knows of the nodes from their messages alone.  No clock, no screen, no network."""

import json
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Tuple

from edge.records import JsonObject
from edge.watch_levels import OF_NOW, OF_THE_MINUTE, LevelsSeen, levels_from

_RECENT_EVENTS = 200
_NODES = 200  # a shared broker may hold anything; what comes beyond is counted, not kept
_SOURCES = 50
_LABELS = 500
_SCORE_PREFIX = "score_"


class EventSeen(NamedTuple):
    """One event, as far as it is known."""

    event_id: str
    node: str
    source: str
    label: str
    start_ms: Optional[int]
    duration_s: float
    score_max: float
    end_reason: Optional[str]  # None while it lasts
    replayed: bool
    levels: Optional[LevelsSeen] = None


class Update(NamedTuple):
    """What a message brought."""

    kind: str  # message type; "event_start", "event_update", "event_end"; "rubbish"
    node: str
    source: Optional[str]
    event: Optional[EventSeen] = None
    detail: str = ""


class SourceSeen:
    """One source as last heard of."""

    def __init__(self) -> None:
        self.status: Optional[str] = None
        self.scores: Dict[str, float] = {}
        self.foreign: Optional[float] = None
        self.label: Optional[str] = None
        self.accepted_label: Optional[str] = None
        self.reason: Optional[str] = None
        self.level_dbfs: Optional[float] = None
        self.active: Tuple[str, ...] = ()
        self.levels: Optional[LevelsSeen] = None  # of the last second
        self.minute: Optional[LevelsSeen] = None


class NodeSeen:
    """One node as last heard of."""

    def __init__(self) -> None:
        self.status: Optional[str] = None
        self.info: JsonObject = {}
        self.health: JsonObject = {}
        self.sources: Dict[str, SourceSeen] = {}


class WatchModel:
    """Feed it messages; read what it knows.

    Args:
        root: what precedes the node's name in every topic.
    """

    def __init__(self, root: str) -> None:
        self._prefix = root + "/"
        self.nodes: Dict[str, NodeSeen] = {}
        self.events: Deque[EventSeen] = deque(maxlen=_RECENT_EVENTS)  # the oldest first
        self.events_started: Dict[str, int] = {}  # by label
        self.messages = self.classifications = self.rubbish = 0
        self.last_rubbish = ""  # the topic it came on
        self._seen_ids: Deque[str] = deque(maxlen=1000)  # of durable messages: QoS 1 delivers twice at times

    def feed(self, topic: str, payload: bytes, retained: bool) -> List[Update]:
        """Take one message.  Anything may come from a broker: what cannot be read is counted and never raised."""
        self.messages += 1
        if not payload and retained:
            return []  # somebody has cleared a topic
        try:
            return self._take(topic, payload)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            self.rubbish += 1
            self.last_rubbish = topic
            return [Update("rubbish", "", None, detail="%s: %s" % (topic, error))]

    def _take(self, topic: str, payload: bytes) -> List[Update]:
        if not topic.startswith(self._prefix):
            raise ValueError("not below %s" % self._prefix)
        levels = topic[len(self._prefix) :].split("/")
        if len(levels) < 2 or not all(levels):
            raise ValueError("no topic of a node")
        node_name, kind = levels[0], levels[-1]
        if len(levels) == 2 and kind in ("status", "info", "health", "check"):
            return self._take_node(node_name, kind, payload)
        if len(levels) == 3 and kind in ("status", "classification", "state", "event", "level", "summary"):
            return self._take_source(node_name, levels[1], kind, payload)
        return []  # v1 may gain topics

    def _take_node(self, node_name: str, kind: str, payload: bytes) -> List[Update]:
        if kind == "check":
            return []
        node = self._node(node_name)
        if kind == "status":
            node.status = _status_from(payload)
        else:
            setattr(node, kind, _object_from(payload))
        return [Update(kind, node_name, None)]

    def _take_source(self, node_name: str, source_name: str, kind: str, payload: bytes) -> List[Update]:
        source = self._source(node_name, source_name)
        if kind == "status":
            source.status = _status_from(payload)
            if source.status == "offline":
                source.levels = None
            return [Update("source_status", node_name, source_name)]
        values = _object_from(payload)
        if kind == "event":
            return self._take_event(node_name, source_name, values)
        if kind == "classification":
            _classify(source, values)
            self.classifications += 1
        elif kind == "level":
            source.levels = levels_from(values, OF_NOW)
        elif kind == "summary":
            if not values.get("replayed"):  # history is no news
                source.minute = levels_from(values, OF_THE_MINUTE)
        else:
            source.active = tuple(
                name[len("active_") :]
                for name, value in sorted(values.items())
                if name.startswith("active_") and value == "ON"
            )
        return [Update(kind, node_name, source_name)]

    def _take_event(self, node_name: str, source_name: str, values: JsonObject) -> List[Update]:
        message_id, phase = str(values["id"]), values["phase"]
        if phase not in ("start", "update", "end"):
            raise ValueError("phase %r" % (phase,))
        duration_s = float(values.get("duration_s", 0.0))
        start_ms = int(values["ts_ms"]) - (int(round(duration_s * 1000.0)) if phase != "start" else 0)
        event = EventSeen(
            str(values["event_id"]),
            node_name,
            source_name,
            str(values["label"]),
            start_ms,
            duration_s,
            float(values.get("score_max", 0.0)),
            str(values.get("end_reason") or "unknown") if phase == "end" else None,
            bool(values.get("replayed")),
            levels_from(values, OF_NOW) if phase == "end" else None,
        )
        if message_id in self._seen_ids:
            return []
        self._seen_ids.append(message_id)
        known = [index for index, old in enumerate(self.events) if old[:3] == event[:3]]
        if known and self.events[known[0]].end_reason is None:
            self.events[known[0]] = event
        elif not known:
            self.events.append(event)
            is_known = event.label in self.events_started or len(self.events_started) < _LABELS
            label = event.label if is_known else "others"
            self.events_started[label] = self.events_started.get(label, 0) + 1
        return [Update("event_" + phase, node_name, source_name, event)]

    def _node(self, name: str) -> NodeSeen:
        if name not in self.nodes and len(self.nodes) >= _NODES:
            raise ValueError("more than %d nodes" % _NODES)
        return self.nodes.setdefault(name, NodeSeen())

    def _source(self, node_name: str, name: str) -> SourceSeen:
        sources = self._node(node_name).sources
        if name not in sources and len(sources) >= _SOURCES:
            raise ValueError("more than %d sources" % _SOURCES)
        return sources.setdefault(name, SourceSeen())


def _classify(source: SourceSeen, values: JsonObject) -> None:
    scores = {
        name[len(_SCORE_PREFIX) :]: _ratio(value) for name, value in values.items() if name.startswith(_SCORE_PREFIX)
    }
    foreign = values.get("foreign")
    level_dbfs = values.get("level_dbfs")
    source.foreign = None if foreign is None else _ratio(foreign)
    source.level_dbfs = None if level_dbfs is None else float(level_dbfs)
    source.scores = dict(sorted(scores.items()))
    source.label, source.accepted_label, source.reason = (
        None if values.get(name) is None else str(values[name]) for name in ("label", "accepted_label", "reason")
    )


def _ratio(value: Any) -> float:
    ratio = float(value)
    if not 0.0 <= ratio <= 1.0:
        raise ValueError("score %r; expected 0 to 1" % (value,))
    return ratio


def _status_from(payload: bytes) -> str:
    status = payload.decode("utf-8")
    if status not in ("online", "offline"):
        raise ValueError("status %.40r" % status)
    return status


def _object_from(payload: bytes) -> JsonObject:
    values = json.loads(payload.decode("utf-8"))
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    return values
