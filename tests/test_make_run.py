"""`make run`, whole: set-up, broker, daemon, live view; and what anybody else sees at the address that it prints."""

import json
import re
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DURATION_S = 24
SET_UP_S = 300


@pytest.mark.slow
def test_make_run_ends_by_itself_and_any_client_sees_what_it_shows():
    run = subprocess.Popen(
        ["make", "--no-print-directory", "run", "DURATION_S=%d" % DURATION_S],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(SET_UP_S + 10 * DURATION_S, run.kill)
    watchdog.start()
    try:
        printed, port = [], 0
        for line in run.stdout:
            printed.append(line)
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found:
                port = int(found.group(1))
                break
        assert port, "".join(printed)
        seen = subscribe(port, DURATION_S - 3)
        printed += run.stdout.readlines()
        status = run.wait()
    finally:
        watchdog.cancel()
        run.kill()
    output = "".join(printed)
    assert status == 0, output
    assert re.search(r"[1-9]\d* classifications from 1 node", output), output
    assert re.search(r"first classification after \d", output), output
    topics = {topic.split("/", 2)[2].split("/")[-1] for topic in seen}
    assert {"status", "info", "classification", "state"} <= topics, seen.keys()
    classification = json.loads(next(payload for topic, payload in seen.items() if topic.endswith("/classification")))
    assert classification["schema"] == 1 and 0.0 <= classification["foreign"] <= 1.0


def subscribe(port, duration_s):
    """The last payload of each topic within a time."""
    seen = {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _userdata, message: seen.update({message.topic: message.payload})
    client.on_connect = lambda *_: client.subscribe("soundclr/#", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    time.sleep(duration_s)
    client.loop_stop()
    client.disconnect()
    return seen
