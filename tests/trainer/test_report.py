"""The report: figures of known answers, nesting of what is fitted, comparison, and a page that fetches nothing."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.made_runs import LABELS, make_predictions, make_run
from trainer.cli import main
from trainer.ensemble import average_predictions
from trainer.errors import TrainerError
from trainer.evaluate import Predictions
from trainer.metrics import false_positive_rate_95, fit_temperature, softmax, wilson_interval
from trainer.reliability import calibration_floor, reliability_bins, risk_coverage
from trainer.report.comparison import compare_subjects, mcnemar
from trainer.report.figures import compute_figures
from trainer.report.subject import CROSS_FITTED, NESTED, UNCALIBRATED, load_subject


@pytest.fixture
def two_folds(tmp_path):
    return [make_run(tmp_path / ("f%d" % fold), make_predictions([fold])) for fold in (1, 2)]


def test_figures_of_two_folds_joined(two_folds):
    figures = compute_figures(load_subject(two_folds))
    assert (figures["clips"], figures["sources"], figures["folds"], figures["seeds"]) == (120, 24, [1, 2], [0])
    value, by_source, by_clip = (figures["accuracy"][name] for name in ("value", "by_source", "by_clip"))
    assert by_source[0] < value < by_source[1] and by_clip[0] < value < by_clip[1]
    assert value == pytest.approx(np.trace(figures["confusion"]) / 120)
    assert value == pytest.approx(np.mean(list(figures["accuracy_by_fold"].values())))
    assert sum(row["support"] for row in figures["classes"].values()) == 120
    assert figures["foreign"]["clips"] == 20 and 0.5 < figures["foreign"]["auroc"]["value"] < 1
    assert figures["risk_coverage"]["risk_at_coverage"]["1.0"] == pytest.approx(1 - value)
    assert figures["best_epoch"] is None and figures["ensemble_of_seeds"] is None


def test_seeds_are_repetitions_not_more_clips(tmp_path):
    runs = [make_run(tmp_path / str(seed), make_predictions([1], seed), seed) for seed in range(3)]
    figures = compute_figures(load_subject(runs))
    assert figures["clips"] == 60 and figures["seeds"] == [0, 1, 2] and figures["accuracy_sd_over_seeds"] > 0
    width = np.ptp(figures["accuracy"]["by_clip"])
    assert width == pytest.approx(np.ptp(compute_figures(load_subject(runs[:1]))["accuracy"]["by_clip"]), rel=0.2)
    assert figures["ensemble_of_seeds"]["accuracy"] > figures["accuracy"]["value"]  # independent errors average out
    one = compute_figures(load_subject(runs[:1]))
    for label, scores in figures["classes"].items():
        assert scores["support"] == 3 * one["classes"][label]["support"]
        alone = wilson_interval(round(scores["recall"] * scores["support"] / 3), scores["support"] // 3)
        assert scores["recall_by_clip"] == pytest.approx(list(alone))
    assert sum(row["clips"] for row in figures["calibration"]["bins"]) == pytest.approx(60, abs=8)


def test_the_same_run_three_times_is_no_surer_of_its_calibration(tmp_path):
    runs = [make_run(tmp_path / str(seed), make_predictions([1], 0), seed) for seed in range(3)]
    one, three = (compute_figures(load_subject(some))["calibration"] for some in (runs[:1], runs))
    for name in ("mean", "percentile_95"):
        floors = [figures["error_of_a_calibrated_model"][name] for figures in (one, three)]
        assert floors[1] == pytest.approx(floors[0], rel=0.25)
    widths = [[row["high"] - row["low"] for row in figures["bins"]] for figures in (one, three)]
    assert np.mean(widths[1]) == pytest.approx(np.mean(widths[0]), rel=0.25)


def test_a_temperature_never_comes_from_the_fold_that_it_serves(tmp_path):
    sharp, blunt = make_predictions([1], scale=4.0), make_predictions([2], scale=0.5)
    runs = [make_run(tmp_path / "1", sharp), make_run(tmp_path / "2", blunt)]
    subject = load_subject(runs)
    assert subject.calibration == CROSS_FITTED
    known = blunt.labels >= 0
    from_other_fold = fit_temperature(blunt.logits[known, :-1], blunt.labels[known])
    first = subject.known.folds == 1
    odds = np.log(subject.probabilities[first][:, 0] / subject.probabilities[first][:, 1])
    logits = sharp.logits[sharp.labels >= 0]
    np.testing.assert_allclose(odds, (logits[:, 0] - logits[:, 1]) / from_other_fold, rtol=1e-4)


def test_nested_temperatures_come_from_pair_runs_alone(tmp_path):
    root = tmp_path / "cv"
    for fold in (1, 2, 3):
        make_run(root / ("fold-%d-seed-0" % fold), make_predictions([fold], scale=9.0))
    (root / "crossval.json").write_text("{}")
    pairs = [(1, 2), (1, 3), (2, 3)]
    for pair in pairs:
        make_run(root / ("inner-%d-%d-seed-0" % pair), make_predictions(list(pair), seed=5, n=40))
    for run in root.iterdir():
        if run.is_dir():
            (run / "result.json").write_text("{}")
    subject = load_subject([root])
    assert subject.calibration == NESTED and subject.known.folds.tolist() == sorted(subject.known.folds.tolist())
    inner = [make_predictions([1, other], seed=5, n=40) for other in (2, 3)]
    chosen = [(one.logits[one.folds > 1, :-1], one.labels[one.folds > 1]) for one in inner]
    expected = fit_temperature(*(np.concatenate(arrays) for arrays in zip(*chosen, strict=True)))
    row = subject.probabilities[0]
    logits = subject.known.logits[0]
    assert np.log(row[0] / row[1]) == pytest.approx((logits[0] - logits[1]) / expected, rel=1e-4)
    (root / "inner-1-2-seed-0" / "result.json").unlink()  # not finished: no nested figure any more
    assert load_subject([root]).calibration == CROSS_FITTED


def test_a_single_fold_is_not_calibrated_on_itself(two_folds):
    assert load_subject(two_folds[:1]).calibration == UNCALIBRATED


def test_runs_that_do_not_belong_together_are_refused(tmp_path, two_folds):
    other = make_run(tmp_path / "other", make_predictions([3]), epochs=3)
    with pytest.raises(TrainerError, match="another recipe"):
        load_subject([*two_folds, other])
    with pytest.raises(TrainerError, match="second time"):
        load_subject([two_folds[0], two_folds[0]])


def test_runs_with_and_without_an_output_of_foreign_sound_are_refused_in_words(tmp_path, two_folds, capsys):
    plain = make_predictions([3])
    plain = plain._replace(logits=plain.logits[:, :3], cut_logits=plain.logits[:, :3])
    without = make_run(tmp_path / "without", plain, record={"foreign_data": ""})
    assert main(["report", *map(str, two_folds), str(without), "--out", str(tmp_path / "page")]) == 2
    complaint = capsys.readouterr().err.strip()
    assert "has an output of foreign sound (4 outputs)" in complaint and complaint.count("\n") == 0
    wide = make_run(tmp_path / "wide", plain._replace(logits=np.zeros((80, 7))))
    assert main(["report", str(wide)]) == 2
    assert "7 outputs for its 3 labels" in capsys.readouterr().err


def test_two_data_sets_are_not_compared_clip_by_clip(tmp_path, two_folds):
    for record, complaint in (({"data": "own"}, "judged on"), ({"labels": ["siren", "horn", "dog"]}, "not those of")):
        other = load_subject([make_run(tmp_path / complaint, make_predictions([1]), record=record)])
        with pytest.raises(TrainerError, match=complaint):
            compare_subjects(load_subject(two_folds), other)


def test_seeds_that_judged_other_folds_are_joined_and_compared(tmp_path):
    runs = [make_run(tmp_path / "1", make_predictions([1])), make_run(tmp_path / "2", make_predictions([2], 1), seed=1)]
    runs.append(make_run(tmp_path / "3", make_predictions([1], 1), seed=1))
    subject = load_subject(runs)
    figures = compute_figures(subject)
    assert figures["clips"] == 120 and figures["ensemble_of_seeds"] is None  # fold 2 has one seed
    assert compare_subjects(subject, subject)["clips"] == 120


def written(folder, seeds, sure, *, weights="", **recipe):
    """A folder of `crossval`: two folds of four clips (two recordings), which each seed answers with a probability.

    Args:
        sure: the true class's probability by seed, fold and clip; the second class has the rest.
        weights: digest of the file that the backbone began with.
    """
    truth = np.array([0, 0, 2, 2])
    for seed, by_fold in zip(seeds, sure, strict=True):
        for fold, chances in enumerate(by_fold, start=1):
            probabilities = np.full((4, 3), 1e-9)
            probabilities[:, 1] = 1 - np.array(chances)
            probabilities[np.arange(4), truth] = chances
            logits = np.log(np.concatenate([probabilities, np.full((4, 1), 1e-9)], axis=1)).astype(np.float32)
            predictions = Predictions(
                logits, truth, np.full(4, fold), np.array(["s%d-%d" % (fold, i // 2) for i in range(4)]),
                np.array(LABELS)[truth], logits, np.array(["%d-%d.wav" % (fold, i) for i in range(4)]),
            )  # fmt: skip
            name, record = "fold-%d-seed-%d" % (fold, seed), {"folds": [1, 2], "weights": weights}
            run = make_run(folder / name, predictions, seed=seed, record=record, **recipe)
            (run / "result.json").write_text("{}")
    (folder / "crossval.json").write_text("{}")
    return folder


SURE = [  # seed 0: 5 of 8 right; seed 1: 5 of 8 right; mean of both above one half: all but fold 2's first clip
    [[0.9, 0.8, 0.4, 0.7], [0.3, 0.9, 0.4, 0.9]],
    [[0.4, 0.8, 0.9, 0.4], [0.6, 0.4, 0.8, 0.7]],
]


def test_an_ensemble_of_a_whole_cross_validation_by_hand(tmp_path, capsys):
    root = written(tmp_path / "cv", [0, 1], SURE)
    assert main(["report", str(root), "--ensemble", "--out", str(tmp_path / "page")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cv, ensemble of 2 seeds: accuracy 87.5 %")
    figures = json.loads((tmp_path / "page" / "report.json").read_text())
    assert figures["ensemble"]["members"] == 2 and figures["seeds"] == [0, 1]
    assert (figures["clips"], figures["sources"], figures["folds"]) == (8, 4, [1, 2])
    assert figures["accuracy"]["value"] == 7 / 8 and figures["accuracy"]["by_clip"] == list(wilson_interval(7, 8))
    assert figures["accuracy"]["by_source"][0] >= 0.5 and figures["accuracy"]["by_source"][1] == 1.0
    assert figures["accuracy_by_fold"] == {"1": 1.0, "2": 0.75} and figures["accuracy_by_seed"] == {}
    assert figures["confusion"] == [[3, 1, 0], [0, 0, 0], [0, 0, 4]] and figures["best_epoch"] is None
    assert figures["ensemble_of_seeds"] is None and figures["accuracy_sd_over_seeds"] is None
    page = (tmp_path / "page" / "report.html").read_text()
    assert "An ensemble of 2 networks" in page and "By seed" not in page
    subject = load_subject([root], ensemble=True)
    assert subject.calibration == CROSS_FITTED
    log_odds = np.mean(np.log(SURE) - np.log1p(-np.asarray(SURE)), axis=0).reshape(-1)
    means = 1 / (1 + np.exp(-log_odds))
    truth = subject.known.labels
    np.testing.assert_allclose(softmax(subject.known.logits)[np.arange(8), truth], means, rtol=1e-5)
    first = subject.known.folds == 1  # its temperature is that of fold 2's means
    other = np.log([[mean, 1 - mean] for mean in means[4:]])
    temperature = fit_temperature(other, np.zeros(4, int))
    odds = np.log(means[:4] / (1 - means[:4])) / temperature
    np.testing.assert_allclose(
        subject.probabilities[first][np.arange(4), truth[first]], 1 / (1 + np.exp(-odds)), rtol=1e-3
    )

    assert main(["report", str(root), "--out", str(tmp_path / "each")]) == 0
    each = json.loads((tmp_path / "each" / "report.json").read_text())
    assert each["ensemble"] is None and each["accuracy"]["value"] == 10 / 16
    assert each["accuracy_by_seed"] == {"0": 5 / 8, "1": 5 / 8} and each["ensemble_of_seeds"]["accuracy"] == 7 / 8
    capsys.readouterr()
    together = ["report", str(root), "--ensemble", "--against", str(root), "--out", str(tmp_path / "page")]
    assert main(together) == 0 and "against cv: +25.0 points" in capsys.readouterr().out
    assert main([*together, "--against-ensemble"]) == 0
    assert "against cv, ensemble of 2 seeds: +0.0 points" in capsys.readouterr().out
    assert main(["report", str(root), "--against-ensemble"]) == 2


def test_cross_validations_of_other_seeds_are_joined_and_of_other_recipes_refused(tmp_path, capsys):
    first = written(tmp_path / "a", [0], SURE[:1])
    second = written(tmp_path / "b", [1], SURE[1:])
    assert load_subject([first, second]).n_clips == 8 and compute_figures(load_subject([first, second]))["seeds"] == [
        0,
        1,
    ]
    joined = load_subject([first, second], ensemble=True)
    assert joined.name == "a, b, ensemble of 2 seeds" and joined.members == 2 and len(joined.known.labels) == 8
    shorter = written(tmp_path / "c", [1], SURE[1:], epochs=3)
    weighty = written(tmp_path / "d", [1], SURE[1:], weights="abc")
    for other, complaint in (
        (shorter, "is of another recipe than"),
        (weighty, "began with other weights"),
        (written(tmp_path / "e", [0], SURE[:1]), "judges fold 1 with seed 0 a second time"),
    ):
        assert main(["report", str(first), str(other)]) == 2
        assert complaint in capsys.readouterr().err


def test_an_ensemble_that_lacks_seeds_is_refused(tmp_path, capsys):
    root = written(tmp_path / "cv", [0, 1], SURE)
    (root / "fold-2-seed-1" / "result.json").unlink()  # not finished
    assert main(["report", str(root), "--ensemble"]) == 2
    assert "fold 1: seeds 0, 1; fold 2: seed 0; expected the same seeds for each fold" in capsys.readouterr().err
    with pytest.raises(TrainerError, match="no ensemble of fold 1: seed 0;"):
        load_subject([root / "fold-1-seed-0"], ensemble=True)


def test_an_ensembles_nested_temperature_comes_from_the_inner_ensembles_of_its_seeds(tmp_path):
    root = tmp_path / "cv"
    for seed in (0, 1):
        for fold in (1, 2, 3):
            make_run(root / ("fold-%d-seed-%d" % (fold, seed)), make_predictions([fold], seed, scale=9.0), seed=seed)
        for pair in ([1, 2], [1, 3], [2, 3]):
            make_run(root / ("inner-%d-%d-seed-%d" % (*pair, seed)), make_predictions(pair, 5 + seed, n=40), seed=seed)
    for run in root.iterdir():
        (run / "result.json").write_text("{}")
    (root / "crossval.json").write_text("{}")
    subject = load_subject([root], ensemble=True)
    assert subject.calibration == NESTED
    inner = [average_predictions([make_predictions([1, fold], 5 + seed, n=40) for seed in (0, 1)]) for fold in (2, 3)]
    chosen = [(one.logits[one.folds > 1, :-1], one.labels[one.folds > 1]) for one in inner]
    expected = fit_temperature(*(np.concatenate(arrays) for arrays in zip(*chosen, strict=True)))
    logits, row = subject.known.logits[0], subject.probabilities[0]
    assert np.log(row[0] / row[1]) == pytest.approx((logits[0] - logits[1]) / expected, rel=1e-4)
    (root / "inner-1-2-seed-1" / "result.json").unlink()  # not finished: an inner fold lacks a seed
    assert load_subject([root], ensemble=True).calibration == CROSS_FITTED


def test_networks_without_an_output_of_foreign_sound_are_judged_by_their_energy(tmp_path):
    plain = [make_predictions([fold]) for fold in (1, 2)]
    runs = [make_run(tmp_path / str(i), one._replace(logits=one.logits[:, :3])) for i, one in enumerate(plain)]
    figures = compute_figures(load_subject(runs))
    assert np.array(figures["confusion"]).shape == (3, 3) and 0.5 < figures["foreign"]["auroc"]["value"] < 1


def test_the_best_epoch_is_only_ever_an_optimistic_note(tmp_path):
    history = [{"loss": 1.0, "test_accuracy": value} for value in (0.5, 0.9, 0.7)]
    run = make_run(tmp_path / "run", make_predictions([1]), history=history)
    best = compute_figures(load_subject([run]))["best_epoch"]
    assert (best["best"], best["last"]) == (0.9, 0.7) and "optimistic" in best["note"]


def test_comparison_of_a_better_and_a_worse_model(tmp_path):
    good = load_subject([make_run(tmp_path / "g", make_predictions([1], 1, skill=6.0, n=200))])
    bad = load_subject([make_run(tmp_path / "b", make_predictions([1], 2, skill=1.0, n=200))])
    versus = compare_subjects(good, bad)
    assert versus["clips"] == 200 and versus["by_source"][0] > 0 and versus["mcnemar"]["p_value"] < 1e-6
    mirrored = compare_subjects(bad, good)
    assert mirrored["accuracy_difference"] == pytest.approx(-versus["accuracy_difference"])
    same = compare_subjects(good, good)
    assert same["accuracy_difference"] == 0 and same["by_source"] == [0, 0] and same["mcnemar"]["p_value"] == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None)
def test_mcnemar_equals_the_binomial_test(rows):
    first, second = np.array(rows).T
    result = mcnemar(first, second)
    assert result.only_first == (first & ~second).sum() and result.only_second == (second & ~first).sum()
    differing = result.only_first + result.only_second
    expected = scipy.stats.binomtest(result.only_first, differing).pvalue if differing else 1.0
    assert result.p_value == pytest.approx(expected)


def test_fpr95_by_hand():
    known, foreign = np.arange(100.0), np.array([10.0, 94.0, 96.0, 200.0])
    scores, kinds = np.concatenate([known, foreign]), np.repeat([False, True], [100, 4])
    assert false_positive_rate_95(scores, kinds) == 0.5  # the limit is 95


def test_risk_by_hand_with_ties():
    coverage, risk = risk_coverage(np.array([0.9, 0.5, 0.5, 0.2]), np.array([True, False, True, False]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(risk, [0.0, 0.25, 1 / 3, 0.5])


def test_reliability_bins_hold_all_clips_and_their_own_intervals():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 900)
    labels = (rng.random(900) >= confidence).astype(int)
    bins = reliability_bins(np.stack([confidence, 1 - confidence], axis=1), labels)
    assert sum(one.clips for one in bins) == 900 and len(bins) == 15
    assert sum(one.low <= one.confidence <= one.high for one in bins) >= 12


def test_the_floor_of_the_calibration_error_shrinks_with_the_sample():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 2000)
    few, many = calibration_floor(probabilities[:200], draws=40), calibration_floor(probabilities, draws=40)
    assert 0 < many[0] < few[0] < few[1]


def test_the_page_holds_everything_and_fetches_nothing(tmp_path, two_folds, capsys):
    kept = make_run(tmp_path / "e", make_predictions([3], embeddings=True), history=[{"loss": 2.0}, {"loss": 1.0}])
    assert main(["report", str(kept), "--out", str(tmp_path / "page"), "--name", "<i>odd & name</i>"]) == 0
    assert "accuracy" in capsys.readouterr().out
    page = (tmp_path / "page" / "report.html").read_text()
    assert "<i>odd" not in page and "&lt;i&gt;odd &amp; name" in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 6
    for drawing in drawings:
        ET.fromstring(drawing)
        assert "currentColor" in drawing and "#010203" not in drawing
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!\s*["']?#)([^"')>\s]+)""", page)
    assert [one for one in outside if not one.startswith(("#", "data:"))] == []
    figures = json.loads((tmp_path / "page" / "report.json").read_text())
    assert figures["name"] == "<i>odd & name</i>" and figures["calibration"]["method"] == UNCALIBRATED
    assert main(["report", *map(str, two_folds), "--against", str(two_folds[0]), "--out", str(tmp_path / "p2")]) == 0
    assert json.loads((tmp_path / "p2" / "report.json").read_text())["comparison"]["clips"] == 60


def test_a_run_that_was_not_evaluated_is_one_line(tmp_path, capsys):
    run = make_run(tmp_path / "run", make_predictions([1]))
    (run / "predictions.npz").unlink()
    assert main(["report", str(run)]) == 2
    assert "soundclr-train evaluate" in capsys.readouterr().err


def test_networks_are_told_from_foreign_sound_each_on_its_own_scale(tmp_path):
    """The second network's answers all lie higher: pooled, its known clips would pass for foreign."""
    folders = []
    for fold in (1, 2):
        predictions = make_predictions([fold], skill=30.0)
        logits = predictions.logits.copy()
        logits[:, 3] += 200.0 * fold
        folders.append(make_run(tmp_path / str(fold), predictions._replace(logits=logits)))
    figures = compute_figures(load_subject(folders))["foreign"]
    assert figures["auroc"]["value"] > 0.99
    assert figures["clips"] == 20  # the same in both runs


def test_runs_that_began_with_other_weights_are_not_joined(tmp_path):
    folders = [
        make_run(tmp_path / str(fold), make_predictions([fold]), record={"folds": (1, 2), "weights": str(fold)})
        for fold in (1, 2)
    ]
    with pytest.raises(TrainerError, match="began with other weights"):
        load_subject(folders)
