"""The two programs of the documentation, as a reader would run them, against a real mosquitto."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.connection import Connection
from edge.contract.examples import example_message, example_payload
from tests.edge.socket_broker import wait_until

pytestmark = pytest.mark.system
HERE = Path(__file__).resolve().parent
HANG_S = 120.0
OPEN_TO_ALL = "topic readwrite soundclr/#\n"


@pytest.fixture
def open_broker(mosquitto):
    """A mosquitto that asks nobody for a password, as the examples give none."""
    mosquitto.stop()
    mosquitto.write_settings(OPEN_TO_ALL)
    settings = mosquitto.folder / "mosquitto.conf"
    settings.write_text(settings.read_text().replace("allow_anonymous false", "allow_anonymous true"))
    return mosquitto.start()


@pytest.fixture(params=["subscriber.py", "subscriber.mjs"])
def command(request):
    if request.param.endswith(".py"):
        return [sys.executable, str(HERE / request.param)]
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / ".installed").exists():
        pytest.skip(
            "Node.js 18 or later with npm is not installed, or .ci/install-node-packages tests/contract not run"
        )
    return [node, str(HERE / request.param)]


class Subscriber:
    """The program while it runs, and what it has printed."""

    def __init__(self, command, broker, folder):
        self._path = folder / "printed"
        self._file = open(self._path, "ab")  # noqa: SIM115 - closed with the program
        self._process = subprocess.Popen(
            [*command, "127.0.0.1", str(broker.port)], stdout=self._file, stderr=self._file, stdin=subprocess.DEVNULL
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.kill()
        self._process.wait(HANG_S)
        self._file.close()

    def lines(self):
        return self._path.read_text(encoding="utf-8").splitlines()


def publish(broker, *messages):
    connection = Connection(broker.config(username="", password_file=""), "node")
    connection.open()
    waiting = {connection.publish(message) for message in messages}
    while waiting:
        connection.pump(0.1)
        waiting -= set(connection.take_acknowledged())
    connection.close()


def numbered(number):
    event = example_message("event")
    return event._replace(payload=event.payload.replace(b'"9f1c2ab4d0e7-1"', b'"number-%d"' % number))


def subscribed(broker):
    return "soundclr/+/+/event" in broker.log()


def test_it_prints_events_also_those_that_came_while_it_was_away(command, open_broker, tmp_path):
    settings = open_broker.folder / "mosquitto.conf"
    settings.write_text(settings.read_text() + "log_type all\n")
    open_broker.stop()
    open_broker.start()
    folder = tmp_path / "subscriber"
    folder.mkdir()
    with Subscriber(command, open_broker, folder) as first:
        assert wait_until(lambda: subscribed(open_broker), HANG_S), first.lines() + [open_broker.log()]
        publish(open_broker, numbered(0), example_message("state"))
        assert wait_until(lambda: len(first.lines()) == 1, HANG_S), open_broker.log()
        event = example_payload("event")
        words = first.lines()[0].split()
        assert words == ["number-0", event["start"], event["node"], "end", "siren", "71.2"]
    publish(open_broker, *[numbered(number) for number in range(1, 51)])
    with Subscriber(command, open_broker, folder) as again:
        assert wait_until(lambda: len(again.lines()) >= 51, HANG_S), again.lines()
        time.sleep(0.2)  # nothing comes twice
        assert [line.split()[0] for line in again.lines()] == ["number-%d" % number for number in range(51)]
