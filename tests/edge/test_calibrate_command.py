"""`soundclr-edge calibrate`, as far as it goes without a microphone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edge.clock
from edge.calibration import save_record
from edge.cli import main
from edge.commands.calibrate import _date
from edge.errors import ConfigError
from edge.installation import become_owner_of
from tests.edge.calibrators import RECORD

CONFIG = """
[node]
name = "corner"
[[source]]
name = "mic"
type = "microphone"
device = "no such device"
[[source]]
name = "tape"
type = "file"
path = "x.wav"
"""
SECOND = '[[source]]\nname = "roof"\ntype = "microphone"\n'


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; gives its status and what it said, of several lines the last."""
    config = tmp_path / "node.toml"
    config.write_text(CONFIG)

    def run(*options, more=""):
        config.write_text(CONFIG + more)
        status = main(["calibrate", "--config", str(config), "--state-dir", str(tmp_path / "state")] + list(options))
        said = capsys.readouterr()
        return status, said.out, (said.err.strip().splitlines() or [""])[-1]

    return run


def test_without_a_level_it_says_which_to_give(run):
    status, _, said = run()
    assert status == 2 and "--level-db 94" in said


def test_several_microphones_want_a_name(run):
    status, _, said = run("--level-db", "94", more=SECOND)
    assert status == 2 and "2 microphones" in said and "--source NAME" in said
    status, _, said = run("--level-db", "94", "--source", "rof", more=SECOND)
    assert status == 2 and "mic, tape, roof" in said


def test_a_recording_is_calibrated_in_the_configuration(run):
    status, _, said = run("--level-db", "94", "--source", "tape", "--date", "2026-10-01")
    assert status == 1 and "calibration_offset_db" in said


@pytest.mark.parametrize("levels", [("94", "94"), ("94", "114", "94"), ("93.9", "94.1")])
def test_levels_that_prove_nothing_are_refused(run, levels):
    status, _, said = run("--date", "2026-10-01", *[word for level in levels for word in ("--level-db", level)])
    assert status == 2 and "94 and 114" in said


@pytest.mark.parametrize(
    "wrong",
    [
        ["--level-db", "100"],
        ["--level-db", "nan"],
        ["--level-db", "x"],
        ["--level-db", "94", "--sensitivity-dbfs-at-94=-26"],
        ["--sensitivity-dbfs-at-94=inf"],
        ["--level-db", "94", "--date", "2026-13-01"],
        ["--level-db", "94", "--correction-db", "9"],
        ["--level-db", "94", "--duration-s", "1"],
    ],
)
def test_values_out_of_their_range_are_refused(run, wrong):
    with pytest.raises(SystemExit) as caught:
        run(*wrong)
    assert caught.value.code == 2


def test_without_the_time_of_day_a_date_is_asked_for(run, monkeypatch):
    monkeypatch.setattr(edge.clock, "is_system_clock_synchronised", lambda: False)
    status, _, said = run("--level-db", "94")
    assert status == 2 and "--date YYYY-MM-DD" in said and "not synchronised" in said


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no name")])
def test_a_user_without_a_name_gets_no_traceback(run, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", fail)
    status, _, said = run()
    assert status == 2 and "--level-db 94" in said


def test_a_date_of_long_ago_is_four_digits_of_a_year():
    assert _date("0999-1-2") == "0999-01-02"


def test_an_operator_of_two_lines_is_refused(run):
    assert run("--level-db", "94", "--operator", "a\nb")[0] == 2


def test_show_tells_every_calibration_and_how_far_they_are_apart(run, tmp_path):
    status, out, _ = run("--show")
    assert status == 1 and "never calibrated" in out
    save_record(tmp_path / "state", RECORD)
    tone = RECORD.tones[0]._replace(level_dbfs=-26.25)
    path = save_record(tmp_path / "state", RECORD._replace(tones=(tone,), offset_db=120.25, calibrated_on="2027-10-01"))
    status, out, _ = run("--show")
    assert status == 0 and "+0.25 dB since 2026-10-01" in out and "0001-2026-10-01.json" in out
    path.write_text("{")
    status, out, _ = run("--show")
    assert status == 1 and "damaged" in out
    status, out, _ = run("--show", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["fault"] is None for line in lines] == [True, False]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_root_works_as_the_services_user(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.chown(str(state), 65534, 65534)
    program = (
        "import os, sys; from pathlib import Path; from edge.installation import become_owner_of\n"
        "become_owner_of(Path(sys.argv[1])); print(os.getuid(), os.geteuid(), os.getegid(), os.environ['HOME'])\n"
        "try: os.setuid(0)\n"
        "except OSError: print('for good')"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", program, str(state)], cwd=str(Path(edge.__file__).resolve().parents[1])
    )
    words = said.decode().split()
    assert words[:3] == ["65534"] * 3 and words[-2:] == ["for", "good"]
    os.chown(str(state), 54321, 54321)
    with pytest.raises(ConfigError, match="whom this system does not know"):
        become_owner_of(state)
    os.chown(str(state), 0, 0)
    said = subprocess.check_output([sys.executable, "-c", program, str(state)], cwd=str(Path(__file__).parents[2]))
    assert said.decode().split()[0] == "0"
