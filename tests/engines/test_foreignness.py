"""How unlike anything known: by the definition, wherever the logits lie."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.bundle import ForeignRule
from engines.foreignness import foreign_probability, foreignness

logits = st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3)


@given(st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=5))
def test_is_the_definition(rows):
    given_ = np.array(rows)
    energy = [-math.log(math.exp(a) + math.exp(b)) for a, b, _ in rows]
    np.testing.assert_allclose(foreignness(given_, "energy", 2), energy, atol=1e-9)
    np.testing.assert_allclose(foreignness(given_[:, :2], "energy", 2), energy, atol=1e-9)
    odds = [x + row[2] for x, row in zip(energy, rows)]
    np.testing.assert_allclose(foreignness(given_, "reject_logit", 2), odds, atol=1e-9)


@given(logits)
def test_with_a_slope_of_one_it_is_the_share_of_the_extra_output(row):
    x = foreignness(np.array([row]), "reject_logit", 2)
    powers = np.exp(np.array(row) - max(row))
    assert foreign_probability(x, ForeignRule("reject_logit", 1.0, 0.0, 0.5))[0] == pytest.approx(
        powers[2] / powers.sum(), abs=1e-9
    )


@given(logits, st.floats(-100, 100), st.floats(-100, 100))
def test_is_a_probability_whatever_comes(row, slope, intercept):
    rule = ForeignRule("reject_logit", slope, intercept, 0.5)
    with np.errstate(all="raise", under="ignore"):
        probability = foreign_probability(foreignness(np.array([row], np.float32), "reject_logit", 2), rule)
    assert 0.0 <= probability[0] <= 1.0
