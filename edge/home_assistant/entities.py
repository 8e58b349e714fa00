"""What Home Assistant is told of a node: one device, and the entities that read its `state` and status topics.

Home Assistant stamps what arrives with the time of arrival, so nothing here reads a topic that is ever replayed.

Source: home-assistant.io, integrations/mqtt (discovery payload of a device), integrations/sensor.mqtt and
binary_sensor.mqtt; tried in Home Assistant 2025.4.
"""

import hashlib
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from edge import __version__
from edge.config import Config, MqttConfig
from edge.messages import topic_of
from edge.records import JsonObject
from edge.sources.faults import FAULTS

_NO_FAULT = "none"
_LEVELS = (("laeq", "LAeq"), ("lafmax", "LAFmax"))  # the fields of `state`, and what they are called
_MISSED_STATES = 3  # so many that do not come make an entity unavailable ...
_EXPIRY_GRACE_S = 30  # ... after this time on top: a reconnection is no outage


class Levels(NamedTuple):
    """What is known of a source's levels."""

    calibrated: Optional[bool] = None  # now; None: unknown, or no levels
    unit: Optional[str] = None  # of the calibrated ones, as Home Assistant writes it; None: never calibrated yet


def device_id(config: Config) -> str:
    """Identifies the node in Home Assistant: as unique as its topics, and no character that discovery forbids."""
    root = config.mqtt.root
    is_usual = root == MqttConfig().root
    prefix = "soundclr" if is_usual else "soundclr-" + hashlib.sha256(root.encode("utf-8")).hexdigest()[:8]
    return "%s_%s" % (prefix, config.node.name)


def discovery_topic(config: Config) -> str:
    """Where the node is announced."""
    return "%s/device/%s/config" % (config.home_assistant.prefix, device_id(config))


def birth_topic(config: Config) -> str:
    """Where Home Assistant says that it has started."""
    return "%s/status" % config.home_assistant.prefix


def levels_from_state(values: JsonObject, before: Levels) -> Levels:
    """What a `state` message tells of its source's levels."""
    calibrated = values.get("calibrated")
    if not isinstance(calibrated, bool):
        return before
    if not calibrated:
        return before._replace(calibrated=False)
    # dBA is a claim: not below the bandwidth that A-weighting needs
    return Levels(True, "dBA" if values.get("bandwidth_hz") is None else "dB")


def discovery_payload(config: Config, labels: Sequence[str], levels: Dict[str, Levels]) -> JsonObject:
    """The announcement, without what was announced once and is gone.

    Args:
        labels: the model's classes.
        levels: what is known of each source's.
    """
    components = {"node": _node_entity(config)}
    for source in config.source:
        entities = _SourceEntities(config, source.name)
        components.update(entities.connectivity())
        components.update(entities.fault())
        components.update(entities.sounds(labels))
        components.update(entities.levels(levels.get(source.name, Levels())))
    return {
        "device": {
            "identifiers": [device_id(config)],
            "name": config.node.name,
            "manufacturer": "soundclr",
            "model": "Street-sound node",
            "sw_version": __version__,
        },
        "origin": {"name": "soundclr-edge", "sw_version": __version__},
        "components": components,
    }


def _node_entity(config: Config) -> JsonObject:
    return {
        "platform": "binary_sensor",
        "unique_id": device_id(config) + ".node",
        "name": "Node",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topic_of("status", config.mqtt.root, config.node.name),
        "payload_on": "online",
        "payload_off": "offline",
        "qos": 1,
    }


class _SourceEntities:
    """The entities of one source."""

    def __init__(self, config: Config, source: str) -> None:
        root, node = config.mqtt.root, config.node.name
        self._config, self._source = config, source
        self._status = topic_of("source_status", root, node, source)
        self._state = topic_of("state", root, node, source)
        self._node_status = topic_of("status", root, node)

    def connectivity(self) -> Dict[str, Any]:
        """Whether the microphone gives sound."""
        entity = self._entity("microphone", "binary_sensor", "Microphone", self._status, [self._node_status])
        entity.update(device_class="connectivity", payload_on="online", payload_off="offline")
        entity.update(entity_category="diagnostic")
        return self._keyed("microphone", entity)

    def fault(self) -> Dict[str, Any]:
        """What keeps it from hearing; also, and above all, while it gives no sound."""
        entity = self._of_state("fault", "sensor", "Fault", [self._node_status])
        entity.update(
            device_class="enum",
            options=[_NO_FAULT] + list(FAULTS),
            entity_category="diagnostic",
            value_template="{{ value_json.fault or '%s' }}" % _NO_FAULT,
            json_attributes_topic=self._state,
            json_attributes_template="{{ {'detail': value_json.fault_detail} | tojson }}",
        )
        return self._keyed("fault", entity)

    def sounds(self, labels: Sequence[str]) -> Dict[str, Any]:
        """One entity for each class: whether it sounds."""
        found = {}
        for label in labels:
            entity = self._of_state("sound." + label, "binary_sensor", _words(label))
            entity.update(device_class="sound", value_template="{{ value_json['active_%s'] }}" % label)
            found.update(self._keyed("sound." + label, entity))
        return found

    def levels(self, levels: Levels) -> Dict[str, Any]:
        """Levels re 20 uPa once there was a calibration, in dBFS where there is none now."""
        found = {}
        for field, name in _LEVELS:
            if levels.unit is not None:
                entity = self._level(field, name if levels.unit == "dBA" else name + " band-limited", levels.unit)
                entity.update(device_class="sound_pressure", value_template="{{ value_json.%s_db }}" % field)
                found.update(self._keyed(field, entity))
            if levels.calibrated is False:
                entity = self._level(field + "_dbfs", name + " uncalibrated", "dBFS")
                entity.update(value_template="{{ value_json.%s_dbfs }}" % field, entity_category="diagnostic")
                found.update(self._keyed(field + "_dbfs", entity))
        if levels.unit is not None:
            entity = self._of_state("calibrated_on", "sensor", "Calibrated on", [self._node_status])
            entity.update(device_class="date", value_template="{{ value_json.calibrated_on }}")
            entity.update(entity_category="diagnostic")
            found.update(self._keyed("calibrated_on", entity))
        return found

    def _level(self, key: str, name: str, unit: str) -> JsonObject:
        entity = self._of_state(key, "sensor", name)
        entity.update(unit_of_measurement=unit, state_class="measurement", suggested_display_precision=1)
        return entity

    def _of_state(self, key: str, platform: str, name: str, needs: Optional[List[str]] = None) -> JsonObject:
        entity = self._entity(key, platform, name, self._state, needs or [self._node_status, self._status])
        interval_s = self._config.publish.state_interval_s
        return dict(entity, expire_after=int(math.ceil(_MISSED_STATES * interval_s)) + _EXPIRY_GRACE_S)

    def _entity(self, key: str, platform: str, name: str, topic: str, needs: List[str]) -> JsonObject:
        is_alone = len(self._config.source) == 1
        return {
            "platform": platform,
            "unique_id": "%s.%s.%s" % (device_id(self._config), self._source, key),
            "name": name if is_alone else "%s (%s)" % (name, self._source),
            "state_topic": topic,
            # the words are its defaults, and 2024.11.0 forgets that at times
            "availability": [
                {"topic": status, "payload_available": "online", "payload_not_available": "offline"} for status in needs
            ],
            "availability_mode": "all",
            "qos": 1,
        }

    def _keyed(self, key: str, entity: JsonObject) -> Dict[str, Any]:
        return {"%s.%s" % (self._source, key): entity}  # slugs have no dot: no two keys are the same


def _words(label: str) -> str:
    return label.replace("_", " ").replace("-", " ").strip().capitalize()
