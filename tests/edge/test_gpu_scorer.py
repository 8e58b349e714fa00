"""The GPU's scorer, its host code as it stands, on an emulated device: the same answers as the processor's."""

import io
import json
import sys
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.classify import classify_files
from edge.config import SHIPPED_BUNDLE, Config, NodeConfig, SourceConfig
from edge.gpu_scorer import GpuScorer
from edge.scorer import open_scorer
from engines.bundle import load_bundle
from engines.errors import BundleError, RuntimeUnavailableError, SelfTestError
from tests.cuda_cpu.device_network import DeviceNetwork
from tests.cuda_cpu.emulator import WHY_NOT
from tests.cuda_cpu.pycuda_stand_in import StandIn
from tests.cuda_cpu.sounds import read_clip
from tests.engines.bundles import SPEC, write_tiny_bundle

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
HOP_S = 0.5
SCORE_TOLERANCE = 1e-4
CONFIG = Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))
CONFIG = CONFIG._replace(model=CONFIG.model._replace(hop_s=HOP_S))


@pytest.fixture(scope="module")
def stand_in():
    """A discrete device, in the place of PyCUDA's."""
    found = StandIn(block=1)
    with pytest.MonkeyPatch.context() as patch:
        for name, module in found.modules().items():
            patch.setitem(sys.modules, name, module)
        yield found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def on_gpu(bundle, stand_in, tmp_path_factory):
    with GpuScorer(bundle, DeviceNetwork(bundle, stand_in), HOP_S, tmp_path_factory.mktemp("kernels")) as scorer:
        yield scorer


@pytest.fixture(scope="module")
def on_cpu(bundle):
    with open_scorer(bundle, "onnxruntime", 1, HOP_S) as scorer:
        yield scorer


def told(bundle, scorer, paths):
    """What `soundclr-edge classify --json` prints."""
    results = io.StringIO()
    classify_files(
        [str(path) for path in paths],
        bundle,
        scorer,
        CONFIG,
        as_json=True,
        results=results,
        complaints=io.StringIO(),
    )
    return [json.loads(line) for line in results.getvalue().splitlines()]


def assert_same_message(given, expected):
    assert set(given) == set(expected)
    for field, value in expected.items():
        if isinstance(value, (float, dict)):
            assert given[field] == pytest.approx(value, abs=SCORE_TOLERANCE), field
        else:
            assert given[field] == value, field


def test_the_shipped_bundle_says_the_same_of_real_recordings(stand_in, tmp_path):
    bundle = load_bundle(SHIPPED_BUNDLE)
    rate_hz = bundle.frontend.sample_rate_hz
    scene = np.concatenate([read_clip(clip, rate_hz) for clip in ("siren-67358.ogg", "dog-182395.ogg")])
    recordings = {
        "scene": scene,
        "short": read_clip("car_horn-178402.ogg", rate_hz)[: rate_hz // 2],
        "silence": np.zeros(6 * rate_hz),
    }
    for name, samples in recordings.items():
        soundfile.write(str(tmp_path / (name + ".wav")), samples, rate_hz, subtype="FLOAT")
    paths = [tmp_path / (name + ".wav") for name in sorted(recordings)]
    with open_scorer(bundle, "onnxruntime", 1, HOP_S) as scorer:
        expected = told(bundle, scorer, paths)
    with GpuScorer(bundle, DeviceNetwork(bundle, stand_in), HOP_S, tmp_path / "kernels") as scorer:
        scorer.run_selftest()
        given = told(bundle, scorer, paths)
    assert {message["type"] for message in expected} == {"classification", "event", "file"}
    assert len(given) == len(expected)
    for one, other in zip(given, expected):
        assert_same_message(one, other)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 40000), min_size=1, max_size=12), st.booleans())
def test_answers_are_the_processors_whatever_the_blocks(on_gpu, on_cpu, sizes, end):
    random = np.random.RandomState(len(sizes))
    for size in sizes:
        samples = (random.randn(size) * 0.1).astype(np.float32)
        assert_same_answers(on_gpu.push(samples), on_cpu.push(samples))
        if end:
            assert_same_answers(on_gpu.finish(), on_cpu.finish())
    assert_same_answers(on_gpu.finish(), on_cpu.finish())


def assert_same_answers(given, expected):
    assert [answer[:2] for answer in given] == [answer[:2] for answer in expected]
    for one, other in zip(given, expected):
        np.testing.assert_allclose(one.logits, other.logits, atol=SCORE_TOLERANCE)


def test_the_selftest_hears_the_record_and_leaves_no_trace(on_gpu, on_cpu):
    samples = (np.random.RandomState(3).randn(SPEC.window_samples) * 0.1).astype(np.float32)
    on_gpu.push(samples[:5000])
    result = on_gpu.run_selftest()
    assert result.logmel_error_db < 5e-3 and result.logit_error < 5e-3
    on_cpu.finish()
    assert_same_answers(on_gpu.push(samples), on_cpu.push(samples))
    on_gpu.finish()
    on_cpu.finish()


def test_a_device_that_computes_something_else_fails_its_selftest(bundle, stand_in, tmp_path):
    class Wrong(DeviceNetwork):
        def read_output(self):
            return super().read_output() + 0.1

    with GpuScorer(bundle, Wrong(bundle, stand_in), HOP_S, tmp_path) as scorer:
        with pytest.raises(SelfTestError, match="emulated network"):
            scorer.run_selftest()


def test_says_what_computes(on_gpu):
    assert on_gpu.describe() == "CUDA front end on g++ on this processor (sm_01), emulated network"


def test_closing_frees_everything_in_order(bundle, stand_in, tmp_path):
    live, contexts, threads = len(stand_in.live), stand_in.contexts, threading.active_count()
    network = DeviceNetwork(bundle, stand_in)
    scorer = GpuScorer(bundle, network, HOP_S, tmp_path)
    assert len(stand_in.live) > live and stand_in.contexts == contexts + 1
    scorer.close()
    scorer.close()
    assert (len(stand_in.live), stand_in.contexts, threading.active_count()) == (live, contexts, threads)
    assert network.closed == 1
    with pytest.raises(RuntimeUnavailableError, match="has ended"):
        scorer.push(np.zeros(10, np.float32))


@pytest.mark.parametrize("error", [RuntimeUnavailableError("no engine"), BundleError("no network"), ValueError("bug")])
def test_a_network_that_does_not_open_leaves_nothing_behind(bundle, stand_in, tmp_path, error):
    class Broken(DeviceNetwork):
        def open(self, stream_handle):
            super().open(stream_handle)
            raise error

    live, contexts, threads = len(stand_in.live), stand_in.contexts, threading.active_count()
    with pytest.raises(type(error), match=str(error)):
        GpuScorer(bundle, Broken(bundle, stand_in), HOP_S, tmp_path)
    assert (len(stand_in.live), stand_in.contexts, threading.active_count()) == (live, contexts, threads)


def test_a_network_of_another_shape_is_refused(bundle, stand_in, tmp_path):
    class Wider(DeviceNetwork):
        input_shape = (1, 3, 224, 224)

    with pytest.raises(BundleError, match=r"\(1, 3, 224, 224\).*\(1, 1, 32, 61\)"):
        GpuScorer(bundle, Wider(bundle, stand_in), HOP_S, tmp_path)


def test_a_failing_device_is_told_to_whoever_pushes(bundle, stand_in, tmp_path):
    class Falling(DeviceNetwork):
        def enqueue(self):
            raise RuntimeUnavailableError("the device fell off the bus")

    with GpuScorer(bundle, Falling(bundle, stand_in), HOP_S, tmp_path) as scorer:
        with pytest.raises(RuntimeUnavailableError, match="fell off the bus"):
            scorer.push(np.zeros(SPEC.window_samples, np.float32))
