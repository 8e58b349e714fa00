"""The service in a real systemd: installed, started, stalled, wedged, stopped, brought up to date, removed.

One machine is booted for all of it, and the tests follow its life from top to bottom.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.edge.socket_broker import wait_until
from tests.system.container import Container, skip_where_impossible

pytestmark = [pytest.mark.system, pytest.mark.slow]
BROKEN = "1.0.2"  # a version whose daemon ends as it starts
REPOSITORY = Path(__file__).resolve().parents[2]
RECORDING = REPOSITORY / "edge" / "demonstration" / "street.ogg"
DOG_AND_SIREN_S = (57.0, 78.0)  # of the recording; see its timeline
RATE_HZ = 16000
HANG_S = 300.0
SERVICE = "soundclr-edge"
STATE = "var/lib/soundclr-edge"
CONFIG = """
[node]
name = "corner-1"
[[source]]
name = "mic"
type = "microphone"
device = "street_vmic"
"""
# Quicker than on the street, so that the test is; the unit's own 30 s would do the same.
DROP_IN = "[Service]\nWatchdogSec=6s\nTimeoutStopSec=10s\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Folder of wheels: everything that the node needs, for this host's own Python, and the node in two versions."""
    skip_where_impossible()
    folder = tmp_path_factory.mktemp("packages")
    made = subprocess.run(
        ["/usr/bin/python3", "-m", "venv", str(folder / "venv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode:
        pytest.skip("/usr/bin/python3 makes no virtual environment: apt-get install python3-venv")
    for version in ("1.0.0", "1.0.1", BROKEN):
        checkout = folder / version
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            checkout.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / name, checkout)
        for package in ("edge", "engines"):
            shutil.copytree(REPOSITORY / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
        init = checkout / "edge" / "__init__.py"
        init.write_text(re.sub('__version__ = ".*"', '__version__ = "%s"' % version, init.read_text()))
        if version == BROKEN:
            service = checkout / "edge" / "service.py"
            service.write_text(service.read_text() + "\n\nraise ImportError('a mistake that no test has seen')\n")
        pip(folder, "wheel", "--no-deps", "--wheel-dir", str(folder / ("node-" + version)), str(checkout))
    (first,) = (folder / "node-1.0.0").iterdir()
    pip(folder, "wheel", "--wheel-dir", str(folder / "wheels"), str(first), "pyaudio>=0.2.14", "pip==21.3.1")
    return folder


def pip(folder, *arguments):
    command = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANG_S)
    assert found.returncode == 0, found.stdout


class Machine(Container):
    """The booted machine, with a broker, a microphone and what came to a dashboard."""

    def place_microphone(self, plugin):
        folder = self.root / "opt" / "vmic"
        folder.mkdir()
        shutil.copy(plugin, folder)
        samples, rate_hz = soundfile.read(str(RECORDING), dtype="float32")
        start, end = (int(s * rate_hz) for s in DOG_AND_SIREN_S)
        heard = soxr.resample(samples[start:end], rate_hz, RATE_HZ)
        (folder / "audio.raw").write_bytes(np.clip(heard * 32767, -32768, 32767).astype("<i2").tobytes())
        (self.root / "etc" / "asound.conf").write_text(
            'pcm_type.vmic { lib "/opt/vmic/%s" }\npcm.street_vmic { type vmic  file "/opt/vmic/audio.raw"'
            '  ctl_file "/opt/vmic/control"  rate %d }\n' % (plugin.name, RATE_HZ)
        )
        self.command_microphone("")

    def command_microphone(self, word):
        (self.root / "opt" / "vmic" / "control").write_text(word)

    def start_broker(self):
        self.run("systemd-run", "-q", "--unit=broker", "mosquitto", "-p", "1883")
        assert wait_until(lambda: self.run("mosquitto_pub", "-t", "x", "-m", "y", check=False).returncode == 0, HANG_S)
        with open(self._folder / "received", "wb") as received:
            self.reader = self.start("mosquitto_sub", "-v", "-q", "1", "-t", "soundclr/#", stdout=received)

    def received(self, topic):
        """Payloads of a topic below the node's, oldest first."""
        lines = (self._folder / "received").read_text().splitlines()
        prefix = "soundclr/corner-1/%s " % topic
        return [line[len(prefix) :] for line in lines if line.startswith(prefix)]

    def events(self, phase):
        found = {event["id"]: event for event in map(json.loads, self.received("mic/event"))}  # QoS 1 may deliver twice
        return [event["event_id"] for event in found.values() if event["phase"] == phase]

    def property(self, name):
        return self.output("systemctl", "show", SERVICE, "--value", "-p", name)

    def log(self):
        return self.output("journalctl", "-u", SERVICE, "-o", "cat", "--no-pager")

    def install(self, packages, version, *options, check=True):
        kit = self.root / "srv" / "kit"
        shutil.rmtree(kit, ignore_errors=True)
        shutil.copytree(REPOSITORY / "systemd", kit)
        (wheel,) = (packages / ("node-" + version)).iterdir()
        shutil.copy(wheel, kit)
        command = ("/srv/kit/install.sh", "--wheels", "/srv/wheels", "--python", "/usr/bin/python3")
        return self.run(*command, *options, check=check)

    def hears(self, more_than=0):
        return wait_until(lambda: len(self.received("mic/classification")) > more_than, HANG_S)

    def hears_again(self):
        return self.hears(len(self.received("mic/classification")) + 1)


@pytest.fixture(scope="module")
def machine(packages, vmic_plugin, tmp_path_factory):
    skip_where_impossible()
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        shutil.copytree(packages / "wheels", machine.root / "srv" / "wheels")
        machine.place_microphone(vmic_plugin)
        drop_in = machine.root / "etc" / "systemd" / "system" / (SERVICE + ".service.d") / "90-test.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(DROP_IN)
        machine.start_broker()
        yield machine
        machine.reader.kill()
        machine.reader.wait()


def test_it_installs_starts_and_says_that_it_is_ready(machine, packages):
    said = machine.install(packages, "1.0.0", "--node-name", "corner-1").stdout
    assert "starting" in said and machine.property("ActiveState") == "active"
    assert machine.property("NRestarts") == "0"
    # the configuration that came with it names the default microphone; this one the virtual one
    config = machine.root / "etc" / "soundclr-edge" / "soundclr-edge.toml"
    assert 'name = "corner-1"' in config.read_text() and config.stat().st_mode & 0o777 == 0o640
    config.write_text(CONFIG)
    machine.run("systemctl", "reload", SERVICE)
    assert machine.hears()
    assert wait_until(lambda: "mic online; broker connected" in machine.property("StatusText"), HANG_S)
    assert machine.property("NRestarts") == "0" and machine.received("status")[0] == "online"
    page = machine.root / "usr" / "local" / "share" / "soundclr-edge" / "page" / "index.html"
    assert page.stat().st_mode & 0o777 == 0o644 and "Street sound" in page.read_text()  # the broker's user reads it


def test_it_runs_with_little_more_than_nothing(machine):
    status = machine.output("cat", "/proc/%s/status" % machine.property("MainPID"))
    found = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert int(found["CapBnd"], 16) == 0 and found["NoNewPrivs"] == "1" and found["Seccomp"] == "2"
    assert found["Uid"].split()[0] == machine.output("id", "-u", SERVICE) != "0"
    assert int(found["Umask"], 8) == 0o077
    open_files = machine.output(
        "find", "/var/lib/soundclr-edge", "-type", "f", "-perm", "/077", "-not", "-name", ".asoundrc"
    )
    assert open_files == ""


def test_installing_again_changes_nothing_and_interrupts_nothing(machine, packages):
    process = machine.property("MainPID")
    said = machine.install(packages, "1.0.0").stdout
    assert "nothing has changed" in said and "writing" not in said and "keeping" in said
    assert machine.property("MainPID") == process


def test_a_stalled_capture_child_is_cured_by_its_parent(machine):
    process = machine.property("MainPID")
    assert machine.hears_again()
    stalls = machine.log().count("hangs and is killed")
    machine.command_microphone("stall")
    assert wait_until(lambda: machine.log().count("hangs and is killed") > stalls, HANG_S)
    machine.command_microphone("")
    assert machine.hears_again()
    assert machine.property("MainPID") == process and machine.property("NRestarts") == "0"


def test_a_wedged_parent_is_killed_by_the_watchdog_and_nothing_stored_is_lost(machine):
    assert wait_until(lambda: len(machine.events("start")) > 0, HANG_S)
    installation, rows = stored(machine)
    process = machine.property("MainPID")
    machine.run("kill", "-STOP", process)
    assert wait_until(lambda: machine.property("NRestarts") == "1", HANG_S)
    assert "watchdog" in machine.output("journalctl", "-u", SERVICE, "--no-pager").lower()
    assert wait_until(lambda: machine.property("ActiveState") == "active", HANG_S)
    assert machine.property("MainPID") not in (process, "0")
    assert machine.hears_again()
    again, rows_again = stored(machine)
    assert again == installation and rows_again >= rows > 0


def stored(machine):
    """The installation's id, and how many rows the store has ever had."""
    folder = machine.root / STATE
    with sqlite3.connect("file:%s?mode=ro" % (folder / "store.sqlite3"), uri=True) as database:
        (rows,) = database.execute("select max(id) from message").fetchone()
    return (folder / "installation-id").read_text(), rows


def test_it_stops_in_its_time_with_everything_said(machine):
    assert machine.hears_again()
    began_s = time.monotonic()
    machine.run("systemctl", "stop", SERVICE)
    took_s = time.monotonic() - began_s
    assert machine.property("Result") == "success" and machine.property("ExecMainStatus") == "0"
    assert took_s < 60  # a loaded machine; systemd itself would have killed it after 10 s, and called that a failure
    assert wait_until(lambda: machine.received("status")[-1] == "offline", HANG_S)
    assert wait_until(lambda: sorted(machine.events("start")) == sorted(machine.events("end")), HANG_S)
    assert len(set(machine.events("start"))) == len(machine.events("start")) > 0
    assert "Traceback" not in machine.log()


def test_an_upgrade_keeps_state_and_configuration(machine, packages):
    before, _ = stored(machine)
    old = machine.output("readlink", "/opt/soundclr-edge/current")
    said = machine.install(packages, "1.0.1", "--node-name", "another-name").stdout
    assert "keeping" in said and machine.property("ActiveState") == "active"
    assert wait_until(lambda: any('"version":"1.0.1"' in text for text in machine.received("info")), HANG_S)
    assert machine.hears_again()
    assert (machine.root / "etc" / "soundclr-edge" / "soundclr-edge.toml").read_text() == CONFIG
    assert stored(machine)[0] == before
    new = machine.output("readlink", "/opt/soundclr-edge/current")
    assert new != old and machine.output("ls", "/opt/soundclr-edge").split() == ["current", new]


def test_a_version_that_does_not_start_is_taken_back(machine, packages):
    runs, installation = machine.output("readlink", "/opt/soundclr-edge/current"), stored(machine)[0]
    tried = machine.install(packages, BROKEN, check=False)
    assert tried.returncode == 1
    assert "does not start" in tried.stdout and "went back to the version before" in tried.stdout
    assert machine.output("readlink", "/opt/soundclr-edge/current") == runs
    assert machine.property("ActiveState") == "active" and stored(machine)[0] == installation
    assert machine.hears_again()
    assert '"version":"1.0.1"' in machine.received("info")[-1]


def test_retire_takes_back_what_was_retained_once_the_node_has_stopped(machine):
    running = machine.run("soundclr-edge", "retire", check=False)
    assert running.returncode == 1 and "is online" in running.stdout
    machine.run("systemctl", "stop", SERVICE)
    said = machine.output("soundclr-edge", "retire")
    assert {line.split()[1] for line in said.splitlines() if line.startswith("cleared")} == {
        "soundclr/corner-1/" + name for name in ("status", "info", "mic/status")
    }
    left = machine.run("mosquitto_sub", "-t", "soundclr/#", "-W", "2", "--retained-only", check=False)
    assert "online" not in left.stdout and "offline" not in left.stdout and "{" not in left.stdout


def test_uninstalling_keeps_what_is_the_operators_until_it_is_purged(machine):
    machine.run("/srv/kit/uninstall.sh")
    assert not (machine.root / "opt" / "soundclr-edge").exists()
    assert not (machine.root / "usr" / "local" / "share" / "soundclr-edge").exists()
    assert machine.run("systemctl", "cat", SERVICE, check=False).returncode != 0
    assert (machine.root / "etc" / "soundclr-edge" / "soundclr-edge.toml").exists()
    assert (machine.root / STATE / "installation-id").exists()
    machine.run("/srv/kit/uninstall.sh", "--purge")
    machine.run("/srv/kit/uninstall.sh", "--purge")
    assert not (machine.root / "etc" / "soundclr-edge").exists() and not (machine.root / STATE).exists()
