"""`soundclr-edge bench`: every stage is measured, nothing is counted twice, and what cannot be measured is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import edge.bench
from edge.bench import RATE_HZ, load_sound, measure_hops, summarise
from edge.cli import main
from edge.config import Config, ModelConfig, NodeConfig, SourceConfig
from edge.scorer import open_scorer
from edge.timing import Spent, StageClock
from engines.bundle import load_bundle, sha256_of_file
from tests.engines.bundles import write_tiny_bundle

STAGES = ["sound levels", "level", "resample", "log-mel", "model", "decision", "message"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def bench(capsys, *arguments):
    """What the command printed."""
    assert main(["bench"] + [str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_json_tells_of_each_stage_the_machine_and_the_runtime(tiny, capsys):
    result = json.loads(bench(capsys, "--bundle", tiny, "--seconds", 7, "--json"))
    assert [row["stage"] for row in result["stages"]] == STAGES
    assert result["hops"] == 7 and result["sample_rate_hz"] == 48000 and result["hop_s"] == 1.0
    assert all(0 < row["median_ms"] <= row["p99_ms"] for row in result["stages"])
    assert result["whole"]["median_ms"] >= max(row["median_ms"] for row in result["stages"])
    assert result["real_time_factor"] > 0 and result["processor_ratio"] > 0
    assert result["microphones_per_core"] >= 1 and result["microphones_per_gpu"] is None
    assert 0 < result["memory"]["pss_mb"] <= result["memory"]["rss_mb"]
    assert "ONNX Runtime" in result["runtime"]["describe"] and "TensorRT" in result["runtime"]["why_not_tensorrt"]
    assert result["machine"]["cores"] >= 1 and result["machine"]["processor"]
    assert result["bundle"].startswith("tiny-")


def test_the_table_shows_the_same_to_people(tiny, capsys):
    table = bench(capsys, "--bundle", tiny, "--seconds", 2)
    lines = table.splitlines()
    for name in STAGES + ["the whole", "real time", "microphones", "memory"]:
        assert sum(line.startswith(name + " ") for line in lines) == 1
    assert "2 hops of 1 s" in table and "not TensorRT" in table and "the demonstration's street" in table


def test_a_bundle_from_the_configuration_and_its_hop(tiny, tmp_path, capsys):
    path = tmp_path / "node.toml"
    path.write_text(
        '[node]\nname = "a"\n[[source]]\nname = "mic"\ntype = "microphone"\n'
        '[model]\nbundle = %s\nruntime = "onnxruntime"\nhop_s = 0.5\n' % json.dumps(str(tiny))
    )
    result = json.loads(bench(capsys, "--config", path, "--seconds", 3, "--json"))
    assert result["hops"] == 6 and result["bundle"].startswith("tiny-")
    assert result["runtime"]["configured"] == "onnxruntime" and result["runtime"]["why_not_tensorrt"] is None


def refused(capsys, folder):
    """The one line of a bundle that cannot be used."""
    assert main(["bench", "--bundle", str(folder), "--seconds", "1"]) == 2
    output, complaints = capsys.readouterr()
    (line,) = complaints.splitlines()
    assert output == "" and line.startswith("soundclr-edge: ")
    return line


def test_bad_bundles_are_named_in_one_line(tiny, tmp_path, capsys):
    assert "not there" in refused(capsys, tmp_path / "none")
    damaged = tmp_path / "damaged"
    shutil.copytree(str(tiny), str(damaged))
    (damaged / "model.onnx").write_bytes(b"\0" * 100)
    assert "model.onnx has SHA-256" in refused(capsys, damaged)
    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256_of_file(damaged / "model.onnx")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    assert "refused by ONNX Runtime" in refused(capsys, damaged)


def test_a_bundle_that_mishears_is_not_measured(tiny, tmp_path, capsys):
    wrong = tmp_path / "wrong"
    shutil.copytree(str(tiny), str(wrong))
    with np.load(str(wrong / "selftest.npz")) as file:
        arrays = dict(file)
    arrays["logits"] = arrays["logits"] + 1.0
    np.savez(str(wrong / "selftest.npz"), **arrays)
    manifest = json.loads((wrong / "manifest.json").read_text())
    manifest["files"]["selftest.npz"] = sha256_of_file(wrong / "selftest.npz")
    (wrong / "manifest.json").write_text(json.dumps(manifest))
    assert "self-test" in refused(capsys, wrong)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "many"])
def test_no_sound_to_measure_is_refused(seconds, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "--seconds", seconds])
    assert exit_.value.code == 2 and "--seconds" in capsys.readouterr().err


def test_the_stage_clock_gives_all_time_away_once():
    wall, processor = iter([0.0, 1.0, 3.0, 10.0, 14.0]), iter([0.0, 0.5, 2.0, 5.0, 6.0])
    clock = StageClock(lambda: next(wall), lambda: next(processor))
    clock("a")
    clock("b")
    clock.start()  # what lies before belongs to nobody
    clock("a")
    assert clock.take() == {"a": Spent(5.0, 1.5), "b": Spent(2.0, 1.5)}
    assert clock.take() == {}


def test_what_follows_from_the_means():
    hops = [{"level": Spent(0.001, 0.001), "log-mel": Spent(0.002, 0.001), "model": Spent(0.003, 0.002)}] * 3
    hops += [{"level": Spent(0.001, 0.001), "log-mel": Spent(0.002, 0.001), "model": Spent(0.043, 0.042)}]
    found = summarise(hops, 0.5)
    assert [row["stage"] for row in found["stages"]] == ["level", "log-mel", "model"]
    assert found["stages"][2] == {"stage": "model", "median_ms": 3.0, "p99_ms": 41.8, "processor_median_ms": 2.0}
    assert found["whole"]["median_ms"] == 6.0 and found["hops"] == 4
    assert found["processor_ratio"] == pytest.approx((3 * 0.004 + 0.044) / 4 / 0.5, abs=1e-5)
    assert found["real_time_factor"] == pytest.approx((3 * 0.006 + 0.046) / 4 / 0.5, abs=1e-5)
    assert found["microphones_per_core"] == 35 and found["microphones_per_gpu"] is None


def test_a_gpu_carries_what_its_own_stage_leaves_time_for():
    found = summarise([{"log-mel and model": Spent(0.002, 0.0005), "decision": Spent(0.001, 0.0005)}] * 2, 1.0)
    assert found["microphones_per_gpu"] == 500 and found["microphones_per_core"] == 1000


def config_of(hop_s):
    return Config(NodeConfig("node"), (SourceConfig("none", "stdin"),), model=ModelConfig(hop_s=hop_s))


def test_hops_shorter_than_a_block_are_counted_one_by_one(tiny):
    bundle, sound = load_bundle(tiny), np.zeros(RATE_HZ, np.float32)
    with open_scorer(bundle, "auto", 1, 0.016) as scorer:
        hops = measure_hops(bundle, scorer, config_of(0.016), sound, 1.0)
    assert len(hops) == 62 and all("model" in hop and "message" in hop for hop in hops)


def test_the_sound_is_the_street_or_where_that_cannot_be_read_made_up(monkeypatch):
    street, name = load_sound()
    assert street.dtype == np.float32 and len(street) == 60 * RATE_HZ and "street" in name
    monkeypatch.setattr(edge.bench, "STREET", Path("/none.ogg"))
    noise, name = load_sound()
    assert noise.dtype == np.float32 and len(noise) >= RATE_HZ and "/none.ogg" in name and noise.std() > 0
