"""Home Assistant finds the node by itself: MQTT discovery of one device with all its entities (2024.11 and later)."""

from edge.home_assistant.announcer import Announcer
from edge.home_assistant.entities import birth_topic, discovery_topic

__all__ = ["Announcer", "birth_topic", "discovery_topic"]
