from edge.broker_check import check_broker
from edge.config import MqttConfig
from tests.edge.socket_broker import SocketBroker


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
