"""Ensembles: the mean of probabilities, on clips that no member has seen."""

import numpy as np
import pytest

from tests.trainer.made_runs import make_predictions
from trainer.ensemble import average_logits, average_predictions
from trainer.errors import TrainerError
from trainer.metrics import softmax


def test_the_mean_of_probabilities_by_hand():
    first, second = np.log([[0.8, 0.2]]), np.log([[0.4, 0.6]])
    np.testing.assert_allclose(softmax(average_logits([first, second])), [[0.6, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(softmax(average_logits([first + 7.0, second])), [[0.6, 0.4]], rtol=1e-6)
    raised = average_logits([first + 6.0, second])  # the energy, by which foreign sound may be told, is the mean one
    assert np.log(np.exp(raised).sum()) == pytest.approx(3.0, rel=1e-5)


def test_members_are_aligned_by_clip_and_only_common_clips_judge():
    first, second = make_predictions([1, 2], seed=1), make_predictions([2, 3], seed=2)
    shuffled = second.select(np.random.default_rng(0).permutation(len(second.labels)))
    joined = average_predictions([first, shuffled])
    known = joined.labels >= 0
    assert set(joined.folds[known]) == {2} and known.sum() == 60
    place = second.names.tolist().index(joined.names[0])
    expected = (softmax(first.logits)[first.names.tolist().index(joined.names[0])] + softmax(second.logits)[place]) / 2
    np.testing.assert_allclose(softmax(joined.logits[0]), expected, rtol=1e-4)


def test_an_ensemble_of_one_says_what_its_member_says():
    one = make_predictions([1])
    np.testing.assert_allclose(softmax(average_predictions([one]).logits), softmax(one.logits), atol=1e-6)


def test_runs_without_a_common_clip_or_with_other_labels_are_refused():
    with pytest.raises(TrainerError, match="0 clips"):
        average_predictions([make_predictions([1], n_foreign=0), make_predictions([2], n_foreign=0)])
    other = make_predictions([1])
    with pytest.raises(TrainerError, match="different labels"):
        average_predictions([make_predictions([1]), other._replace(labels=(other.labels + 1) % 3)])


def test_predictions_of_version_0_1_get_names_by_which_runs_can_be_paired():
    old = [make_predictions([1], seed=seed)._replace(names=np.zeros(0)) for seed in (1, 2)]
    joined = average_predictions(old)
    assert len(joined.labels) == len(old[0].labels) and len(set(joined.names)) == len(joined.names)
