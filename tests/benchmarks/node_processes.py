"""A node and its broker as processes of their own, as they run on a street; and what they take of memory."""

import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt

_START_S = 60.0
_STOP_S = 15.0

_BROKER = """
import sys
from edge.embedded_broker import EmbeddedBroker
with EmbeddedBroker(port=0, websocket_port=0) as broker:
    print(broker.port, flush=True)
    sys.stdin.read()
"""

# The daemon with a capture child that needs no sound card: the daemon's own code around it is the very same.
_NODE_WITH_STAND_IN = """
import sys
import edge.listener
from edge.sources.microphone import MicrophoneSource

def stand_in(config, **_options):
    return MicrophoneSource(config.name, command=[sys.executable, {child!r}, "sound", {state!r}])

edge.listener.source_from_config = stand_in
from edge.cli import main
sys.exit(main(["--log-level", "warning", "run", "--config", {config!r}]))
"""


@contextmanager
def running_broker() -> Iterator[int]:
    """A broker in a process of its own.  Gives its port."""
    with _running([sys.executable, "-c", _BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the embedded broker did not start; see its last lines above")
        yield int(line)


@contextmanager
def running_node(
    folder: Path, port: int, source: str, *, environment: dict[str, str] | None = None, stand_in_child: bool = False
) -> Iterator[subprocess.Popen]:
    """The daemon in a process of its own.

    Args:
        folder: for its configuration.
        port: of the broker.
        source: the keys of its [[source]] table, as TOML.
        stand_in_child: take `fake_capture.py` for the capture child.
    """
    config = folder / "node.toml"
    config.write_text(f'[node]\nname = "bench"\n[mqtt]\nport = {port}\n[[source]]\nname = "street"\n{source}\n')
    command = [sys.executable, "-m", "edge", "--log-level", "warning", "run", "--config", str(config)]
    if stand_in_child:
        child = Path(__file__).parents[1] / "edge" / "fake_capture.py"
        code = _NODE_WITH_STAND_IN.format(child=str(child), state=str(folder / "starts"), config=str(config))
        command = [sys.executable, "-c", code]
    with _running(command, env={**os.environ, "STATE_DIRECTORY": str(folder), **(environment or {})}) as process:
        yield process


@contextmanager
def subscription(port: int, topic: str, messages: "queue.Queue", stamp) -> Iterator[None]:
    """Puts (stamp(), payload) for each message of this topic, from a thread of paho's."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    subscribed: queue.Queue = queue.Queue()
    client.on_message = lambda _client, _data, message: messages.put((stamp(), message.payload))
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        subscribed.get(timeout=_START_S)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def memory_mb(pid: int) -> dict[str, float]:
    """Pss, Pss_Anon, Rss of a process, MB (10^6 bytes).  Raises OSError where it has ended."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {words[0].rstrip(":"): int(words[1]) * 1024 / 1e6 for words in lines}


def children_of(pid: int) -> list[int]:
    """Processes that this one has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@contextmanager
def _running(command: list[str], **options) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()  # the broker's end
            else:
                process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
