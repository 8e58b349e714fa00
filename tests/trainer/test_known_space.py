"""The known space: what it holds, the distance from it, and that distance inside a network and its graph."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.foreignness import foreignness
from engines.onnx_graph import read_onnx_graph, unknown_to_8_2
from tests.trainer.made_runs import LABELS, make_predictions, make_run
from trainer.calibration import choose_decision, measure, measure_rejection
from trainer.ensemble import average_predictions
from trainer.errors import TrainerError
from trainer.evaluate import join_predictions, load_predictions, save_predictions
from trainer.export import export_onnx
from trainer.known_space import (
    KnownSpace,
    close_classifier,
    fit_space,
    load_space,
    measure_space,
    open_classifier,
    save_space,
)
from trainer.metrics import auroc
from trainer.model import SoundNet
from trainer.recipe import URBAN_FRONTEND
from trainer.report.figures import compute_figures
from trainer.report.subject import load_subject

SPEC = URBAN_FRONTEND._replace(window_frames=64)


def network(seed=0):
    torch.manual_seed(seed)
    return SoundNet("test_efficientnet", 3, foreign=False).eval()


def near_a_plane(n=200, width=32, dimensions=3, noise=0.01, seed=0):
    """Unit vectors about a plane of a few dimensions, and that plane's basis."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((width, dimensions)))[0].T
    values = rng.standard_normal((n, dimensions)) @ basis + noise * rng.standard_normal((n, width))
    return values / np.linalg.norm(values, axis=1, keepdims=True), basis


def distance_from(space, embeddings):
    """By its definition, in double precision."""
    centred = embeddings.astype(np.float64) - space.mean
    beside = centred - centred @ space.basis.T.astype(np.float64) @ space.basis
    return np.linalg.norm(beside, axis=1) / space.spread


def extra_output(model, embeddings):
    with torch.no_grad():
        return model.classify(torch.from_numpy(embeddings.astype(np.float32))).numpy()


def test_the_space_of_a_plane_is_the_plane():
    embeddings, basis = near_a_plane()
    space = fit_space(embeddings)
    assert len(space.basis) == 3
    np.testing.assert_allclose(space.basis @ space.basis.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.svd(space.basis @ basis.T)[1], 1.0, atol=1e-3)  # no angle between them
    assert np.sqrt(np.mean(distance_from(space, embeddings) ** 2)) == pytest.approx(1.0, rel=1e-5)  # the unit
    aside = np.linalg.qr(np.concatenate([basis, np.eye(32)[:1]]).T)[0].T[-1:]
    assert distance_from(space, aside)[0] > 20.0


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(2, 24), st.floats(0.3, 1.0), st.integers(0, 1000))
def test_a_space_holds_at_least_its_share_and_no_less_with_a_larger_one(n, width, share, seed):
    embeddings = np.random.default_rng(seed).standard_normal((n, width))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    space = fit_space(embeddings, share=share)
    whole = np.square(embeddings - embeddings.mean(axis=0)).sum(axis=1).mean()
    assert space.spread**2 <= max((1 - share) * whole, 0.01**2) + 1e-9
    assert len(fit_space(embeddings, share=1.0).basis) >= len(space.basis) >= 1
    assert (distance_from(space, embeddings) >= 0).all()


@pytest.mark.parametrize(
    ("embeddings", "complaint"),
    [
        (np.ones((1, 8)), "at least 2 trained windows"),
        (np.ones((5, 8)), "one embedding"),
        (np.full((5, 8), np.nan), "not finite"),
        (np.ones(8), "expected"),
    ],
)
def test_embeddings_that_make_no_space_are_refused(embeddings, complaint):
    with pytest.raises(TrainerError, match=complaint):
        fit_space(embeddings)


def test_the_extra_output_is_the_distance_and_the_others_stay():
    model = network()
    width = model.classifier.in_features
    space = fit_space(near_a_plane(width=width)[0])
    heard, _ = near_a_plane(n=7, width=width, seed=1)
    before = extra_output(model, heard)
    after = extra_output(open_classifier(model, space), heard)
    assert after.shape == (7, 4)
    np.testing.assert_array_equal(after[:, :3], before)
    np.testing.assert_allclose(foreignness(after, "reject_logit", 3), distance_from(space, heard), rtol=1e-3)
    with torch.no_grad():
        model.classifier.weight.mul_(1e3)  # logits whose exponential overflows
    assert np.isfinite(extra_output(model, heard)).all()


def test_a_space_of_another_width_is_refused():
    with pytest.raises(TrainerError, match="a known space of 8 features for a network of"):
        open_classifier(network(), fit_space(near_a_plane(width=8)[0]))


def test_the_graph_of_a_bundle_has_the_distance_and_nothing_that_tensorrt_8_2_lacks(tmp_path):
    model = network()
    space = fit_space(near_a_plane(width=model.classifier.in_features)[0])
    logmel = np.random.default_rng(0).uniform(-1, 1, (SPEC.n_mels, SPEC.window_frames)).astype(np.float32)
    logits = export_onnx([open_classifier(model, space)], logmel, tmp_path / "model.onnx")
    assert not unknown_to_8_2(read_onnx_graph((tmp_path / "model.onnx").read_bytes(), "it"))
    with torch.no_grad():
        embedding = model.embed(torch.from_numpy(logmel)[None, None]).numpy()
    expected = distance_from(space, embedding)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    given = session.run(None, {"logmel": logmel[None, None]})[0]
    for one in (logits[None], given):
        np.testing.assert_allclose(foreignness(one, "reject_logit", 3), expected, rtol=1e-2)


def test_every_window_of_a_long_clip_counts():
    model, rng = network(), np.random.default_rng(0)
    sounds = [(rng.standard_normal(SPEC.sample_rate_hz * 5) * 0.1).astype(np.float32) for _ in range(3)]
    halves = [half for sound in sounds for half in (sound[: SPEC.window_samples], sound[-SPEC.window_samples :])]
    assert len(measure_space(model, sounds, SPEC, "centre_silence").basis) > len(
        measure_space(model, halves[:3], SPEC, "centre_silence").basis
    )


def test_a_space_is_kept_with_its_network_and_no_other(tmp_path):
    model = network()
    space = fit_space(near_a_plane(width=model.classifier.in_features)[0])
    assert load_space(model, tmp_path) is None
    save_space(space, model, tmp_path)
    back = load_space(model, tmp_path)
    np.testing.assert_array_equal(back.basis, space.basis)
    assert back.spread == pytest.approx(space.spread)
    assert load_space(network(seed=1), tmp_path) is None  # trained again in the same folder


@pytest.mark.parametrize("damage", ["cut", "other", "shapes", "negative"])
def test_a_damaged_space_is_refused_in_words(tmp_path, damage):
    model = network()
    space = fit_space(near_a_plane(width=model.classifier.in_features)[0])
    if damage == "shapes":
        space = KnownSpace(space.mean[:-1], space.basis, space.spread)
    if damage == "negative":
        space = space._replace(spread=-1.0)
    save_space(space, model, tmp_path)
    path = tmp_path / "known_space.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    if damage == "other":
        np.savez(path, mean=space.mean)
    with pytest.raises(TrainerError, match="known_space.npz is damaged"):
        load_space(model, tmp_path)


def measured(predictions, seed=0):
    """As of runs without an output of foreign sound: three logits, and distances that tell foreign clips."""
    rng = np.random.default_rng(seed)
    distances = 2.0 + rng.standard_normal(len(predictions.labels)) + 4.0 * (predictions.labels < 0)
    return predictions._replace(logits=predictions.logits[:, :3], distances=distances)


def test_a_bundle_decides_by_the_distance_where_there_is_one_and_reads_it_as_an_extra_output():
    given = measured(make_predictions([1, 2], n=200, n_foreign=100))
    decision, choice = choose_decision(given, LABELS)
    assert choice.score == "distance" and decision.foreign.method == "reject_logit"
    is_foreign = given.labels < 0
    assert choice.auroc_by_method["distance"] == pytest.approx(auroc(given.distances, is_foreign))
    over = decision.foreign.slope * given.distances + decision.foreign.intercept
    rejected = 1 / (1 + np.exp(-over)) >= decision.foreign.threshold
    assert rejected[~is_foreign].mean() == pytest.approx(0.1, abs=0.01) and rejected[is_foreign].mean() > 0.9
    learnt = make_predictions([1, 2], n=200, n_foreign=100)  # what training taught counts where it is clearly better
    learnt = learnt._replace(distances=np.zeros(len(learnt.labels)))
    assert choose_decision(learnt, LABELS)[1].score == "reject_logit"
    few = learnt.select(np.arange(len(learnt.labels)) < 440)
    assert choose_decision(few, LABELS)[1].score == "energy"  # eight foreign recordings decide nothing


def test_a_bundle_decides_by_the_energy_where_that_tells_more_and_its_graph_has_no_other_output(tmp_path):
    given = make_predictions([1, 2], n=200, n_foreign=100)
    quiet = given.logits.copy()
    quiet[given.labels < 0, :3] -= 6.0  # foreign clips excite no known class
    quiet[:, 3] = np.random.default_rng(0).standard_normal(len(quiet))  # and the output that was taught knows nothing
    quiet[:, 3] -= foreignness(quiet, "energy", 3)
    decision, choice = choose_decision(given._replace(logits=quiet), LABELS)
    assert choice.score == decision.foreign.method == "energy"
    assert choice.auroc_by_method["energy"] > 0.95 > 0.7 > choice.auroc_by_method["reject_logit"]
    figures = measure(given._replace(logits=quiet), LABELS)["foreign"]
    assert figures["score"] == "energy" and figures["auroc"] == choice.auroc_by_method["energy"]
    assert figures["auroc_by_score"] == choice.auroc_by_method

    torch.manual_seed(0)
    taught = SoundNet("test_efficientnet", 3, foreign=True).eval()
    logmel = np.random.default_rng(0).uniform(-1, 1, (SPEC.n_mels, SPEC.window_frames)).astype(np.float32)
    whole = export_onnx([taught], logmel, tmp_path / "whole.onnx")
    closed = export_onnx([close_classifier(taught, 3)], logmel, tmp_path / "closed.onnx")
    assert whole.shape == (4,) and closed.shape == (3,)
    np.testing.assert_allclose(closed, whole[:3], atol=1e-5)


def test_the_rule_by_distance_is_judged_on_clips_that_had_no_say_in_it():
    parts = [measured(make_predictions([fold], n=200, n_foreign=50), fold) for fold in (1, 2, 3)]
    shares = measure_rejection(parts, 3)
    assert shares["known"] == pytest.approx(0.1, abs=0.04) and shares["foreign"] > 0.9


def test_a_run_without_a_foreign_clip_leaves_the_distance_to_the_others(tmp_path):
    parts = [measured(make_predictions([fold], n_foreign=n), fold) for fold, n in ((1, 20), (2, 0))]
    for fold, part in enumerate(parts, start=1):
        make_run(tmp_path / str(fold), part)
    subject = load_subject([tmp_path / "1", tmp_path / "2"])
    figures = compute_figures(subject)["foreign"]
    assert list(subject.foreign_scores) == ["distance", "energy"] and figures["score"] == "distance"
    assert figures["other_scores"].keys() == {"energy"} and 0 < figures["other_scores"]["energy"]["auroc"]["value"] < 1
    np.testing.assert_array_equal(subject.foreign_scores["distance"][subject.networks == 1], parts[1].distances)
    known_only = load_subject([tmp_path / "2"])
    assert next(iter(known_only.foreign_scores)) == "distance" and compute_figures(known_only)["foreign"] is None


def test_distances_that_are_no_number_a_clip_are_refused(tmp_path):
    given = measured(make_predictions([1]))
    for damaged in (np.zeros((len(given.labels), 3)), np.full(len(given.labels), "far")):
        save_predictions(given._replace(distances=damaged), tmp_path)
        with pytest.raises(TrainerError, match="not one number a clip"):
            load_predictions(tmp_path)


def test_distances_are_joined_and_averaged_where_all_have_them(tmp_path):
    parts = [measured(make_predictions([fold]), fold) for fold in (1, 2)]
    joined = join_predictions(parts)
    np.testing.assert_array_equal(joined.distances, np.concatenate([part.distances for part in parts]))
    older = parts[1]._replace(distances=np.zeros(0))
    assert not len(join_predictions([parts[0], older]).distances)
    seeds = [measured(make_predictions([1], seed), seed) for seed in (0, 1)]
    together = average_predictions(seeds)
    # as the graph of a bundle of both has it: the mean of each output, the extra one too
    outputs = []
    for seed in seeds:
        known = -foreignness(seed.logits, "energy", 3)
        outputs.append(np.column_stack([seed.logits, known + seed.distances]))
    expected = foreignness(np.mean(outputs, axis=0), "reject_logit", 3)
    np.testing.assert_allclose(together.distances, expected, rtol=1e-5)
    assert not len(average_predictions([seeds[0], seeds[1]._replace(distances=np.zeros(0))]).distances)
    save_predictions(parts[0], tmp_path)
    np.testing.assert_array_equal(load_predictions(tmp_path).distances, parts[0].distances)
    save_predictions(parts[0]._replace(distances=np.full(len(parts[0].labels), np.nan)), tmp_path)
    with pytest.raises(TrainerError, match="no numbers"):
        load_predictions(tmp_path)
