"""A calibrator in one hand: real ALSA with real controls, real PortAudio, the command, and the daemon afterwards."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.cli import main
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.system.card_fixtures import CONTROLS, tone

pytestmark = pytest.mark.system
REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = """
[node]
name = "corner"
[mqtt]
port = %(port)d
[model]
bundle = "%(bundle)s"
[publish]
health_interval_s = 0.5
[[source]]
name = "mic"
type = "microphone"
device = "street_card"
"""
# the command line, with a capture child that knows the virtual card
RUNNER = """
import sys
from edge.sources import devices
devices.CAPTURE_COMMAND = devices.CAPTURE_COMMAND + tuple(sys.argv[1:3])
from edge.cli import main
sys.exit(main(sys.argv[3:]))
"""


class Station:
    """A node's configuration and state, and its virtual card."""

    def __init__(self, card, folder, capsys):
        self.card, self.state, self._capsys = card, folder / "state", capsys
        self.config = folder / "node.toml"
        self.configure(1)

    def configure(self, port):
        bundle = REPOSITORY / "engines" / "urban"
        self.config.write_text(CONFIG % {"port": port, "bundle": bundle})

    def calibrate(self, *options):
        """Status, what stdout and stderr say."""
        given = ["--config", str(self.config), "--state-dir", str(self.state)]
        if not any(option in options for option in ("--show", "--date")):
            given += ["--date", "2026-10-01", "--operator", "A. Person", "--duration-s", "3", "--wait-s", "4"]
        status = main(["calibrate"] + given + list(options))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def records(self):
        return [json.loads(path.read_text()) for path in sorted((self.state / "calibration" / "mic").glob("0*.json"))]

    def refused(self, *options):
        """The line that says why."""
        before = len(self.records()) if self.state.exists() else 0
        status, out, err = self.calibrate(*options)
        assert (status, out) == (1, "") and (len(self.records()) if self.state.exists() else 0) == before
        return err.strip().splitlines()[-1]


@pytest.fixture
def station(virtual_card, tmp_path, capsys):
    return Station(virtual_card, tmp_path, capsys)


def test_a_tone_of_94_db_becomes_a_record_bound_to_card_stream_and_controls(station):
    status, out, err = station.calibrate("--level-db", "94", "--instrument", "class 1, number 7")
    assert status == 0 and "0 dBFS is 120.00 dB re 20 uPa" in out and "keep still" in err
    (record,) = station.records()
    assert record["offset_db"] == pytest.approx(120.0, abs=0.01) and record["operator"] == "A. Person"
    assert record["hardware"]["card"]["serial"] == "A1" and record["hardware"]["pcm_type"] == "hw"
    names = [control["name"] for control in record["hardware"]["controls"]]
    assert names == ["Mic Capture Volume", "Mic Capture Switch", "Auto Gain Control"]  # and none for playback
    assert record["hardware"]["controls"][0]["values"] == [8, 8]
    station.card.play(tone(94.0 - 121.0))
    assert station.calibrate("--level-db", "94.1")[0] == 0
    status, out, _ = station.calibrate("--show")
    assert status == 0 and "+1.10 dB since 2026-10-01" in out
    status, out, _ = station.calibrate("--show", "--json")
    assert [round(json.loads(line)["offset_db"]) for line in out.splitlines()] == [120, 121]


def test_a_data_sheet_is_kept_and_marked_as_one(station):
    status, out, _ = station.calibrate("--sensitivity-dbfs-at-94=-26")
    assert status == 0 and "from a data sheet, not measured" in out
    assert station.records()[0]["offset_db"] == pytest.approx(94 + 26 + 3.0103, abs=0.001)


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (np.random.RandomState(4).normal(0, 0.05, 48000 * 5), "without a steady tone"),
        (tone(2.0), "full scale"),
    ],
)
def test_what_is_no_calibrator_is_refused(station, sound, said):
    station.card.play(sound)
    line = station.refused("--level-db", "94")
    assert said in line and "expected" in line


def test_both_levels_prove_that_no_automatic_gain_is_at_work(station):
    station.card.play(np.concatenate([tone(-46.0, 14.0), tone(-26.0, 60.0)]))
    status, _, err = station.calibrate("--level-db", "94", "--level-db", "114", "--wait-s", "20")
    assert status == 0 and "now switch the calibrator to 114 dB" in err
    assert [one["level_dbfs"] for one in station.records()[0]["tones"]] == pytest.approx([-46.0, -26.0], abs=0.02)
    assert station.records()[0]["offset_db"] == pytest.approx(140.0, abs=0.02)


def test_levels_that_an_automatic_gain_has_brought_together_are_refused(station):
    station.card.play(np.concatenate([tone(-46.0, 14.0), tone(-38.0, 60.0)]))
    line = station.refused("--level-db", "94", "--level-db", "114", "--wait-s", "20")
    assert "differ by 8.0" in line and "automatic gain" in line


def test_automatic_gain_and_boost_are_switched_off_and_named(station):
    station.card.set_controls(
        CONTROLS.replace("Control|boolean|0|1|rw|0", "Control|boolean|0|1|rw|1")
        + "Mic Boost|enumerated|0dB/12dB/20dB||rw|2\n"
    )
    status, _, err = station.calibrate("--level-db", "94")
    assert status == 0 and "'Auto Gain Control', which is on" in err and "'Mic Boost', which is 20dB" in err
    now = station.card.controls()
    assert (now["Auto Gain Control"], now["Mic Boost"], now["Mic Playback Volume"]) == ("0", "0", "20")
    assert [control["values"] for control in station.records()[0]["hardware"]["controls"][2:]] == [[0], [0]]


@pytest.mark.parametrize("access", ["stuck", "refuse", "r"])
def test_automatic_gain_that_cannot_be_switched_off_is_refused(station, access):
    station.card.set_controls(CONTROLS.replace("Control|boolean|0|1|rw|0", "Control|boolean|0|1|%s|1" % access))
    line = station.refused("--level-db", "94")
    assert "'Auto Gain Control' is on and cannot be switched off" in line


@pytest.mark.parametrize("pcm_type", ["plug", "copy"])
def test_what_is_not_the_card_itself_is_refused(station, pcm_type):
    station.card.define(pcm_type)
    line = station.refused("--level-db", "94")
    assert "sound servers and plugins resample, mix and apply volumes" in line and "type hw" in line


def test_a_microphone_in_use_is_told_with_who_has_it(station):
    runner = [sys.executable, "-c", RUNNER] + list(station.card.capture_command[-2:])
    daemon = subprocess.Popen(
        runner + ["run", "--config", str(station.config), "--state-dir", str(station.state)],
        cwd=str(REPOSITORY),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: "owner_pid" in station.card.status(), 60.0)
        line = station.refused("--level-db", "94")
        assert "is in use by" in line and "systemctl stop soundclr-edge" in line
    finally:
        daemon.terminate()
        daemon.wait(20)


@contextlib.contextmanager
def running_daemon(station):
    """What a broker gets from the daemon."""
    with SocketBroker() as broker, open(str(station.config) + ".log", "w+") as log:
        station.configure(broker.port)
        daemon = subprocess.Popen(
            [sys.executable, "-c", RUNNER]
            + list(station.card.capture_command[-2:])
            + ["run", "--config", str(station.config), "--state-dir", str(station.state)],
            cwd=str(REPOSITORY),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield broker, log
        finally:
            daemon.terminate()
            daemon.wait(20)


def _values(broker, kind):
    topic = "soundclr/corner/" + kind
    return [json.loads(m.payload.decode()) for m in list(broker.published) if m.topic == topic and m.payload]


def _log_of(log):
    log.seek(0)
    return log.read()


def _latest(broker, kind, condition, guard_s=60.0):
    """The first message for which condition holds."""
    assert wait_until(lambda: any(condition(v) for v in _values(broker, kind)), guard_s), _values(broker, kind)[-1:]
    return [value for value in _values(broker, kind) if condition(value)]


def test_the_daemons_levels_are_those_of_the_calibrator(station):
    assert station.calibrate("--level-db", "94")[0] == 0
    with running_daemon(station) as (broker, _):
        _latest(broker, "health", lambda v: v["calibration_mic"] == "calibrated 2026-10-01 with a calibrator")
        found = _latest(broker, "mic/level", lambda v: v["laeq_db"] is not None and v["valid_percent"] == 100.0)
        assert found[-1]["laeq_db"] == pytest.approx(94.0, abs=0.05)
        assert found[-1]["laeq_dbfs"] == pytest.approx(-26.0, abs=0.05)
        assert (found[-1]["calibrated"], found[-1]["calibrated_on"]) == (True, "2026-10-01")
        assert found[-1]["calibration_method"] == "calibrator"


def test_controls_turned_while_the_node_was_off_are_put_right_at_the_opening(station):
    assert station.calibrate("--level-db", "94")[0] == 0
    station.card.turn("Mic Capture Volume", "3,3")
    with running_daemon(station) as (broker, log):
        _latest(broker, "health", lambda v: v["calibration_mic"].startswith("calibrated"))
        assert station.card.controls()["Mic Capture Volume"] == "8,8"
        assert "'Mic Capture Volume' from 3 to 8" in _log_of(log)
        station.card.turn("Mic Capture Volume", "1,1")  # and behind its back while it listens
        assert wait_until(lambda: station.card.controls()["Mic Capture Volume"] == "8,8", 60.0)


def test_a_control_that_cannot_be_put_right_ends_the_calibration_in_sight_of_everybody(station):
    assert station.calibrate("--level-db", "94")[0] == 0
    stuck = CONTROLS.replace("Mic Capture Volume|integer|0|16|rw|8,8", "Mic Capture Volume|integer|0|16|stuck|3,3")
    station.card.set_controls(stuck)
    with running_daemon(station) as (broker, log):
        told = "uncalibrated: control 'Mic Capture Volume' is 3 and was 8 when it was calibrated"
        _latest(broker, "health", lambda v: v["calibration_mic"] == told)
        found = _latest(broker, "mic/level", lambda v: v["laeq_dbfs"] is not None)
        assert found[-1]["laeq_db"] is None and found[-1]["calibrated"] is False
        assert told in _log_of(log)
        station.card.set_controls(CONTROLS)
        _latest(broker, "health", lambda v: v["calibration_mic"].startswith("calibrated"))


def test_another_microphone_of_the_same_make_is_not_the_calibrated_one_and_keeps_its_controls(station):
    assert station.calibrate("--level-db", "94")[0] == 0
    station.card.be_device(serial="B2")
    station.card.turn("Mic Capture Volume", "3,3")
    with running_daemon(station) as (broker, _):
        _latest(broker, "health", lambda v: "serial B2" in v["calibration_mic"])
    assert station.card.controls()["Mic Capture Volume"] == "3,3"


def test_check_tells_whether_the_calibration_holds(station, capsys):
    def checked():
        main(["check", "--json", "--config", str(station.config), "--state-dir", str(station.state)])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return next(check for check in checks if check["name"] == "calibration mic")

    assert checked()["ok"] and "never calibrated" in checked()["detail"]
    assert station.calibrate("--level-db", "94")[0] == 0
    assert checked()["ok"] and checked()["detail"] == "calibrated 2026-10-01 with a calibrator"
    station.card.be_device(serial="B2")
    assert not checked()["ok"] and "serial B2" in checked()["detail"]


def test_controls_are_read_where_no_memory_may_be_written_and_executed(station):
    """As under the unit's MemoryDenyWriteExecute=yes, which some ways of calling C from Python do not bear."""
    program = (
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE, inherited
        "os.execv(sys.executable, [sys.executable] + sys.argv[1:])"
    )
    look = (
        "from edge.sources.alsa import CardControls, pcm_type_of\n"
        "controls = CardControls('hw:7'); found = controls.read(); controls.write(found[0], (5, 5))\n"
        "print(pcm_type_of('street_card'), controls.read()[0].values)\n"
        "import mmap\n"
        "try: mmap.mmap(-1, 4096, prot=7)\n"
        "except OSError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program, "-c", look], cwd=str(REPOSITORY), stdout=subprocess.PIPE)
    if done.returncode == 77:
        pytest.skip("this kernel does not know PR_SET_MDWE (Linux 6.3)")
    assert done.stdout.decode().splitlines() == ["hw (5, 5)", "refused"]


def test_bad_arguments_and_sources_are_one_line(station):
    assert station.calibrate()[0] == 2
    assert station.calibrate("--level-db", "94", "--source", "none")[0] == 2
    assert station.calibrate("--level-db", "94", "--level-db", "94")[0] == 2
    for wrong in (["--level-db", "100"], ["--level-db", "nan"], ["--correction-db", "20"], ["--date", "today"]):
        with pytest.raises(SystemExit):
            station.calibrate(*wrong)
    began_s = time.monotonic()
    (station.card.home / ".asoundrc").write_text("")
    assert "no microphone is called" in station.refused("--level-db", "94")
    assert time.monotonic() - began_s < 60
