"""`make run`: a broker of its own, the daemon, the live page, and what any dashboard would receive, in one terminal."""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, List, Optional, Tuple

from edge.config import MqttConfig, SourceConfig
from edge.embedded_broker import EmbeddedBroker
from edge.errors import EdgeError, SourceError, complaint
from edge.page_server import PageServer, page_address
from edge.sources.devices import choose_device, list_devices
from edge.watch import Watcher

RECORDING = Path(__file__).resolve().parent / "demonstration" / "street.ogg"
_STOP_TIMEOUT_S = 10.0
_LOG_LINES = 15


def main(argv: Optional[List[str]] = None) -> int:
    """Run the demonstration.  Returns 0 where classifications came, 1 where none did, 2 where nothing could start."""
    parser = argparse.ArgumentParser(prog="python -m edge.demo", description=__doc__)
    parser.add_argument("--duration-s", type=float, default=None, help="end after this time (default: until Ctrl-C)")
    parser.add_argument(
        "--recording", action="store_true", help="play the street recording even if there is a microphone"
    )
    arguments = parser.parse_args(argv)
    try:
        return _demonstrate(arguments.duration_s, arguments.recording)
    except EdgeError as error:
        sys.stderr.write(complaint(error))
        return 2


def choose_source() -> Tuple[SourceConfig, str]:
    """The default microphone where there is one, else the recording; and one line that says which and why."""
    try:
        device = choose_device(list_devices(), "")
    except SourceError as error:
        return recording_source(), "No microphone here: %s.\nPlaying the street recording instead." % error
    return SourceConfig("microphone", "microphone"), "Listening to the microphone %s." % device.name


def recording_source() -> SourceConfig:
    """The street recording that ships with the project, over and over, at the pace of the street."""
    return SourceConfig("street", "file", path=str(RECORDING), realtime=True, loop=True)


def _demonstrate(duration_s: Optional[float], recording: bool) -> int:
    source, said = (recording_source(), "Playing the street recording.") if recording else choose_source()
    print(said)
    with EmbeddedBroker() as broker, PageServer() as page, tempfile.TemporaryDirectory(prefix="soundclr-") as folder:
        print(
            "MQTT broker: 127.0.0.1:%d (websockets: ws://127.0.0.1:%d), topics soundclr/#"
            % (broker.port, broker.websocket_port)
        )
        websockets = "ws://127.0.0.1:%d/" % broker.websocket_port
        print("Live page: %s" % page_address(page.host, page.port, websockets), flush=True)
        config = Path(folder) / "demo.toml"
        config.write_text(_config_text(source, broker.port), encoding="utf-8")
        watcher = Watcher(MqttConfig(port=broker.port))
        with open(str(Path(folder) / "daemon.log"), "w+") as log:
            failed = _watch_daemon(config, log, watcher, duration_s)
            if failed:
                log.seek(0)
                sys.stderr.write("".join(log.readlines()[-_LOG_LINES:]))
    print(watcher.summary())
    return 1 if failed or not watcher.model.classifications else 0


def _watch_daemon(config: Path, log: IO[str], watcher: Watcher, duration_s: Optional[float]) -> bool:
    """Run the daemon while the watcher shows its messages.  Returns whether the daemon failed."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--config", str(config), "--state-dir", str(config.parent)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=str(Path(__file__).resolve().parent.parent),
    )
    over = threading.Event()

    def follow() -> None:
        daemon.wait()
        over.set()

    threading.Thread(target=follow, name="daemon-watch", daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the daemon is not left behind
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a demonstration without a duration
        watcher.run(duration_s, over)
    died = daemon.poll() is not None
    daemon.terminate()
    try:
        status = daemon.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        status = daemon.wait()
    return died or status != 0


def _config_text(source: SourceConfig, port: int) -> str:
    # JSON's strings, numbers and booleans are TOML's too
    lines = [
        "[node]",
        'name = "demo"',
        "[mqtt]",
        "port = %d" % port,
        "[publish]",
        "health_interval_s = 10.0",
        "[[source]]",
    ]
    lines += [
        "%s = %s" % (name, json.dumps(value))
        for name, value in source._asdict().items()
        if value != SourceConfig._field_defaults.get(name)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
