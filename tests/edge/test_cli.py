"""The command line: exit status, one line for what cannot be used, results on stdout alone, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge import __version__
from edge.cli import build_parser, main
from tests.engines.bundles import write_tiny_bundle

ROOT = Path(__file__).resolve().parent.parent.parent
LEAST = '[node]\nname = "corner"\n[[source]]\nname = "mic"\ntype = "microphone"\n'
HANG_S = 120


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def tone_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    soundfile.write(str(path), 0.1 * np.sin(2 * np.pi * 440.0 * np.arange(32000) / 16000.0), 16000)
    return path


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))


def run_edge(*arguments, **options):
    """Run `python -m edge` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edge"] + [str(a) for a in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=HANG_S,
        cwd=str(ROOT),
        **options,
    )


def refused(capsys, *arguments):
    """The one line of a command that cannot use what it was given."""
    assert main([str(a) for a in arguments]) == 2
    output, complaints = capsys.readouterr()
    assert output == "" and len(complaints.splitlines()) == 1 and complaints.startswith("soundclr-edge: ")
    return complaints


def test_classify_prints_objects_and_leaves_with_0(tiny, tone_path):
    done = run_edge("classify", "--json", "--bundle", tiny, tone_path)
    assert (done.returncode, done.stderr) == (0, "")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["type"] for o in objects] == ["classification", "classification", "event", "file"]
    assert objects[-1]["label"] == "low"


def test_one_file_of_several_that_fails_gives_2_one_line_and_the_others_answers(tiny, tone_path):
    done = run_edge("classify", "--json", "--bundle", tiny, tone_path, ROOT / "none.wav", tone_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "none.wav" in done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()].count("file") == 2


def test_a_name_of_several_lines_is_told_in_one(tiny, tone_path, tmp_path):
    broken, sound = tmp_path / "a\nb\r\x1b[2J\u2028.wav", tmp_path / "c\nd\x1b.wav"
    broken.write_bytes(b"no sound")
    sound.write_bytes(tone_path.read_bytes())
    done = run_edge("classify", "--bundle", tiny, broken, sound)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and r"/a\nb\r\x1b[2J\u2028.wav: is not a sound file" in done.stderr
    assert len(done.stdout.splitlines()) == 2 and r"/c\nd\x1b.wav: low" in done.stdout
    done = run_edge("check", "--config", tmp_path / "no\nfile")
    assert r"/no\nfile cannot be read" in done.stdout + done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "a.wav", "--hop-s", "0"],
        ["clasify", "a.wav"],
        [],
        ["run", "--duration-s", "nan"],
        ["run", "--duration-s", "x"],
    ],
)
def test_a_command_line_that_makes_no_sense_gives_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    complaints = capsys.readouterr().err
    assert "Traceback" not in complaints and "error: " in complaints.splitlines()[-1]


def test_classify_without_a_recording_says_what_it_wants(capsys):
    assert main(["classify"]) == 2
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "--files-from" in complaint and "name files" in complaint


def test_help_names_every_command_and_its_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("run", "classify", "check", "devices", "watch"))
    assert "default: info" in build_parser().format_help()


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda m: m.update(schema=2), "schema 2"),
        (lambda m: m.pop("schema"), "schema None"),
        (lambda m: m.pop("labels"), "['labels']"),
        (lambda m: m["frontend"].pop("n_mels"), "n_mels"),
        (lambda m: m["decision"].pop("temperature"), "['temperature']"),
        (lambda m: m["training"].pop("licence"), "licence"),
        (lambda m: m["files"].update({"model.onnx": "0" * 64}), "model.onnx has SHA-256"),
        (lambda m: m["files"].pop("selftest.npz"), "selftest.npz"),
        (lambda m: (m["labels"].append("mid"), m["decision"]["thresholds"].update(mid=0.6)), "3 labels"),
        (lambda m: m.update(clip_rule="vote"), "vote"),
        (lambda m: m.update(labels=["low", "Two Words"]), "Two Words"),
    ],
)
def test_a_bundle_that_is_not_what_it_must_be_gives_one_line(tmp_path, tone_path, capsys, change, word):
    bundle = write_tiny_bundle(tmp_path / "bundle", change)
    line = refused(capsys, "classify", "--bundle", bundle, tone_path)
    assert word in line and str(bundle) in line


@pytest.mark.parametrize(
    "spoil, word",
    [
        (lambda folder: shutil.rmtree(str(folder)), "not there"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{\n\n"), "not JSON"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"[]"), "schema None"),
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx cannot be read"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"\0" * 100), "model.onnx has SHA-256"),
    ],
)
def test_a_bundle_whose_files_are_spoilt_gives_one_line(tmp_path, tone_path, capsys, spoil, word):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    spoil(bundle)
    assert word in refused(capsys, "classify", "--bundle", bundle, tone_path)


@pytest.mark.parametrize("command", [["run"], ["classify", "a.wav"], ["watch"]])
@pytest.mark.parametrize(
    "text, word",
    [
        (LEAST + '[mqtt]\nhots = "x"\n', "did you mean 'host'"),
        (LEAST + "[mqqt]\n", "did you mean 'mqtt'"),
        (LEAST + '[mqtt]\nport = "1883"\n', "a whole number"),
        (LEAST + "[model]\nhop_s = true\n", "a number"),
        ("[node\n", "not TOML"),
    ],
)
def test_a_configuration_that_is_not_meant_gives_one_line(tmp_path, capsys, command, text, word):
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    line = refused(capsys, *(command + ["--config", path]))
    assert word in line and str(path) in line


@pytest.mark.parametrize("command", [["run"], ["classify", "a.wav"], ["watch"]])
def test_a_configuration_that_is_not_there_gives_one_line(tmp_path, capsys, command):
    assert "No such file" in refused(capsys, *(command + ["--config", tmp_path / "none.toml"]))


def test_run_without_any_configuration_says_where_an_example_is(capsys):
    assert "soundclr-edge.example.toml" in refused(capsys, "run")


def test_a_configuration_in_its_folder_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "soundclr-edge.toml").write_text(LEAST + "[mqtt]\nhots = 1\n", encoding="utf-8")
    assert "'hots'" in refused(capsys, "classify", "a.wav")


def test_classify_takes_bundle_and_hop_of_the_configuration(tmp_path, tiny, tone_path, capsys):
    path = tmp_path / "node.toml"
    path.write_text(LEAST + "[model]\nbundle = %s\nhop_s = 0.25\n" % json.dumps(str(tiny)), encoding="utf-8")
    assert main(["classify", "--json", "--config", str(path), str(tone_path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["windows"] == 5
    assert main(["classify", "--json", "--config", str(path), "--hop-s", "1", str(tone_path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["windows"] == 2


def checks(capsys, path):
    status = main(["check", "--json", "--config", str(path)])
    output, _ = capsys.readouterr()
    (line,) = output.splitlines()
    results = json.loads(line)
    assert status == (0 if results["ok"] else 1)
    assert all("\n" not in check["detail"] for check in results["checks"])
    return {check["name"]: check for check in results["checks"]}


def test_check_tells_each_part_apart(tmp_path, tiny, tone_path, capsys):
    path = tmp_path / "node.toml"
    path.write_text(
        '[node]\nname = "corner"\n[[source]]\nname = "tape"\ntype = "file"\npath = %s\n'
        '[[source]]\nname = "lost"\ntype = "file"\npath = "/none.wav"\n'
        '[[source]]\nname = "mic"\ntype = "microphone"\ndevice = "no such device"\n'
        "[model]\nbundle = %s\n[mqtt]\nport = 9\n" % (json.dumps(str(tone_path)), json.dumps(str(tiny))),
        encoding="utf-8",
    )
    found = checks(capsys, path)
    good = {
        "software",
        "configuration",
        "bundle",
        "runtime",
        "self-test",
        "sound levels",
        "source tape",
        "calibration tape",
    }
    assert {name for name, check in found.items() if check["ok"]} == good
    assert set(found) - good == {"source lost", "source mic", "broker"}
    assert "/none.wav" in found["source lost"]["detail"] and "127.0.0.1:9" in found["broker"]["detail"]
    assert main(["check", "--config", str(path)]) == 1
    table, _ = capsys.readouterr()
    assert sum(line.startswith("FAIL") for line in table.splitlines()) == 3 and "3 of 11 checks failed" in table


def test_check_of_a_bad_or_missing_configuration_or_bundle_fails_with_1(tmp_path, capsys):
    path = tmp_path / "node.toml"
    assert not checks(capsys, path)["configuration"]["ok"]
    path.write_text(LEAST + "[mqtt]\nhots = 1\n", encoding="utf-8")
    assert "'hots'" in checks(capsys, path)["configuration"]["detail"]
    path.write_text(LEAST + '[model]\nbundle = "/none"\n[mqtt]\nport = 9\n', encoding="utf-8")
    assert "/none" in checks(capsys, path)["model"]["detail"]
    assert main(["check"]) == 1


def test_a_reader_that_goes_away_is_no_fault(tiny, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(str(path), 0.1 * np.sin(0.1 * np.arange(16000 * 120)), 16000)
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "classify", "--json", "--hop-s", "0.1", "--bundle", str(tiny), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(ROOT),
    )
    process.stdout.readline()
    process.stdout.close()
    complaints = process.stderr.read()
    process.stderr.close()
    assert process.wait(HANG_S) == 1 and complaints == b""


def test_what_nobody_expected_gives_70_and_its_traceback(tmp_path, tone_path, tiny):
    (tmp_path / "soxr.py").write_text("raise RuntimeError('a broken installation')\n", encoding="utf-8")
    path = tmp_path / "a.wav"
    soundfile.write(str(path), np.zeros(44100), 44100)
    done = run_edge("classify", "--bundle", tiny, path, env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert done.returncode == 70 and "Traceback" in done.stderr and "a broken installation" in done.stderr


def test_devices_lists_what_there_is_or_says_what_is_missing(capsys):
    status = main(["devices", "--json"])
    output, complaints = capsys.readouterr()
    assert status == (0 if output else 1)
    if status == 0:
        assert all(json.loads(line)["name"] for line in output.splitlines())
    else:
        assert len(complaints.splitlines()) == 1 and complaints.startswith("soundclr-edge: ")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "--start-time", "2026-10-01T12:00:00Z"], "no source is a file"),
        (["classify", "--start-time", "2026-10-01T12:00:00Z", "a.wav", "b.wav"], "for 2 files"),
    ],
)
def test_a_beginning_that_fits_nothing_is_refused(tmp_path, capsys, arguments, word):
    path = tmp_path / "node.toml"
    path.write_text(LEAST)
    assert main(arguments + ["--config", str(path)]) == 2
    assert word in capsys.readouterr().err
