"""The announcement for Home Assistant through a real mosquitto's ACL: found, found missing, taken back."""

import pytest

from edge.broker_check import check_announcement
from edge.config import Config, HomeAssistantConfig, NodeConfig, SourceConfig
from edge.home_assistant import Announcer, discovery_topic
from edge.publish import Publisher
from edge.retire import retire_node
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until

pytestmark = pytest.mark.system
OWN = "user corner\ntopic readwrite soundclr/corner/#\n"
ALLOWED = OWN + "topic readwrite homeassistant/device/+/config\ntopic read homeassistant/status\n"


@pytest.fixture
def config(mosquitto):
    return Config(
        NodeConfig("corner"),
        (SourceConfig("mic", "microphone"),),
        mosquitto.config(),
        home_assistant=HomeAssistantConfig(True),
    )


def allow(mosquitto, acl):
    mosquitto.stop()
    mosquitto.write_settings(acl)
    mosquitto.start()


def open_node(config):
    announcer = Announcer(config, ["siren"])
    publisher = Publisher(
        config.mqtt, "corner", MemoryStore(), announcer.messages_on_connect, subscriptions=announcer.subscriptions
    ).open()
    assert wait_until(lambda: publisher.connection_state == "connected")
    return publisher


def test_an_announcement_that_gets_through_is_found_and_taken_back(mosquitto, config):
    allow(mosquitto, ALLOWED)
    assert "once it runs" in check_announcement(config).detail
    publisher = open_node(config)
    assert wait_until(lambda: "is announced at" in check_announcement(config, 5.0).detail)
    publisher.close()
    done = retire_node(config)
    assert discovery_topic(config) in done.cleared and done.kept == []
    assert "once it runs" in check_announcement(config).detail


def test_an_acl_that_swallows_the_announcement_is_named_and_everything_else_works(mosquitto, config):
    allow(mosquitto, OWN)
    publisher = open_node(config)
    try:
        assert wait_until(lambda: not check_announcement(config, 5.0).ok)
        result = check_announcement(config)
        assert (
            discovery_topic(config) in result.detail and "ACL" in result.mend and "homeassistant/status" in result.mend
        )
        assert "user corner" in result.mend or "'corner'" in result.mend, result
    finally:
        publisher.close()
    assert "soundclr/corner/status" in retire_node(config).cleared
