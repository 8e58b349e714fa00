"""Bundles of one's own: without foreign sound, of three channels, larger than a shipped one; the best epoch's note."""

import json
import logging

import numpy as np
import onnx
import pytest
import timm
import torch

import trainer.export
from engines.bundle import load_bundle
from engines.foreignness import foreign_probability, foreignness
from engines.onnx_graph import read_onnx_graph, unknown_to_8_2
from engines.runtimes import open_runtime
from engines.selftest import run_selftest
from trainer.cli import main
from trainer.export import SHIPPED_MODEL_BYTES, export_onnx
from trainer.model import create_network
from trainer.recipes import find_recipe

BACKBONE = "test_efficientnet"


@pytest.fixture
def fit(tmp_path, urbansound8k):
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")

    def run(name, *more):
        return main([
            "--device", "cpu", "fit", "--data", str(urbansound8k), "--out", str(tmp_path / name),
            "--recipe", "soundclr", "--backbone", BACKBONE, "--epochs", "2", "--batch", "3",
            "--set", "frontend.window_frames=64",
            "--weights", str(tmp_path / "weights.pth"), *more,
        ])  # fmt: skip

    return run


def test_the_papers_recipe_goes_from_data_to_a_bundle_without_foreign_sound(
    tmp_path, urbansound8k, fixtures, fit, capsys, caplog, monkeypatch
):
    assert fit("held", "--hold-out-fold", "2", "--best-epoch", "--tensorboard") == 0 and fit("all") == 0
    capsys.readouterr()
    assert main(["--device", "cpu", "evaluate", str(tmp_path / "held"), "--data", str(urbansound8k)]) == 0
    figures = json.loads(capsys.readouterr().out)
    best = figures["best_epoch"]
    assert best["best"] >= best["last"] == figures["accuracy"] and "optimistic" in best["note"]
    assert not figures["foreign"]

    monkeypatch.setattr(trainer.export, "SHIPPED_MODEL_BYTES", 1000)
    export = [
        "export", str(tmp_path / "all"), "--evaluated", str(tmp_path / "held"), "--name", "own", "--selftest",
        str(fixtures / "siren-90014.ogg"), "--out", str(tmp_path / "bundle"), "--description", "A test.",
        "--licence", "CC0",
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert main(export) == 0
    assert "more than the 1000 of a shipped model" in caplog.text
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.training["folds"] == [2] and bundle.training["trained_folds"] == [1, 2]  # judged; trained on
    assert main(["robustness", str(tmp_path / "bundle"), "--data", str(urbansound8k), "--fold", "1"]) == 2
    assert bundle.n_outputs == 4 and len(bundle.labels) == 3  # the last: how far from what was trained on
    assert bundle.decision.foreign.method == "reject_logit"
    with open_runtime(bundle) as runtime:
        assert run_selftest(bundle, runtime).logit_error < 1e-3
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "recipe `soundclr`" in card and "the weights of weights.pth" in card and "averaged" not in card
    assert "do not say how well it is rejected" in card and "outlier exposure" not in card
    assert "told by its distance from the space of the trained clips" in card
    held = tmp_path / "held"
    with np.load(held / "predictions.npz") as kept:
        older = {name: kept[name] for name in kept.files if name != "distances"}
    np.savez(held / "predictions.npz", **older)  # as an earlier version evaluated it
    assert main(export) == 2 and "run `soundclr-train evaluate RUN` again" in capsys.readouterr().err
    path = tmp_path / "bundle" / "model.onnx"
    assert not unknown_to_8_2(read_onnx_graph(path.read_bytes(), "it"))
    inputs = onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim
    assert [one.dim_value for one in inputs] == [1, 1, 128, 64]  # the node gives one channel, the network makes three


def test_tensorboard_has_what_the_log_has(tmp_path, fit):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert fit("run", "--tensorboard", "--hold-out-fold", "1", "--best-epoch") == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"loss", "contrastive", "cross_entropy", "learning_rate", "test_accuracy"} <= set(events.Tags()["scalars"])
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    assert [one.step for one in events.Scalars("loss")] == [1, 2]
    logged = [float(row.split(",")[column]) for row in rows[1:]]
    assert [one.value for one in events.Scalars("loss")] == pytest.approx(logged, rel=1e-5)
    before = sorted((tmp_path / "run").iterdir())
    assert fit("run", "--hold-out-fold", "1") == 0 and sorted((tmp_path / "run").iterdir()) == before


def test_the_best_epoch_needs_a_fold_to_judge(fit, capsys):
    assert fit("run", "--best-epoch") == 2
    assert "none is held out" in capsys.readouterr().err


def test_without_foreign_clips_a_tenth_of_the_known_is_rejected():
    from tests.trainer.made_runs import LABELS, make_predictions
    from trainer.calibration import choose_decision

    given = make_predictions([1, 2], n=200, n_foreign=0)
    decision, choice = choose_decision(given._replace(logits=given.logits[:, :3]), LABELS)
    assert decision.foreign.method == "energy" and decision.foreign.slope > 0 and choice.foreign_rejected is None
    x = foreignness(given.logits, "energy", 3)
    assert (foreign_probability(x, decision.foreign) >= decision.foreign.threshold).mean() == pytest.approx(
        0.1, abs=0.01
    )


def test_a_score_that_is_worse_than_chance_makes_no_rule_that_a_node_refuses():
    from tests.trainer.made_runs import LABELS, make_predictions
    from trainer.calibration import choose_decision

    given = make_predictions([1], n=100, n_foreign=50)
    logits = given.logits.copy()
    logits[given.labels < 0, :3] += 30.0  # foreign clips look more known than the known
    decision, choice = choose_decision(given._replace(logits=logits), LABELS)
    assert decision.foreign.slope > 0 and choice.auroc_by_method["reject_logit"] < 0.5
    assert choice.foreign_rejected < 0.1


@pytest.mark.slow
def test_the_papers_resnet_50_is_read_by_8_2_and_only_warned_of(tmp_path, caplog):
    recipe = find_recipe("soundclr")
    logmel = np.random.default_rng(0).uniform(-80.0, 0.0, (128, 343)).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        logits = export_onnx(create_network(recipe, 10, foreign=False), logmel, tmp_path / "model.onnx")
    assert logits.shape == (10,) and (tmp_path / "model.onnx").stat().st_size > SHIPPED_MODEL_BYTES
    assert "of a shipped model" in caplog.text
