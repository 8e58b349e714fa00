"""A real InfluxDB and a real Node-RED, each in a folder of its own and on loopback."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.edge.socket_broker import wait_until
from tests.system.broker_fixtures import PASSWORDS, free_ports

NODE_RED = Path(__file__).resolve().parent / "node_modules" / "node-red" / "red.js"
DASHBOARDS = Path(__file__).resolve().parents[2] / "systemd" / "dashboards"
START_S = 120


class Influx:
    """InfluxDB 1.6 or later, empty."""

    def __init__(self, folder):
        program = shutil.which("influxd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            pytest.skip("InfluxDB is not installed: apt-get install influxdb")
        port, rpc_port = free_ports(2)
        self.url = "http://127.0.0.1:%d" % port
        settings = {
            "REPORTING_DISABLED": "true",
            "BIND_ADDRESS": "127.0.0.1:%d" % rpc_port,
            "HTTP_BIND_ADDRESS": "127.0.0.1:%d" % port,
            "META_DIR": folder / "meta",
            "DATA_DIR": folder / "data",
            "DATA_WAL_DIR": folder / "wal",
        }
        environment = dict(os.environ, **{"INFLUXDB_" + name: str(value) for name, value in settings.items()})
        (folder / "empty.conf").write_text("")
        with open(folder / "influxd.log", "wb") as log:
            command = [program, "run", "-config", str(folder / "empty.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        assert wait_until(self._answers, START_S), (folder / "influxd.log").read_text()

    def close(self):
        self._process.kill()
        self._process.wait(30)

    def query(self, text, database="soundclr"):
        """Series of one statement: a list of (name, tags, rows as dicts)."""
        arguments = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"}).encode()
        try:
            with urllib.request.urlopen(self.url + "/query", arguments, timeout=60) as answer:
                (result,) = json.load(answer)["results"]
        except urllib.error.HTTPError as error:
            raise AssertionError(text + ": " + error.read().decode()) from error
        assert "error" not in result, (text, result)
        return [
            (
                one["name"],
                one.get("tags", {}),
                [dict(zip(one["columns"], row, strict=True)) for row in one.get("values", [])],
            )
            for one in result.get("series", [])
        ]

    def prepare(self):
        """Make the database as the shipped file says."""
        for line in (DASHBOARDS / "influxdb.influxql").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("--"):
                self.query(line)

    def _answers(self):
        try:
            urllib.request.urlopen(self.url + "/ping", timeout=5).close()
        except OSError:
            time.sleep(0.1)
            return False
        return True


class NodeRed:
    """Node-RED with the shipped flow, in which only the broker's address is changed, as a person would."""

    def __init__(self, folder, broker, influx_url, table):
        if shutil.which("node") is None or not NODE_RED.exists():
            pytest.skip("Node-RED is not installed: .ci/install-node-packages tests/dashboards (Node.js 18 or later)")
        (port,) = free_ports(1)
        flow = json.loads((DASHBOARDS / "node-red-flow.json").read_text(encoding="utf-8"))
        (broker_node,) = (node for node in flow if node["type"] == "mqtt-broker")
        broker_node["port"] = str(broker.port)
        (folder / "flows.json").write_text(json.dumps(flow))
        secret = {broker_node["id"]: {"user": "viewer", "password": PASSWORDS["viewer"]}}
        (folder / "flows_cred.json").write_text(json.dumps(secret))
        (folder / "settings.js").write_text(
            "module.exports = { uiHost: '127.0.0.1', uiPort: %d, flowFile: 'flows.json', credentialSecret: false, "
            "disableEditor: true, telemetry: { enabled: false }, logging: { console: { level: 'info' } } };\n" % port
        )
        self._log = folder / "node-red.log"
        environment = dict(os.environ, INFLUX_URL=influx_url, SOUNDCLR_EVENTS_CSV=str(table), NO_UPDATE_NOTIFIER="1")
        with open(self._log, "wb") as log:
            command = ["node", str(NODE_RED), "--userDir", str(folder), "--settings", str(folder / "settings.js")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=str(folder))
        assert wait_until(lambda: "Connected to broker" in self.log(), START_S), self.log()
        assert wait_until(lambda: broker.subscriptions_seen() >= 9, START_S), self.log()

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def log(self):
        return self._log.read_text(errors="replace")
