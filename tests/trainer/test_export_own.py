"""Bundles of one's own: without foreign sound, of three channels, larger than a shipped one; the best epoch's note."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch

import trainer.export
from engines.bundle import load_bundle
from engines.foreignness import foreign_probability, foreignness
from engines.half_weights import widen_half_weights
from engines.onnx_graph import read_onnx_graph, unknown_to_8_2
from engines.runtimes import open_runtime
from engines.selftest import load_selftest, run_selftest
from trainer.cli import main
from trainer.ensemble import average_predictions
from trainer.evaluate import load_node_model, load_predictions
from trainer.export import HALF_TOLERANCE, SHIPPED_MODEL_BYTES, export_onnx
from trainer.model import SoundNet, create_network
from trainer.quantise import write_fp16, write_int8
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


def test_networks_of_several_seeds_go_into_one_bundle_and_are_judged_as_one(
    tmp_path, urbansound8k, fixtures, fit, capsys, caplog
):
    data = ["--data", str(urbansound8k)]
    for seed in ("0", "1"):
        assert fit("all" + seed, "--seed", seed) == 0
        for fold in ("1", "2"):
            assert fit("held%s-%s" % (fold, seed), "--hold-out-fold", fold, "--seed", seed) == 0
            assert main(["--device", "cpu", "evaluate", str(tmp_path / ("held%s-%s" % (fold, seed))), *data]) == 0
    assert fit("all2", "--seed", "2") == 0
    capsys.readouterr()
    both = [str(tmp_path / "all0"), str(tmp_path / "all1")]
    judges = {run: ["--evaluated", str(tmp_path / run)] for run in ("held1-0", "held1-1", "held2-0", "held2-1")}
    rest = ["--name", "own", "--selftest", str(fixtures / "siren-90014.ogg"), "--out", str(tmp_path / "bundle")]
    rest += ["--description", "A test.", "--licence", "CC0"]
    everyone = [word for words in judges.values() for word in words]
    assert main(["export", *both, *everyone, *rest]) == 0
    whole = load_bundle(tmp_path / "bundle")
    logmel = load_selftest(whole).logmel
    with open_runtime(whole) as runtime:
        said = np.ravel(runtime.infer(logmel))
    singles = []
    for number, run in enumerate(both):
        network, _, _ = load_node_model(Path(run))
        singles.append(export_onnx([network], logmel, tmp_path / ("%d.onnx" % number)))
    np.testing.assert_allclose(said, np.mean(singles, axis=0), atol=1e-3)
    assert np.abs(singles[0] - singles[1]).max() > 0.01  # they are two
    assert whole.training["seeds"] == [0, 1] and whole.training["folds"] == [1, 2]
    together = [
        average_predictions([load_predictions(tmp_path / ("held%s-%s" % (fold, seed))) for seed in "01"])
        for fold in "12"
    ]
    right = [one.logits[:, :3].argmax(axis=1) == one.labels for one in together]
    assert whole.training["metrics"]["accuracy"] == pytest.approx(float(np.concatenate(right).mean()))
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "2 networks, which differ in their seed alone" in card and "seeds: [0, 1]" in card

    size = (tmp_path / "bundle" / "model.onnx").stat().st_size
    assert main(["export", *both, *everyone, *rest, "--half-weights"]) == 0
    half = load_bundle(tmp_path / "bundle")
    assert (half.path / "model.onnx").stat().st_size < 0.75 * size
    with open_runtime(half) as runtime:
        assert run_selftest(half, runtime).logit_error < 1e-3
        np.testing.assert_allclose(np.ravel(runtime.infer(logmel)), np.mean(singles, axis=0), atol=HALF_TOLERANCE)
    assert "stored in half precision" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    for wrong, complaint in (
        ([both[0], *everyone], "is of another recipe than .* .seed."),
        ([both[0], both[0], *everyone], "is the same run as"),
        (
            [*both, *judges["held1-0"], *judges["held2-0"]],
            "at least two: name each fold.s runs",
        ),
        ([*both, *everyone[:6]], "expected the same seeds for each fold"),
        ([both[0], str(tmp_path / "all2"), *everyone], "seeds .0, 2. are judged by those of seeds .0, 1."),
        ([both[0], str(tmp_path / "held1-1"), *everyone], "was trained with hold_out_folds .1., .* with none"),
    ):
        capsys.readouterr()
        assert main(["export", *wrong, *rest]) == 2
        assert re.search(complaint, capsys.readouterr().err)


def test_in_half_precision_every_members_end_stays_in_single_and_in_eight_bits_every_stem(tmp_path):
    """The square of an embedding overflows half precision: of the first member as of the last."""
    torch.manual_seed(0)
    members = [SoundNet("tf_efficientnet_lite0", 3).eval() for _ in range(2)]
    logmel = np.random.default_rng(0).uniform(-1, 1, (64, 171)).astype(np.float32)
    path = tmp_path / "model.onnx"
    export_onnx(members, logmel, path, half_weights=True)
    graph = onnx.load_from_string(widen_half_weights(path.read_bytes(), "it")).graph
    operators = [node.op_type for node in graph.node]
    last = len(operators) - 1 - operators[::-1].index("Conv")
    assert operators[last:].count("Sqrt") == operators[last:].count("Gemm") == 2 and "Sqrt" not in operators[:last]
    write_fp16(path, tmp_path / "fp16.onnx")
    halved = onnx.load(str(tmp_path / "fp16.onnx")).graph
    in_half = {value.name for value in halved.initializer if value.data_type == onnx.TensorProto.FLOAT16}
    assert in_half and not [node.name for node in halved.node if node.op_type == "Gemm" and in_half & set(node.input)]
    write_int8(
        path, tmp_path / "int8.onnx", np.random.default_rng(1).uniform(-1, 1, (4, 1, 64, 171)).astype(np.float32)
    )
    eight = onnx.load(str(tmp_path / "int8.onnx")).graph
    rounded = {node.output[0] for node in eight.node if node.op_type == "DequantizeLinear"}
    stems = [node for node in eight.node if node.op_type == "Conv" and node.input[0] == "logmel"]
    assert len(stems) == 2 and not any(rounded & set(stem.input) for stem in stems)
    assert sum(bool(rounded & set(node.input)) for node in eight.node if node.op_type == "Conv") > 20


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
        logits = export_onnx([create_network(recipe, 10, foreign=False)], logmel, tmp_path / "model.onnx")
    assert logits.shape == (10,) and (tmp_path / "model.onnx").stat().st_size > SHIPPED_MODEL_BYTES
    assert "of a shipped model" in caplog.text
