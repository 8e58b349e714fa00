"""Ensembles: the mean of logits, on clips that no member has seen."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.made_runs import LABELS, make_predictions
from trainer.ensemble import average_logits, average_predictions
from trainer.errors import TrainerError
from trainer.evaluate import load_predictions, save_predictions
from trainer.evaluated_runs import Judge, check_ensemble, check_once, check_one_kind
from trainer.metrics import softmax
from trainer.recipe import Recipe, recipe_to_mapping
from trainer.run import RunRecord


def test_the_mean_of_logits_is_the_geometric_mean_of_probabilities():
    first, second = np.log([[0.8, 0.2]]), np.log([[0.4, 0.6]])
    weights = np.sqrt([0.8 * 0.4, 0.2 * 0.6])
    np.testing.assert_allclose(softmax(average_logits([first, second])), [weights / weights.sum()], rtol=1e-6)
    np.testing.assert_allclose(softmax(average_logits([first + 7.0, second])), [weights / weights.sum()], rtol=1e-6)


def test_a_clip_of_several_windows_has_one_answer_whatever_is_averaged_first():
    windows = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)  # members, windows, outputs
    members_first = average_logits(list(windows)).mean(axis=0)
    windows_first = average_logits([member.mean(axis=0, keepdims=True) for member in windows])[0]
    np.testing.assert_allclose(members_first, windows_first, rtol=1e-5)


def test_members_are_aligned_by_clip_and_only_common_clips_judge():
    first, second = make_predictions([1, 2], seed=1), make_predictions([2, 3], seed=2)
    shuffled = second.select(np.random.default_rng(0).permutation(len(second.labels)))
    joined = average_predictions([first, shuffled])
    known = joined.labels >= 0
    assert set(joined.folds[known]) == {2} and known.sum() == 60
    place = second.names.tolist().index(joined.names[0])
    expected = (first.logits[first.names.tolist().index(joined.names[0])] + second.logits[place]) / 2
    np.testing.assert_allclose(joined.logits[0], expected, rtol=1e-4)


def test_an_ensemble_of_one_says_what_its_member_says():
    one = make_predictions([1])
    np.testing.assert_allclose(softmax(average_predictions([one]).logits), softmax(one.logits), atol=1e-6)


def test_runs_without_a_common_clip_or_with_other_labels_are_refused():
    with pytest.raises(TrainerError, match="0 clips"):
        average_predictions([make_predictions([1], n_foreign=0), make_predictions([2], n_foreign=0)])
    other = make_predictions([1])
    with pytest.raises(TrainerError, match="different labels"):
        average_predictions([make_predictions([1]), other._replace(labels=(other.labels + 1) % 3)])


def test_members_with_and_without_an_output_of_foreign_sound_are_refused():
    one, other = make_predictions([1]), make_predictions([1], seed=1)
    with pytest.raises(TrainerError, match="3 and 4 outputs; expected all with foreign sound or all without"):
        average_predictions([one, other._replace(logits=other.logits[:, :3], cut_logits=other.logits[:, :3])])


def test_a_known_and_a_foreign_clip_of_one_name_are_two_clips():
    members = []
    for seed in (1, 2):
        one = make_predictions([1], seed=seed, n=20, n_foreign=20)
        members.append(one._replace(names=np.array(["horn/%d" % (i % 20) for i in range(40)])))
    joined = average_predictions(members)
    assert len(joined.labels) == 40 and joined.labels.tolist() == members[0].labels.tolist()
    np.testing.assert_allclose(joined.logits, average_logits([one.logits for one in members]))


def test_predictions_that_know_two_clips_by_one_name_are_to_be_made_again(tmp_path):
    given = make_predictions([1])
    save_predictions(given._replace(names=np.array(["1.wav"] * len(given.labels))), tmp_path)
    with pytest.raises(TrainerError, match=r"20 clips as 1\.wav.*soundclr-train evaluate"):
        load_predictions(tmp_path)
    save_predictions(given._replace(labels=given.labels[:-1]), tmp_path)
    with pytest.raises(
        TrainerError, match=r"predictions\.npz cannot be read \(its arrays do not run over the same clips"
    ):
        load_predictions(tmp_path)


MAY_NOT_JUDGE_TOGETHER = [
    ({"n_outputs": 3}, {}, {}, "has an output of foreign sound .4 outputs., .* has none .3."),
    ({}, {"labels": LABELS[::-1]}, {}, "in another order than"),
    ({}, {"labels": ["a", "b", "c"]}, {}, "which are not those of"),
    ({}, {"data": "own"}, {}, "was judged on own, .* on UrbanSound8K"),
    ({}, {"data_digest": "2"}, {}, "other clips, folds or sources of UrbanSound8K"),
    ({}, {"foreign_data": "bells"}, {}, "had bells for foreign sound, .* ESC-10"),
    ({}, {"foreign_digest": "2"}, {}, "other clips of the foreign ESC-10"),
]


def judge(path, record=(), recipe=(), n_outputs=4):
    plain = RunRecord("UrbanSound8K", LABELS, [1], "ESC-10", [], [], [], [], data_digest="1", foreign_digest="1")
    values = recipe_to_mapping(Recipe()._replace(**dict(recipe)))
    return Judge(Path(path), plain._replace(**dict(record)), values, n_outputs)


@pytest.mark.parametrize(("outputs", "record", "recipe", "complaint"), MAY_NOT_JUDGE_TOGETHER)
def test_what_cannot_be_put_together_is_said_in_words(outputs, record, recipe, complaint):
    first, other = judge("one"), judge("other", record, {"seed": 1, **recipe}, **outputs)
    with pytest.raises(TrainerError, match=complaint):
        check_ensemble([first, other])
    with pytest.raises(TrainerError, match=complaint + ".*; mend it"):
        check_one_kind(first, [other], hint="mend it")


def test_other_recipes_may_be_an_ensemble_and_no_joint_figure():
    first, other = judge("one"), judge("other", recipe={"epochs": 3, "seed": 1})
    check_ensemble([first, other, judge("third", recipe={"seed": 2})])
    with pytest.raises(TrainerError, match=r"other is of another recipe than one \(epochs\); mend it"):
        check_one_kind(first, [other], hint="mend it")
    check_one_kind(first, [judge("other", recipe={"seed": 1})], hint="")
    with pytest.raises(TrainerError, match=r"another recipe than one \(seed\)"):
        check_one_kind(first, [judge("other", recipe={"seed": 1})], hint="", any_seed=False)
    older = judge("older")
    del older.recipe["distil_weight"]  # of a commit that did not have it yet
    check_one_kind(first, [older], hint="")


def test_nothing_is_counted_twice():
    first, again = judge("one"), judge("copy")
    with pytest.raises(TrainerError, match="copy is the same run as one .recipe, folds, seed 0."):
        check_ensemble([first, judge("other", recipe={"seed": 1}), again])
    with pytest.raises(TrainerError, match="copy judges fold 1 with seed 0 a second time, after one"):
        check_once([first, again], by_seed=True)
    other_seed = judge("other", recipe={"seed": 1})
    check_once([first, other_seed], by_seed=True)
    with pytest.raises(TrainerError, match="other judges fold 1 a second time.*report"):
        check_once([first, other_seed], by_seed=False)


def test_predictions_of_version_0_1_get_names_by_which_runs_can_be_paired():
    old = [make_predictions([1], seed=seed)._replace(names=np.zeros(0)) for seed in (1, 2)]
    joined = average_predictions(old)
    assert len(joined.labels) == len(old[0].labels) and len(set(joined.names)) == len(joined.names)
