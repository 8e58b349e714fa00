"""The whole way: a virtual ALSA microphone, real PortAudio and PyAudio, the daemon, TLS, a real mosquitto, a reader."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from edge.message_types import MESSAGE_TYPES
from tests.contract.validation import validate
from tests.edge.socket_broker import wait_until
from tests.system.reader import Reader

pytestmark = pytest.mark.system
REPOSITORY = Path(__file__).resolve().parents[2]
RECORDING = REPOSITORY / "edge" / "demonstration" / "street.ogg"
DOG_AND_SIREN_S = (57.0, 78.0)  # of the recording; see its timeline
CONFIG = """
[node]
name = "corner"
[mqtt]
host = "localhost"
port = %(port)d
username = "corner"
password_file = "%(password_file)s"
tls = true
ca_file = "%(ca_file)s"
[[source]]
name = "street"
type = "microphone"
device = "%(device)s"
"""


@pytest.fixture
def sounding_microphone(virtual_microphone, tmp_path):
    """The virtual microphone, hearing a dog and a siren again and again."""
    samples, rate_hz = soundfile.read(str(RECORDING), dtype="float32")
    start, end = (int(s * rate_hz) for s in DOG_AND_SIREN_S)
    heard = soxr.resample(samples[start:end], rate_hz, virtual_microphone.sample_rate_hz)
    (tmp_path / "audio.raw").write_bytes(np.clip(heard * 32767, -32768, 32767).astype("<i2").tobytes())
    return virtual_microphone


def test_a_siren_in_the_street_reaches_a_dashboard(sounding_microphone, mosquitto, tmp_path):
    config = tmp_path / "node.toml"
    tls = mosquitto.tls_config()
    config.write_text(
        CONFIG
        % dict(port=tls.port, password_file=tls.password_file, ca_file=tls.ca_file, device=sounding_microphone.name)
    )
    with Reader(mosquitto.config("viewer")) as reader, open(tmp_path / "node.log", "w+") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "--config", str(config), "--state-dir", str(tmp_path / "state")],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            arrived = wait_until(lambda: "siren" in labels_of(reader, "end"), 60.0)
            node.send_signal(signal.SIGTERM)
            began_s = time.monotonic()
            status = node.wait(20)
            took_s = time.monotonic() - began_s
        finally:
            node.kill()
        log.seek(0)
        assert arrived, log.read()
        assert status == 0 and took_s < 10
        assert wait_until(lambda: payloads(reader, "soundclr/corner/status")[-1:] == [b"offline"])
        check_messages(reader)


def check_messages(reader):
    """Every message fits its schema; every start has its end; the microphone was online before it was offline."""
    events = [json.loads(payload) for payload in payloads(reader, "soundclr/corner/street/event")]
    found = {validate(message.topic, message.payload) for message in list(reader.received)}
    expected = {"status", "source_status", "info", "health", "classification", "state", "event", "level", "summary"}
    assert expected <= found <= set(MESSAGE_TYPES), found
    started = [event["event_id"] for event in events if event["phase"] == "start"]
    ended = [event["event_id"] for event in events if event["phase"] == "end"]
    assert sorted(started) == sorted(ended) and len(set(started)) == len(started)
    statuses = payloads(reader, "soundclr/corner/street/status")
    assert statuses[0] in (b"online", b"offline") and b"online" in statuses and statuses[-1] == b"offline"


def labels_of(reader, phase):
    events = [json.loads(payload) for payload in payloads(reader, "soundclr/corner/street/event")]
    return [event["label"] for event in events if event["phase"] == phase]


def payloads(reader, topic):
    return [message.payload for message in list(reader.received) if message.topic == topic]
