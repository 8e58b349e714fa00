import socket
import sys
import threading
from pathlib import Path

import pytest

from edge.config import MqttConfig
from edge.connection import Connection
from edge.embedded_broker import EmbeddedBroker
from edge.errors import BrokerError
from edge.publish import Publisher
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until

needs_amqtt = pytest.mark.skipif(sys.version_info < (3, 10), reason="amqtt needs Python 3.10")


def take_all(connection, received, count):
    def is_there():
        connection.pump(0.1)
        return len(received) >= count

    return wait_until(is_there)


@needs_amqtt
def test_messages_of_a_publisher_reach_a_subscriber_and_status_stays():
    event = Message("soundclr/corner/street/event", b"{}", 1, False, True)
    with EmbeddedBroker(0, 0) as broker:
        received = []
        config = MqttConfig(port=broker.port)
        subscriber = Connection(config, "reader", on_message=received.append)
        subscriber.open()
        subscriber.subscribe("soundclr/#")
        with Publisher(config, "corner", MemoryStore(), list) as publisher:
            publisher.publish(event)
            assert take_all(subscriber, received, 2)
        assert take_all(subscriber, received, 3)
        assert [(m.topic, m.payload) for m in received] == [
            ("soundclr/corner/status", b"online"),
            (event.topic, b"{}"),
            ("soundclr/corner/status", b"offline"),
        ]
        late, found = Connection(config, "late", on_message=lambda message: found.append(message)), []
        late.open()
        late.subscribe("soundclr/#")
        assert take_all(late, found, 1)
        assert (found[0].payload, found[0].retained) == (b"offline", True)
        subscriber.close()
        late.close()


@needs_amqtt
def test_it_answers_websockets_on_loopback():
    with EmbeddedBroker(0, 0) as broker, socket.create_connection(("127.0.0.1", broker.websocket_port), 10) as link:
        link.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        )
        link.settimeout(10)
        assert b"101 Switching Protocols" in link.recv(4096)


@needs_amqtt
def test_it_listens_on_loopback_alone():
    with EmbeddedBroker(0, 0) as broker:
        listening = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text().splitlines()[1:]:
                address, state = line.split()[1], line.split()[3]
                if state == "0A" and int(address.split(":")[1], 16) in (broker.port, broker.websocket_port):
                    listening.add(address.split(":")[0])
        assert listening == {"0100007F"}


@needs_amqtt
def test_taken_ports_are_passed_over():
    with EmbeddedBroker(0, 0) as first, EmbeddedBroker(first.port, first.port) as second:
        assert len({first.port, first.websocket_port, second.port, second.websocket_port}) == 4
        assert second.port > first.port
        socket.create_connection(("127.0.0.1", second.port), 10).close()


@needs_amqtt
def test_closing_frees_port_and_thread():
    broker = EmbeddedBroker(0, 0).open()
    port = broker.port
    broker.close()
    broker.close()
    assert "embedded-broker" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)
    with EmbeddedBroker(port, 0) as again:
        assert again.port == port


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="amqtt can be had for this Python")
def test_old_python_is_told_what_is_missing():
    with pytest.raises(BrokerError, match=r"Python 3\.10"):
        EmbeddedBroker(0, 0).open()
