"""Decisions: silence is never a class, foreign sound is rejected, thresholds are the class's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import GateConfig
from edge.decision import decide
from engines.bundle import load_bundle
from tests.engines.bundles import write_tiny_bundle

GATE = GateConfig(over_background_db=3.0, floor_dbfs=-75.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def judge(bundle, logits, level_dbfs=-30.0, background_dbfs=-50.0):
    return decide(np.array(logits, np.float32), level_dbfs, background_dbfs, bundle, GATE, 0.6)


def test_a_clear_sound_is_accepted(bundle):
    verdict = judge(bundle, [2.0, 0.0, -0.8])
    assert verdict.label == "low" and verdict.accepted == ("low",) and verdict.reason is None
    assert verdict.foreign < 0.01 and abs(sum(verdict.scores.values()) - 1.0) < 1e-6


def test_digital_silence_has_no_class(bundle):
    verdict = judge(bundle, [2.0, 0.0, -0.8], level_dbfs=None)
    assert (verdict.label, verdict.accepted, verdict.reason) == (None, (), "silence")


@pytest.mark.parametrize(
    "level_dbfs, background_dbfs, opened",
    [(-80.0, None, False), (-70.0, None, True), (-48.0, -50.0, False), (-46.9, -50.0, True), (-76.0, -90.0, False)],
)
def test_the_gate(bundle, level_dbfs, background_dbfs, opened):
    verdict = judge(bundle, [2.0, 0.0, -0.8], level_dbfs, background_dbfs)
    assert bool(verdict.accepted) == opened
    assert verdict.reason == (None if opened else "below_gate")
    assert verdict.label == "low", "the best class is named even when it is not accepted"


def test_foreign_sound_is_rejected(bundle):
    verdict = judge(bundle, [0.5, 0.0, 3.0])
    assert verdict.foreign > 0.99 and verdict.accepted == () and verdict.reason == "foreign"


def test_an_unsure_answer_is_not_accepted_but_sustains(bundle):
    verdict = judge(bundle, [0.01, 0.0, -0.8])
    assert verdict.accepted == () and verdict.reason == "unsure" and "low" in verdict.sustained


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3))
def test_any_logits_give_probabilities(bundle, logits):
    verdict = judge(bundle, logits)
    assert all(0.0 <= p <= 1.0 for p in verdict.scores.values()) and 0.0 <= verdict.foreign <= 1.0
    assert abs(sum(verdict.scores.values()) - 1.0) < 1e-6
