"""Figures against hand-computed values, scikit-learn and SciPy, and invariants."""

import math

import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.metrics import (
    accuracy,
    auroc,
    bootstrap_interval,
    brier_score,
    class_scores,
    confusion_counts,
    expected_calibration_error,
    fit_logistic,
    fit_temperature,
    fit_thresholds,
    macro_f1,
    negative_log_likelihood,
    softmax,
    wilson_interval,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 300)
LOGITS = RNG.standard_normal((300, 4)) * 2 + 3 * np.eye(4)[LABELS]
PROBABILITIES = softmax(LOGITS)
PREDICTED = LOGITS.argmax(axis=1)


def test_accuracy_and_confusion_by_hand():
    predicted, labels = np.array([0, 1, 1, 2, 0]), np.array([0, 1, 2, 2, 1])
    assert accuracy(predicted, labels) == 0.6
    np.testing.assert_array_equal(
        confusion_counts(predicted, labels, 4), [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    )
    scores = class_scores(confusion_counts(predicted, labels, 4))
    assert scores[1] == (0.5, 0.5, 0.5, 2)
    assert scores[3] == (0.0, 0.0, 0.0, 0)
    assert macro_f1(confusion_counts(predicted, labels, 4)) == pytest.approx((2 / 3 + 0.5 + 2 / 3) / 3)


def test_class_scores_equal_scikit_learns():
    confusion = confusion_counts(PREDICTED, LABELS, 4)
    np.testing.assert_array_equal(confusion, sklearn.metrics.confusion_matrix(LABELS, PREDICTED))
    expected = np.array(sklearn.metrics.precision_recall_fscore_support(LABELS, PREDICTED)).T
    np.testing.assert_allclose(np.array(class_scores(confusion)), expected)
    assert macro_f1(confusion) == pytest.approx(sklearn.metrics.f1_score(LABELS, PREDICTED, average="macro"))


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(399, 400, 0.986, 0.9996), (388, 400, 0.948, 0.983), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)],
)
def test_wilson_interval_against_published_values(hits, trials, low, high):
    interval = wilson_interval(hits, trials)
    assert interval.low == pytest.approx(low, abs=5e-4)
    assert interval.high == pytest.approx(high, abs=5e-4)


@given(st.integers(1, 1000), st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_is_symmetric(trials, share):
    hits = round(share * trials)
    low, high = wilson_interval(hits, trials)
    assert 0.0 <= low <= hits / trials <= high <= 1.0
    mirrored = wilson_interval(trials - hits, trials)
    assert mirrored.low == pytest.approx(1 - high)
    assert mirrored.high == pytest.approx(1 - low)


def test_bootstrap_over_independent_clips_equals_the_normal_interval():
    hits = np.repeat([1.0, 0.0], [160, 40])
    interval = bootstrap_interval(lambda rows: hits[rows].mean(), [str(i) for i in range(200)])
    half = 1.96 * math.sqrt(0.8 * 0.2 / 200)
    assert interval.low == pytest.approx(0.8 - half, abs=0.012)
    assert interval.high == pytest.approx(0.8 + half, abs=0.012)


def test_bootstrap_by_source_is_wider_where_a_sources_clips_agree():
    hits = np.repeat(np.repeat([1.0, 0.0], [16, 4]), 10)
    by_clip = bootstrap_interval(lambda rows: hits[rows].mean(), [str(i) for i in range(200)])
    by_source = bootstrap_interval(lambda rows: hits[rows].mean(), [str(i // 10) for i in range(200)])
    ratio = (by_source.high - by_source.low) / (by_clip.high - by_clip.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.15)


def test_bootstrap_draws_whole_sources_and_is_reproducible():
    sources = ["a", "b", "a", "c", "b", "a"]

    def whole_sources(rows):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[2] == counts[5]
        assert counts[1] == counts[4]
        assert counts[0] + counts[1] + counts[3] == 3
        return float(counts[3])

    first = bootstrap_interval(whole_sources, sources, draws=50, seed=1)
    assert first == bootstrap_interval(whole_sources, sources, draws=50, seed=1)


def test_likelihood_and_brier_by_hand_and_against_scikit_learn():
    probabilities, labels = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert brier_score(probabilities, labels) == pytest.approx((0.5 + 2 * 0.81) / 2)
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(
        sklearn.metrics.log_loss(LABELS, PROBABILITIES)
    )


def test_certainty_that_was_wrong_costs_much_but_not_infinity():
    wrong = np.array([[1.0, 0.0]])
    assert 20 < negative_log_likelihood(wrong, np.array([1])) < 100
    assert brier_score(wrong, np.array([1])) == 2.0


def test_calibration_error_of_a_plain_miscalibration_is_its_gap():
    labels = np.repeat([0, 1], [3000, 2000])
    certain = np.tile([0.9, 0.1], (5000, 1))  # says 90 %, right in 60 %
    shuffled = np.random.default_rng(1).permutation(labels)
    assert expected_calibration_error(certain, shuffled) == pytest.approx(0.3, abs=0.01)
    assert expected_calibration_error(np.tile([1.0, 0.0], (10, 1)), np.zeros(10, int)) == 0.0


def test_debiasing_takes_most_of_chance_off_a_calibrated_model():
    plain, debiased = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.5, 1.0, 400)
        labels = (rng.random(400) >= confidence).astype(int)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        debiased.append(expected_calibration_error(probabilities, labels))
        bins = np.array_split(np.argsort(confidence), 15)
        plain.append(sum(len(b) * abs(confidence[b].mean() - (labels[b] == 0).mean()) for b in bins) / 400)
    assert np.mean(plain) > 0.05
    assert np.mean(debiased) < 0.6 * np.mean(plain)


def calibrated_street(seed, sources=60, clips=8):
    """A calibrated model, and clips that are right or wrong with all others of their recording."""
    rng = np.random.default_rng(seed)
    confidence = np.repeat(rng.uniform(0.5, 1.0, sources), clips)
    labels = np.repeat(rng.random(sources), clips) >= confidence
    names = np.repeat(np.arange(sources), clips).astype(str)
    return np.stack([confidence, 1 - confidence], axis=1), labels.astype(int), names


def test_what_clips_of_one_recording_share_is_chance_too():
    by_clip, by_source = [], []
    for seed in range(40):
        probabilities, labels, names = calibrated_street(seed)
        by_clip.append(expected_calibration_error(probabilities, labels))
        by_source.append(expected_calibration_error(probabilities, labels, sources=list(names)))
    assert np.mean(by_source) < 0.85 * np.mean(by_clip)


def test_the_interval_of_the_calibration_error_lies_around_it():
    inside = 0
    for seed in range(12):
        probabilities, labels, names = calibrated_street(seed, sources=100, clips=5)
        error = expected_calibration_error(probabilities, labels, sources=list(names))
        low, high = bootstrap_interval(
            lambda i, p=probabilities, t=labels, s=names: expected_calibration_error(p[i], t[i], sources=list(s[i])),
            list(names),
            draws=200,
        )
        inside += low <= error <= high
    assert inside >= 11


def test_without_shared_recordings_every_clip_stands_for_itself():
    probabilities, labels, _ = calibrated_street(0, sources=200, clips=1)
    names = [str(i) for i in range(200)]
    alone = expected_calibration_error(probabilities, labels)
    assert expected_calibration_error(probabilities, labels, sources=names) == pytest.approx(alone)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60))
@settings(deadline=None)
def test_auroc_equals_scikit_learns_and_the_share_of_pairs(rows):
    scores, foreign = np.array([score for score, _ in rows]), np.array([kind for _, kind in rows])
    if foreign.all() or not foreign.any():
        with pytest.raises(TrainerError, match="both kinds"):
            auroc(scores, foreign)
        return
    pairs = np.sign(scores[foreign][:, None] - scores[~foreign][None, :])
    assert auroc(scores, foreign) == pytest.approx((pairs.mean() + 1) / 2)
    assert auroc(scores, foreign) == pytest.approx(sklearn.metrics.roc_auc_score(foreign, scores))


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_temperature_is_recovered_and_is_the_minimum(true_temperature):
    rng = np.random.default_rng(2)
    calibrated = rng.standard_normal((4000, 5)) * 2
    labels = (calibrated + rng.gumbel(size=calibrated.shape)).argmax(axis=1)  # drawn from softmax(calibrated)
    logits = calibrated * true_temperature
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(true_temperature, rel=0.1)
    searched = scipy.optimize.minimize_scalar(
        lambda t: negative_log_likelihood(softmax(logits / t), labels),
        bounds=(0.1, 10),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert fitted == pytest.approx(searched.x, rel=1e-4)


def test_temperature_stays_bounded_where_the_loss_has_no_minimum():
    perfect, useless = 10 * np.eye(3), -10 * np.eye(3)
    assert 0.0 < fit_temperature(perfect, np.arange(3)) < 1.0
    assert 10.0 < fit_temperature(useless, np.arange(3)) < 100.0


def test_thresholds_lie_in_the_middle_of_the_gap_between_right_and_wrong():
    probabilities = np.array([[0.80, 0.2], [0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.05, 0.95]])
    labels = np.array([0, 0, 1, -1, 1])
    thresholds = fit_thresholds(probabilities, labels, 2)
    assert thresholds[0] == pytest.approx(0.65, abs=0.011)  # anything from 0.51 to 0.80 parts them
    assert thresholds[1] == pytest.approx(0.55, abs=0.011)  # the foreign clip's 0.5 must stay out


def f1_at(threshold, probability, truth):
    called = probability >= threshold
    return 2 * (called & truth).sum() / (called.sum() + truth.sum())


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_no_threshold_within_bounds_has_a_better_f1(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, 80)
    probabilities = softmax(rng.standard_normal((80, 4)) + 2 * np.eye(4)[labels])
    thresholds = fit_thresholds(probabilities, labels, 3)
    assert ((thresholds >= 0.3) & (thresholds <= 0.9)).all()
    for i, chosen in enumerate(thresholds):
        best = max(f1_at(t, probabilities[:, i], labels == i) for t in np.arange(30, 91) / 100)
        assert f1_at(chosen, probabilities[:, i], labels == i) == pytest.approx(best)


@given(st.integers(0, 1000), st.sampled_from([0.5, 0.7, 0.9]))
@settings(max_examples=30, deadline=None)
def test_of_the_thresholds_that_are_precise_enough_none_has_a_better_f1(seed, least):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, 80)
    probabilities = softmax(rng.standard_normal((80, 4)) + 1.5 * np.eye(4)[labels])
    thresholds = fit_thresholds(probabilities, labels, 3, least_precision=least)
    for i, chosen in enumerate(thresholds):
        truth = labels == i
        precise = []
        for threshold in np.arange(30, 91) / 100:
            called = probabilities[:, i] >= threshold
            if called.any() and truth[called].mean() >= least:
                precise.append(threshold)
        if not precise:
            assert chosen == 0.9
            continue
        called = probabilities[:, i] >= chosen
        assert truth[called].mean() >= least
        assert f1_at(chosen, probabilities[:, i], truth) == pytest.approx(
            max(f1_at(threshold, probabilities[:, i], truth) for threshold in precise)
        )


def test_a_class_without_examples_gets_the_default_threshold():
    assert fit_thresholds(np.array([[0.9, 0.1]]), np.array([0]), 2)[1] == 0.5


def test_logistic_maps_known_low_and_foreign_high_whatever_their_numbers():
    rng = np.random.default_rng(3)
    score = np.concatenate([rng.normal(-2.0, 1.0, 2000), rng.normal(2.0, 1.0, 50)]) * 7 + 100
    foreign = np.repeat([False, True], [2000, 50])
    slope, intercept = fit_logistic(score, foreign)
    probability = 1 / (1 + np.exp(-(slope * score + intercept)))
    assert slope > 0
    assert -intercept / slope == pytest.approx(100.0, abs=3.0)  # half-way, though known clips are forty times as many
    assert probability[~foreign].mean() < 0.1
    assert probability[foreign].mean() > 0.9


@given(st.floats(0.01, 100.0), st.floats(-50.0, 50.0))
@settings(max_examples=25, deadline=None)
def test_logistic_does_not_depend_on_the_scores_unit(scale, offset):
    rng = np.random.default_rng(4)
    score, foreign = rng.standard_normal(60), rng.random(60) < 0.4
    slope, intercept = fit_logistic(score, foreign)
    other = fit_logistic(score * scale + offset, foreign)
    np.testing.assert_allclose(
        other.slope * (score * scale + offset) + other.intercept, slope * score + intercept, atol=1e-5
    )


def test_logistic_minimises_its_penalised_loss():
    rng = np.random.default_rng(5)
    foreign = rng.random(200) < 0.3
    score = rng.standard_normal(200) + foreign
    standard = (score - score.mean()) / score.std()
    weight = np.where(foreign, 0.5 / foreign.sum(), 0.5 / (~foreign).sum())

    def loss(parameters):
        z = parameters[0] * standard + parameters[1]
        return (weight * (np.logaddexp(0, z) - foreign * z)).sum() + 0.5 * 1e-2 * parameters[0] ** 2

    best = scipy.optimize.minimize(loss, [0.0, 0.0], tol=1e-12).x
    slope, intercept = fit_logistic(score, foreign)
    assert slope * score.std() == pytest.approx(best[0], abs=1e-4)
    assert intercept + slope * score.mean() == pytest.approx(best[1], abs=1e-4)


def test_logistic_of_wholly_separated_scores_is_finite_and_steep():
    slope, intercept = fit_logistic(np.array([0.0, 0.1, 5.0, 5.1]), np.array([False, False, True, True]))
    assert 0.5 < slope < 10.0
    assert math.isfinite(intercept)


def test_logistic_of_scores_that_say_nothing_is_flat():
    assert fit_logistic(np.ones(4), np.array([False, True, False, True])) == (0.0, 0.0)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: accuracy(np.array([]), np.array([])),
        lambda: accuracy(np.array([1, 2]), np.array([1])),
        lambda: wilson_interval(0, 0),
        lambda: wilson_interval(5, 4),
        lambda: macro_f1(np.zeros((3, 3), int)),
        lambda: bootstrap_interval(np.mean, []),
        lambda: fit_temperature(np.zeros((0, 3)), np.zeros(0, int)),
        lambda: fit_temperature(np.full((2, 3), np.nan), np.zeros(2, int)),
        lambda: fit_logistic(np.array([1.0, 2.0]), np.array([True, True])),
        lambda: fit_logistic(np.array([1.0, np.inf]), np.array([True, False])),
    ],
)
def test_what_no_figure_can_be_made_of_is_refused(attempt):
    with pytest.raises(TrainerError):
        attempt()
