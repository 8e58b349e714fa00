"""A real Home Assistant in a process of its own: its MQTT integration, its recorder, one automation."""

import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.edge.socket_broker import wait_until
from tests.system.broker_fixtures import free_ports

VARIABLE = "SOUNDCLR_HOME_ASSISTANT"  # names its `hass`
HANG_S = 300.0
_CONFIGURATION = """
homeassistant:
  name: Test
  time_zone: UTC
  unit_system: metric
http:
  server_host: 127.0.0.1
  server_port: %d
recorder:
  commit_interval: 1
logger:
  default: warning
automation:
  - alias: A siren sounds
    mode: queued
    max: 100
    triggers:
      - trigger: state
        entity_id: binary_sensor.corner_siren
        to: "on"
    actions:
      - action: mqtt.publish
        data:
          topic: automation/siren
          payload: fired
"""


class HomeAssistant:
    """Args: hass: its command; folder: its configuration, kept from start to start; broker_port: on loopback."""

    def __init__(self, hass: str, folder: Path, broker_port: int) -> None:
        self._hass, self._folder, self._process = hass, folder, None
        (folder / ".storage").mkdir(parents=True)
        (folder / "configuration.yaml").write_text(_CONFIGURATION % free_ports(1)[0], encoding="utf-8")
        self._store("core.config_entries", 5, {"entries": [_mqtt_entry(broker_port)]})

    def __enter__(self) -> "HomeAssistant":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> "HomeAssistant":
        with open(self._folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                [self._hass, "--config", str(self._folder), "--skip-pip", "--log-no-color"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            )
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(HANG_S)
            self._process = None

    def output(self) -> str:
        return (self._folder / "output").read_text(encoding="utf-8")

    def complaints(self) -> list[str]:
        """What its MQTT integration warns of."""
        return [line for line in self.output().splitlines() if "mqtt" in line and ("WARN" in line or "ERROR" in line)]

    def history(self, entity: str) -> list[str]:
        """All states of an entity that the recorder has written, the oldest first."""
        return [state for state, _ in self._rows(entity)]

    def state(self, entity: str) -> str | None:
        found = self.history(entity)
        return found[-1] if found else None

    def attributes(self, entity: str) -> dict[str, object]:
        """Those recorded with its last state."""
        rows = self._rows(entity)
        return json.loads(rows[-1][1]) if rows and rows[-1][1] else {}

    def has(self, **states: str) -> bool:
        """Whether these entities have these states, by names in which __ stands for the dot, within a time."""
        wanted = {name.replace("__", ".", 1): state for name, state in states.items()}

        def is_so():
            time.sleep(0.2)
            assert self._process is None or self._process.poll() is None, self.output()  # it has died
            return {name: self.state(name) for name in wanted} == wanted

        return wait_until(is_so, HANG_S)

    def registered(self) -> dict[str, dict[str, object]]:
        """The entity registry's entries of MQTT entities, by entity id."""
        path = self._folder / ".storage" / "core.entity_registry"
        entries = json.loads(path.read_text(encoding="utf-8"))["data"]["entities"] if path.exists() else []
        return {entry["entity_id"]: entry for entry in entries if entry["platform"] == "mqtt"}

    def _rows(self, entity: str) -> list[tuple[str, str]]:
        path = self._folder / "home-assistant_v2.db"
        if not path.exists():
            return []
        question = (
            "SELECT state, shared_attrs FROM states JOIN states_meta USING (metadata_id) "
            "LEFT JOIN state_attributes USING (attributes_id) WHERE states_meta.entity_id = ? ORDER BY state_id"
        )
        try:
            connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
            try:
                return connection.execute(question, (entity,)).fetchall()
            finally:
                connection.close()
        except sqlite3.OperationalError:  # not made yet
            return []

    def _store(self, key: str, minor_version: int, data: dict[str, object]) -> None:
        values = {"version": 1, "minor_version": minor_version, "key": key, "data": data}
        (self._folder / ".storage" / key).write_text(json.dumps(values), encoding="utf-8")


def _mqtt_entry(port: int) -> dict[str, object]:
    moment = "2026-01-01T00:00:00.000000+00:00"
    return {
        "created_at": moment,
        "modified_at": moment,
        "data": {"broker": "127.0.0.1", "port": port, "protocol": "3.1.1"},
        "disabled_by": None,
        "discovery_keys": {},
        "domain": "mqtt",
        "entry_id": "0123456789abcdef0123456789abcdef",
        "minor_version": 2,
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": "mosquitto",
        "unique_id": None,
        "version": 1,
    }
