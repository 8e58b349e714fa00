"""Weights stored in half precision, on every Python and ONNX Runtime that a node has."""

import numpy as np
import pytest

from engines.bundle import load_bundle, sha256_of_file
from engines.errors import BundleError
from engines.half_weights import widen_half_weights
from engines.onnx_graph import read_onnx_graph
from engines.runtimes import open_runtime
from engines.selftest import run_selftest
from tests.engines.bundles import SPEC, tiny_logits, tiny_network, write_tiny_bundle


def stored_bundle(folder):
    """The tiny bundle, its weights stored in half precision."""

    def store(manifest):
        (folder / "model.onnx").write_bytes(tiny_network("stored"))
        manifest["files"]["model.onnx"] = sha256_of_file(folder / "model.onnx")

    return load_bundle(write_tiny_bundle(folder, store))


def test_onnx_runtime_computes_with_them_in_single_precision(tmp_path):
    bundle = stored_bundle(tmp_path / "tiny")
    logmel = np.random.RandomState(0).uniform(-1, 1, (SPEC.n_mels, SPEC.window_frames)).astype(np.float32)
    with open_runtime(bundle, "onnxruntime") as runtime:
        np.testing.assert_allclose(np.ravel(runtime.infer(logmel)), tiny_logits(logmel), atol=2e-3)
        assert run_selftest(bundle, runtime).logit_error < 5e-3


def test_widened_they_are_the_network_of_single_precision():
    stored, whole = tiny_network("stored"), tiny_network()
    widened = widen_half_weights(stored, "it")
    assert len(stored) < 0.52 * len(whole) and len(widened) == len(whole)
    assert read_onnx_graph(widened, "it") == read_onnx_graph(whole, "it")
    assert widen_half_weights(whole, "it") == whole and widen_half_weights(widened, "it") == widened


def test_a_network_that_computes_in_half_precision_stays_as_it_is():
    assert widen_half_weights(tiny_network("fp16"), "it") == tiny_network("fp16")


@pytest.mark.parametrize("damaged", [b"\x3a\xff", b"\x3b", tiny_network("stored")[:-20], b"\x38\x07"])
def test_what_is_no_onnx_file_is_said_in_a_line(damaged):
    with pytest.raises(BundleError, match="x.onnx is no ONNX file"):
        widen_half_weights(damaged, "x.onnx")
