"""Nearest neighbours: by hand, and against the whole table sorted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.neighbours import neighbour_distances

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def test_a_copy_is_at_0_a_right_angle_at_1_and_the_opposite_at_2():
    bank = np.array([[5.0, 0.0]])  # length does not count
    given_ = np.array([EAST, NORTH, WEST])
    np.testing.assert_allclose(neighbour_distances(given_, bank, neighbour=1), [0.0, 1.0, 2.0], atol=1e-12)


def test_the_kth_counts_and_the_farthest_of_a_small_bank():
    bank = np.array([EAST, NORTH, WEST])
    east = np.array([EAST])
    assert [neighbour_distances(east, bank, neighbour=k)[0] for k in (1, 2, 3, 9)] == pytest.approx([0, 1, 2, 2])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_parts_and_whole_are_the_same(n, m, k, seed):
    rng = np.random.default_rng(seed)
    embeddings, bank = rng.standard_normal((n, 4)) + 0.1, rng.standard_normal((m, 4)) + 0.1
    cosine = (embeddings @ bank.T) / np.linalg.norm(embeddings, axis=1)[:, None] / np.linalg.norm(bank, axis=1)
    expected = np.sort(1 - cosine, axis=1)[:, min(k, m) - 1]
    np.testing.assert_allclose(neighbour_distances(embeddings, bank, neighbour=k), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("embeddings", "bank", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "expected"),
        (np.ones((2, 3)), np.ones((0, 3)), "at least 1"),
        (np.zeros((2, 3)), np.ones((2, 3)), "all zeros"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(embeddings, bank, words):
    with pytest.raises(TrainerError, match=words):
        neighbour_distances(embeddings, bank)
