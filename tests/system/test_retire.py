"""`retire` on a real mosquitto: what a node has retained is gone, and nothing else."""

import pytest

from edge.cli import main
from edge.config import Config, NodeConfig, SourceConfig
from edge.connection import Connection
from edge.errors import BrokerError
from edge.records import Message
from edge.retire import StillOnlineError, retire_node
from tests.edge.socket_broker import wait_until

pytestmark = pytest.mark.system
OWN = ["soundclr/corner/" + name for name in ("info", "mic/status", "old-mic/status", "status")]
OTHER = "soundclr/yard/status"


def config_for(mosquitto, user="corner"):
    return Config(NodeConfig("corner"), (SourceConfig("mic", "microphone"),), mosquitto.config(user))


def retain(mosquitto, topics, payload=b"offline"):
    connection = Connection(mosquitto.config("viewer"), "writer")
    connection.open()
    waiting = {connection.publish(Message(topic, payload, 1, True, False)) for topic in topics}
    while waiting:
        connection.pump(0.1)
        waiting -= set(connection.take_acknowledged())
    connection.close()


def retained(mosquitto):
    """Topics that a new reader is given at once."""
    found = []
    connection = Connection(mosquitto.config("viewer"), "reader", on_message=found.append)
    connection.open()
    connection.subscribe("soundclr/#")
    connection.publish(Message("soundclr/yard/end", b"", 1, False, False))  # comes after all that is retained

    def has_ended():
        connection.pump(0.1)
        return any(message.topic == "soundclr/yard/end" for message in found)

    assert wait_until(has_ended, 60)
    connection.close()
    return sorted(message.topic for message in found if message.retained and message.payload)


def test_all_that_the_node_retained_is_gone_and_nothing_else(mosquitto):
    retain(mosquitto, OWN + [OTHER])
    done = retire_node(config_for(mosquitto))
    assert done.cleared == OWN and done.kept == []
    assert retained(mosquitto) == [OTHER]
    again = retire_node(config_for(mosquitto))
    assert (again.cleared, again.kept) == ([], [])


def test_a_node_that_is_online_is_left_alone_unless_forced(mosquitto):
    retain(mosquitto, OWN, b"online")
    with pytest.raises(StillOnlineError, match="stop it first"):
        retire_node(config_for(mosquitto))
    assert retained(mosquitto) == OWN
    assert retire_node(config_for(mosquitto), force=True).cleared == OWN
    assert retained(mosquitto) == []


def test_a_broker_that_swallows_what_we_write_is_found_out(mosquitto):
    retain(mosquitto, OWN)
    done = retire_node(config_for(mosquitto, "deaf"))
    assert (done.cleared, done.kept) == ([], OWN)


def test_no_broker_is_no_success(mosquitto):
    mosquitto.stop()
    with pytest.raises(BrokerError):
        retire_node(config_for(mosquitto))


def test_the_command_says_what_it_cleared(mosquitto, tmp_path, capsys):
    mqtt = mosquitto.config()
    text = '[node]\nname = "corner"\n[[source]]\nname = "mic"\ntype = "microphone"\n[mqtt]\nport = %d\n' % mqtt.port
    path = tmp_path / "node.toml"
    path.write_text(text + 'username = "corner"\npassword_file = "%s"\n' % mqtt.password_file)
    retain(mosquitto, OWN, b"online")
    assert main(["retire", "--config", str(path)]) == 1
    assert "is online" in capsys.readouterr().err
    assert main(["retire", "--config", str(path), "--force"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["cleared", topic] for topic in OWN]
    mosquitto.stop()
    assert main(["retire", "--config", str(path)]) == 1
