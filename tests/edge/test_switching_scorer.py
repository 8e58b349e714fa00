"""One scorer takes over from another: the answers are those of a single one, none lost, none twice."""

import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.recent_samples import RecentSamples
from edge.scorer import CpuScorer, open_scorer
from edge.switching_scorer import SwitchingScorer
from engines.bundle import load_bundle
from engines.errors import RuntimeUnavailableError, SelfTestError
from tests.engines.bundles import SPEC, write_tiny_bundle

HOP_S = 0.11  # no whole number of frames
HANG_S = 120


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def open_cpu(bundle):
    return open_scorer(bundle, "onnxruntime", 1, HOP_S)


class OtherScorer(CpuScorer):
    """Stands for the GPU's: computes the same, and fails when told to."""

    fails_after = None  # windows
    closed = False

    def push(self, samples):
        answers = CpuScorer.push(self, samples)
        self.windows = getattr(self, "windows", 0) + len(answers)
        if self.fails_after is not None and self.windows > self.fails_after:
            raise RuntimeUnavailableError("the device has gone")
        return answers

    def describe(self):
        return "another"

    def close(self):
        self.closed = True
        CpuScorer.close(self)


def open_other(bundle, fails_after=None):
    from engines.runtimes import open_runtime

    scorer = OtherScorer(bundle, open_runtime(bundle, "onnxruntime"), HOP_S)
    scorer.fails_after = fails_after
    return scorer


def switching(bundle, other, gate=None):
    """With `other` ready as soon as `gate` is open, and not before."""

    def prepare(check_wanted):
        while gate is not None and not gate.wait(0.01):
            check_wanted()
        if isinstance(other, Exception):
            raise other
        return other

    return SwitchingScorer(bundle, HOP_S, open_cpu(bundle), prepare, lambda: open_cpu(bundle))


def sound(seconds, seed=0):
    return (0.1 * np.random.RandomState(seed).randn(int(seconds * SPEC.sample_rate_hz))).astype(np.float32)


def hear(scorer, samples, blocks, open_at=None, gate=None):
    """All answers to a sound given in blocks; before block `open_at` the other scorer becomes ready."""
    answers, start, number = [], 0, 0
    while start < len(samples):
        if gate is not None and number == open_at:
            gate.set()
            assert scorer.wait_until_prepared(HANG_S)
        size = blocks[number % len(blocks)]
        answers += scorer.push(samples[start : start + size])
        start, number = start + size, number + 1
    return answers + scorer.finish()


def assert_same_hops(answers, expected):
    """Each hop once, in order and at its place, however often another scorer took over."""
    assert [(a.first_sample, a.end_sample) for a in answers] == [(e.first_sample, e.end_sample) for e in expected]
    for given_, right in zip(answers, expected):
        np.testing.assert_allclose(given_.logits, right.logits, atol=1e-4)


def alone(bundle, samples, blocks):
    with open_cpu(bundle) as scorer:
        return hear(scorer, samples, blocks)


@settings(deadline=None, max_examples=25)
@given(
    blocks=st.lists(st.integers(1, 6000), min_size=1, max_size=4),
    open_at=st.integers(0, 20),
    seconds=st.sampled_from([0.2, 0.9, 1.3, 2.5]),
)
def test_the_answers_are_those_of_one_scorer(bundle, blocks, open_at, seconds):
    samples, gate = sound(seconds), threading.Event()
    other = open_other(bundle)
    with switching(bundle, other, gate) as scorer:
        answers = hear(scorer, samples, [block + 400 for block in blocks], open_at, gate)
        switched = scorer.describe() == "another"
    assert_same_hops(answers, alone(bundle, samples, [block + 400 for block in blocks]))
    assert other.closed == gate.is_set() or not switched


@settings(deadline=None, max_examples=15)
@given(fails_after=st.integers(0, 6), block=st.integers(300, 9000))
@example(fails_after=5, block=7680)  # two takeovers in one stretch: their roundings of hops to frames add up
def test_when_the_successor_fails_the_processor_goes_on_without_a_missing_hop(bundle, fails_after, block):
    samples, gate = sound(2.5), threading.Event()
    other = open_other(bundle, fails_after)
    with switching(bundle, other, gate) as scorer:
        answers = hear(scorer, samples, [block], open_at=min(3, 40000 // block), gate=gate)
        assert "NumPy" in scorer.describe() and "the device has gone" in scorer.why_not
    assert_same_hops(answers, alone(bundle, samples, [block]))
    assert other.closed


def test_after_a_gap_both_begin_anew(bundle):
    gate = threading.Event()
    with switching(bundle, open_other(bundle), gate) as scorer:
        first = hear(scorer, sound(2.0), [1000], open_at=20, gate=gate)
        second = hear(scorer, sound(2.0, seed=1), [1000])
        short = hear(scorer, sound(0.3, seed=2), [1000])
    assert_same_hops(first, alone(bundle, sound(2.0), [1000]))
    for answers, seconds, seed in ((second, 2.0, 1), (short, 0.3, 2)):
        expected = alone(bundle, sound(seconds, seed), [1000])
        assert [a.first_sample for a in answers] == [e.first_sample for e in expected]
        np.testing.assert_allclose([a.logits for a in answers], [e.logits for e in expected], atol=1e-5)


@pytest.mark.parametrize("error", [RuntimeUnavailableError("no GPU"), SelfTestError("misheard"), ValueError("a bug")])
def test_what_cannot_be_prepared_leaves_the_processor_hearing(bundle, error):
    with switching(bundle, error) as scorer:
        assert scorer.wait_until_prepared(HANG_S)
        answers = hear(scorer, sound(1.5), [1000])
        assert str(error) in scorer.why_not and "NumPy" in scorer.describe()
    assert_same_hops(answers, alone(bundle, sound(1.5), [1000]))


def test_a_successor_that_misheard_the_selftest_is_let_go(bundle):
    other = open_other(bundle)
    other.run_selftest = lambda: (_ for _ in ()).throw(SelfTestError("misheard"))
    with switching(bundle, other) as scorer:
        assert scorer.wait_until_prepared(HANG_S)
        assert "misheard" in scorer.why_not and other.closed


def test_closing_ends_preparing(bundle):
    scorer = switching(bundle, open_other(bundle), threading.Event())
    scorer.close()
    assert scorer.wait_until_prepared(HANG_S) and scorer.why_not == ""
    scorer.close()


def test_the_processors_own_failure_is_told(bundle):
    first, refused = open_other(bundle, fails_after=0), RuntimeUnavailableError("no GPU")

    def prepare(check_wanted):
        raise refused

    with SwitchingScorer(bundle, HOP_S, first, prepare, lambda: open_cpu(bundle)) as scorer:
        with pytest.raises(RuntimeUnavailableError, match="the device has gone"):
            hear(scorer, sound(2.0), [1000])


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 50))
def test_recent_samples_are_the_latest(sizes, back):
    recent, everything = RecentSamples(50), np.zeros(0, np.float32)
    for number, size in enumerate(sizes):
        part = np.arange(size, dtype=np.float32) + 1000 * number
        recent.append(part)
        everything = np.concatenate([everything, part])
    assert recent.count == len(everything)
    start = max(0, len(everything) - back)
    assert np.array_equal(recent.since(start), everything[start:])
    with pytest.raises(ValueError):
        recent.since(len(everything) + 1)
    recent.reset()
    assert recent.count == 0 and len(recent.since(0)) == 0
