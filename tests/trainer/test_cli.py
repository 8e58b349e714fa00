"""From data to bundle by the command line, on tiny real data; and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from engines.bundle import load_bundle
from engines.foreignness import foreignness
from engines.runtimes import open_runtime
from engines.selftest import run_selftest
from trainer.calibration import choose_decision, measure, measure_rejection
from trainer.cli import main
from trainer.errors import TrainerError
from trainer.evaluate import Predictions, load_averaged_model, load_predictions, save_predictions
from trainer.folder_lock import hold
from trainer.inference import compute_clip_logits, cut_windows
from trainer.run import read_record, select_clips

BACKBONE = "test_efficientnet"


@pytest.fixture
def data(tmp_path, urbansound8k, esc10):
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")
    return ["--data", str(urbansound8k), "--foreign", str(esc10)]


def fit(tmp_path, data, name, *more):
    return main(
        [
            "--device",
            "cpu",
            "fit",
            *data,
            "--out",
            str(tmp_path / name),
            "--backbone",
            BACKBONE,
            "--epochs",
            "1",
            "--batch",
            "4",
            "--weights",
            str(tmp_path / "weights.pth"),
            *more,
        ]
    )


def test_from_data_to_a_bundle_that_a_node_loads(tmp_path, data, fixtures, capsys, monkeypatch):
    held_out = ["--hold-out-fold", "2", "--foreign-hold-out", "rooster"]
    assert fit(tmp_path, data, "fold2", *held_out) == 0
    assert fit(tmp_path, data, "all") == 0
    capsys.readouterr()
    assert main(["--device", "cpu", "evaluate", str(tmp_path / "fold2"), *data]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == 3 and list(figures["accuracy_by_fold"]) == ["2"] and figures["foreign"]["clips"] == 1
    assert (
        main(
            [
                "export",
                str(tmp_path / "all"),
                "--evaluated",
                str(tmp_path / "fold2"),
                "--name",
                "tiny",
                "--selftest",
                str(fixtures / "siren-90014.ogg"),
                "--out",
                str(tmp_path / "bundle"),
                "--description",
                "A test.",
                "--licence",
                "CC0",
                "--limit",
                "Hears nothing.",
            ]
        )
        == 0
    )
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.labels == ("car_horn", "dog_bark", "siren")
    assert bundle.n_outputs == 3 and bundle.decision.foreign.method == "energy"
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "Hears nothing." in card and "95 % interval by recording" in card
    assert "the output that was trained for it left out" in card and "by energy" in card
    with open_runtime(bundle) as runtime:
        assert run_selftest(bundle, runtime).logit_error < 1e-3

    monkeypatch.setattr("trainer.calibration._choose_score", lambda *arguments: "reject_logit")
    again = ["export", str(tmp_path / "all"), "--evaluated", str(tmp_path / "fold2"), "--name", "tiny"]
    again += ["--selftest", str(fixtures / "siren-90014.ogg"), "--out", str(tmp_path / "bundle")]
    assert main([*again, "--description", "A test.", "--licence", "CC0"]) == 0
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.n_outputs == 4 and bundle.decision.foreign.method == "reject_logit"
    with open_runtime(bundle) as runtime:
        assert run_selftest(bundle, runtime).logit_error < 1e-3
    assert "trained for it left out" not in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()


def test_the_held_out_is_never_trained_on(tmp_path, data, capsys):
    from trainer.data.datasets import read_dataset

    fit(tmp_path, data, "run", "--hold-out-fold", "1", "--foreign-hold-out", "rain", "--foreign-reserve", "rooster:2")
    record = read_record(tmp_path / "run")
    selection = select_clips(record, read_dataset(data[1]), read_dataset(data[3]))
    assert {clip.fold for clip in selection.test} == {1} and {clip.fold for clip in selection.train} == {2}
    assert not {c.source_id for c in selection.train} & {c.source_id for c in selection.test}
    assert {clip.category for clip in selection.foreign_test} == {"rain"}
    assert {clip.category for clip in selection.foreign_train} == {"clock_tick"}


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--hold-out-fold", "7"], "no fold 7"),
        (["--foreign-hold-out", "whale"], "whale"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path, data, capsys, arguments, complaint):
    assert fit(tmp_path, data, "run", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("soundclr-train: ") and complaint in error


def test_a_run_without_a_held_out_fold_is_not_evaluated(tmp_path, data, capsys):
    fit(tmp_path, data, "run")
    assert main(["evaluate", str(tmp_path / "run"), *data]) == 2
    assert "held no fold out" in capsys.readouterr().err


def test_a_folder_that_holds_another_run_is_refused(tmp_path, data, capsys):
    assert fit(tmp_path, data, "run") == 0
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 2
    assert fit(tmp_path, data, "run", "--epochs", "3") == 2


def test_a_data_set_whose_folds_have_moved_judges_no_run(tmp_path, data, capsys):
    """A clip that was trained on may now lie in the held-out fold."""
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 0
    table = next(Path(data[1]).glob("metadata/*.csv"))
    rows = table.read_text().splitlines()
    assert main(["evaluate", str(tmp_path / "run"), *data]) == 0
    moved = [row.split(",") for row in rows]
    source = rows[0].split(",").index("fsID")
    moved[1][source] = "7"  # told to be of another recording
    table.write_text("\n".join(",".join(row) for row in moved) + "\n")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), *data]) == 2
    assert "lists other clips, folds or sources than when the run was begun" in capsys.readouterr().err
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 2  # nor goes it on with them


def test_weights_that_heard_the_test_are_refused(tmp_path, data, capsys):
    assert fit(tmp_path, data, "all") == 0
    assert fit(tmp_path, data, "other", "--hold-out-fold", "1") == 0
    heard = ["--weights", str(tmp_path / "all" / "checkpoint.pt"), "--hold-out-fold", "1"]
    capsys.readouterr()
    assert fit(tmp_path, data, "run", *heard) == 2
    assert "was trained on what this run holds out (fold 1)" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()
    unheard = ["--weights", str(tmp_path / "other" / "checkpoint.pt"), "--hold-out-fold", "1"]
    assert fit(tmp_path, data, "run", *unheard) == 0
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 2  # a run is not continued from other weights


def test_a_record_of_an_earlier_commit_still_goes_on_and_is_judged(tmp_path, data):
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 0
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: record[name] for name in list(record)[:8]}))
    assert read_record(tmp_path / "run").trained_folds == []
    assert fit(tmp_path, data, "run", "--hold-out-fold", "1") == 0
    assert main(["evaluate", str(tmp_path / "run"), *data]) == 0


def test_a_place_where_nothing_can_be_written_is_named_before_training(tmp_path, data, capsys):
    (tmp_path / "run").write_text("a file")
    assert fit(tmp_path, data, "run") == 2
    assert "%s cannot be written to" % (tmp_path / "run") in capsys.readouterr().err


def test_two_fits_do_not_share_a_folder(tmp_path, data, capsys):
    with hold(tmp_path / "run") as held:
        assert held and fit(tmp_path, data, "run") == 2
    assert "being worked on by another process" in capsys.readouterr().err
    assert fit(tmp_path, data, "run") == 0


def test_windows_of_long_and_short_clips():
    from trainer.recipe import URBAN_FRONTEND as SPEC

    assert cut_windows(np.ones(1000, np.float32), SPEC, "centre_silence").shape == (1, SPEC.window_samples)
    ramp = np.arange(int(6.2 * SPEC.sample_rate_hz), dtype=np.float32)
    windows = cut_windows(ramp, SPEC, "centre_silence")
    assert windows[:, 0].tolist() == [0.0, 43 * 512.0, 86 * 512.0]


def test_a_clip_of_several_windows_gets_their_mean(tmp_path, data):
    fit(tmp_path, data, "run")
    model, recipe, _ = load_averaged_model(tmp_path / "run")
    rate = recipe.frontend.sample_rate_hz
    sound = (np.random.default_rng(0).standard_normal(int(5.1 * rate)) * 0.1).astype(np.float32)
    one = compute_clip_logits(model, [sound], recipe.frontend, recipe.short_clip)
    parts = compute_clip_logits(
        model, list(cut_windows(sound, recipe.frontend, recipe.short_clip)), recipe.frontend, recipe.short_clip
    )
    assert len(parts) == 2 and np.allclose(one[0], parts.mean(axis=0), atol=1e-5)


def predictions(n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([rng.integers(0, 3, n), np.full(n // 3, -1)])
    logits = rng.standard_normal((len(labels), 4)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 3.0  # -1 is the last column: foreign sound
    return Predictions(
        logits,
        labels,
        np.where(labels < 0, 0, 1 + np.arange(len(labels)) % 3),
        np.array(["s%d" % (i // 5) for i in range(len(labels))]),
        np.where(labels < 0, "bells", "known"),
        logits,
    )


def test_the_rejection_rule_rejects_a_tenth_of_the_known():
    given = predictions()
    decision, choice = choose_decision(given, ["a", "b", "c"])
    x = foreignness(given.logits, "reject_logit", 3)
    probability = 1 / (1 + np.exp(-(decision.foreign.slope * x + decision.foreign.intercept)))
    known = given.labels >= 0
    assert abs((probability[known] >= decision.foreign.threshold).mean() - 0.1) < 0.02
    assert choice.auroc_by_method["reject_logit"] > 0.9 and choice.foreign_rejected > 0.7


def test_the_rejection_rule_is_judged_on_clips_that_had_no_say_in_it():
    """One run's scores lie elsewhere: the others' rule rejects none of its clips or all, its own would a tenth."""
    near = [predictions(n=300, seed=seed) for seed in range(3)]
    usual = measure_rejection(near, 3)
    assert usual["known"] == pytest.approx(0.1, abs=0.03) and usual["foreign"] > 0.7
    moved = near[2].logits - np.array([30, 30, 30, 30], np.float32)
    shifted = measure_rejection([*near[:2], near[2]._replace(logits=moved)], 3)
    assert shifted["known"] > 0.3
    assert measure_rejection(near[:1], 3) is None
    known_only = [part.select(part.labels >= 0) for part in near]
    assert measure_rejection(known_only, 3) is None


def test_figures_do_not_depend_on_the_order_of_clips():
    given = predictions()
    order = np.random.default_rng(1).permutation(len(given.labels))
    shuffled = given.select(order)
    first, second = measure(given, ["a", "b", "c"]), measure(shuffled, ["a", "b", "c"])
    for name in ("accuracy", "macro_f1", "nll", "brier"):
        assert first[name] == pytest.approx(second[name])
    assert first["foreign"]["auroc"] == pytest.approx(second["foreign"]["auroc"])


def test_a_single_fold_is_not_calibrated_on_itself():
    given = predictions()
    one_fold = given.select(given.folds <= 1)
    loud = one_fold._replace(logits=one_fold.logits * 5.0)  # what a temperature of 5 would undo
    figures = measure(one_fold, ["a", "b", "c"]), measure(loud, ["a", "b", "c"])
    assert [one["calibration"] for one in figures] == ["none", "none"]
    assert figures[0]["nll"] != pytest.approx(figures[1]["nll"], rel=0.05)
    both = measure(given, ["a", "b", "c"]), measure(given._replace(logits=given.logits * 5.0), ["a", "b", "c"])
    assert [one["calibration"] for one in both] == ["cross-fitted", "cross-fitted"]
    assert both[0]["nll"] == pytest.approx(both[1]["nll"], rel=0.02)


@pytest.mark.parametrize("damage", ["empty", "rubbish", "cut", "flipped"])
def test_predictions_that_are_damaged_are_refused(tmp_path, damage):
    save_predictions(predictions(), tmp_path)
    path = tmp_path / "predictions.npz"
    whole = path.read_bytes()
    middle = whole.index(b"logits.npy") + 200  # within the first compressed array
    flipped = whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 40]) + whole[middle + 40 :]
    path.write_bytes({"empty": b"", "rubbish": b"PK\x03\x04 rubbish", "cut": whole[:-100], "flipped": flipped}[damage])
    with pytest.raises(TrainerError, match=r"predictions\.npz"):
        load_predictions(tmp_path)
