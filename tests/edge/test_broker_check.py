from edge.broker_check import check_announcement, check_broker
from edge.config import Config, HomeAssistantConfig, MqttConfig, NodeConfig, SourceConfig
from edge.connection import Connection
from edge.home_assistant import discovery_topic
from edge.messages import status_message
from edge.records import Message
from tests.edge.socket_broker import SocketBroker, wait_until


def check(port, **options):
    return check_broker(MqttConfig(port=port), "corner", **options)


def assert_tells(result, *words):
    assert result.ok is False
    for word in words:
        assert word in result.detail + " | " + result.mend
    assert result.mend
    assert "\n" not in result.detail + result.mend


def test_broker_that_gives_our_message_back_is_good():
    with SocketBroker() as broker:
        result = check(broker.port)
        assert (result.name, result.ok, result.mend) == ("broker", True, "")
        assert broker.topics() == ["soundclr/corner/check"]


def test_swallowed_message_is_told_from_an_acknowledged_one():
    with SocketBroker(delivers=False) as broker:
        assert_tells(check(broker.port, timeout_s=1.0), "did not give it back", "ACL", "soundclr/corner/#")


def test_nobody_there_is_told():
    with SocketBroker() as broker:
        port = broker.port
    assert_tells(check(port), "nothing listens", "start the broker")


def test_refusal_is_told():
    with SocketBroker(connack=4) as broker:
        assert_tells(check(broker.port), "bad user name or password", "password_file")


def test_silence_is_told():
    with SocketBroker(answers=False) as broker:
        assert_tells(check(broker.port, timeout_s=0.5), "does not answer")


def test_password_file_that_is_not_there_is_told():
    config = MqttConfig(username="corner", password_file="/nonexistent/password")
    assert_tells(check_broker(config, "corner"), "/nonexistent/password", "may read")


def test_an_announcement_for_home_assistant_is_found_or_missed():
    with SocketBroker() as broker:
        config = Config(
            NodeConfig("corner"),
            (SourceConfig("mic", "microphone"),),
            MqttConfig(port=broker.port),
            home_assistant=HomeAssistantConfig(True),
        )
        retained = [(status_message("soundclr", "corner", "online"), "no announcement")]
        retained.append((Message(discovery_topic(config), b"{}", 1, True, False), "is announced"))
        assert "once it runs" in check_announcement(config).detail
        for message, words in retained:
            connection = Connection(config.mqtt, "node")
            connection.open()
            connection.publish(message)
            assert wait_until(lambda: connection.pump(0.1) or connection.take_acknowledged())  # noqa: B023 - run at once
            connection.close()
            result = check_announcement(config)
            assert words in result.detail and result.ok == (not result.mend)
