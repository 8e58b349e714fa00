"""The AsyncAPI 3.0 document: channels, messages and operations of a node, from the one definition of its messages."""

from typing import Any, Dict

from edge import __version__
from edge.config import MqttConfig
from edge.contract.examples import example_payload
from edge.message_fields import SCHEMA_VERSION, SLUG_PATTERN
from edge.message_schema import json_schema
from edge.message_types import MESSAGE_TYPES, MessageType
from edge.records import JsonObject

_MQTT_BINDING = "0.2.0"
_READ_BY_THE_NODE = {  # types that it reads from its own topics
    "status": "At each connection: whether another node was online under this name before.",
    "info": "Another node under this name is noticed by its info.",
    "check": "`soundclr-edge check` reads what it has written, to prove that the broker passes it on.",
}
_PARAMETERS = {
    "root": {"description": "First levels of every topic, as configured.", "default": MqttConfig().root},
    "node": {"description": "The node's name: %s" % SLUG_PATTERN},
    "source": {"description": "The name of one of its sources (microphones): %s" % SLUG_PATTERN},
    "prefix": {"description": "Home Assistant's discovery prefix, as configured.", "default": "homeassistant"},
    "device": {"description": "The node's id in Home Assistant."},
}


def asyncapi_document() -> JsonObject:
    """The document, as seen by the node: it sends what subscribers receive."""
    types = MESSAGE_TYPES
    channels: Dict[str, Any] = {name: _channel(_address(kind.topic), [name]) for name, kind in types.items()}
    operations: Dict[str, Any] = {"send_" + name: _operation("send", name, kind) for name, kind in types.items()}
    for name, why in _READ_BY_THE_NODE.items():
        operations["receive_" + name] = dict(_operation("receive", name, types[name]), description=why)
    messages = {name: _message(name, kind) for name, kind in types.items()}
    _add_home_assistant(channels, operations, messages)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Street-sound node, MQTT v%d" % SCHEMA_VERSION,
            "version": "%d.0.0" % SCHEMA_VERSION,
            "description": "What a node tells of the sounds it hears, and how loud they are. Made from the definition "
            "that the node's own messages are built by (soundclr-edge %s); v%d may gain fields, words and topics, and "
            "never renames or drops one." % (__version__, SCHEMA_VERSION),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server("mqtt", 1883), "broker_tls": _server("secure-mqtt", 8883)},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {name: _schema(name) for name in types}},
    }


def _server(protocol: str, port: int) -> JsonObject:
    will = MESSAGE_TYPES["status"]
    return {
        "host": "{host}:%d" % port,
        "protocol": protocol,
        "protocolVersion": "3.1.1",
        "description": "The broker that node and subscribers share.",
        "variables": {"host": {"description": "Its name or address.", "default": "localhost"}},
        "bindings": {
            "mqtt": {
                "clientId": "{node}-{installation}",
                "cleanSession": True,
                "keepAlive": MqttConfig().keepalive_s,
                "lastWill": {
                    "topic": _address(will.topic),
                    "qos": will.qos,
                    "retain": will.retain,
                    "message": "offline",
                },
                "bindingVersion": _MQTT_BINDING,
            }
        },
    }


def _address(topic: str) -> str:
    return topic.replace("<", "{").replace(">", "}")


def _channel(address: str, names: Any) -> JsonObject:
    return {
        "address": address,
        "parameters": {name: value for name, value in _PARAMETERS.items() if "{%s}" % name in address},
        "messages": {name: {"$ref": "#/components/messages/" + name} for name in names},
    }


def _operation(action: str, name: str, kind: MessageType) -> JsonObject:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/" + name},
        "summary": kind.description,
        "messages": [{"$ref": "#/channels/%s/messages/%s" % (name, name)}],
        "bindings": {"mqtt": {"qos": kind.qos, "retain": kind.retain, "bindingVersion": _MQTT_BINDING}},
    }


def _message(name: str, kind: MessageType) -> JsonObject:
    return {
        "name": name,
        "title": "%s v%d" % (name, SCHEMA_VERSION),
        "summary": kind.description,
        "contentType": "text/plain" if kind.bare_choices else "application/json",
        "payload": {"$ref": "#/components/schemas/" + name},
        "examples": [{"name": name, "payload": example_payload(name)}],
        "x-durable": kind.durable,
    }


def _schema(name: str) -> JsonObject:
    schema = {key: value for key, value in json_schema(name).items() if key not in ("$schema", "$id")}
    return dict(schema, type="string") if "enum" in schema else schema


def _add_home_assistant(channels: Dict[str, Any], operations: Dict[str, Any], messages: Dict[str, Any]) -> None:
    """What [home_assistant] discovery = true adds: Home Assistant's own contract, not ours."""
    described = {
        "home_assistant_discovery": ("send", "{prefix}/device/{device}/config", "The node's entities.", True),
        "home_assistant_birth": ("receive", "{prefix}/status", "Home Assistant has started, or ends.", False),
    }
    for name, (action, address, what, retain) in described.items():
        kind = MessageType(address, 1, retain, False, what + " With [home_assistant] discovery = true alone.", ())
        channels[name] = _channel(address, [name])
        operations["%s_%s" % (action, name)] = _operation(action, name, kind)
        words: JsonObject = {"type": "string", "enum": ["online", "offline"]}
        payload: JsonObject = {"type": "object"} if action == "send" else words
        messages[name] = {
            "name": name,
            "summary": kind.description,
            "contentType": "application/json" if action == "send" else "text/plain",
            "payload": payload,
        }
