"""Networks in half precision and eight bits: what they lose, and that a real TensorRT builds every shipped one."""

import types
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engines.bundle import load_bundle
from engines.device_facts import DeviceFacts
from engines.network_build import MODEL_FILES, BuildRequest, build_plan
from engines.tensorrt_library import new_log
from trainer.data.waveforms import read_waveform
from trainer.errors import TrainerError
from trainer.frontend import LogMel
from trainer.inference import cut_windows
from trainer.quantise import add_variants, measure_loss, write_int8

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
SHIPPED = sorted(path.parent for path in (FIXTURES.parent.parent / "engines").glob("*/manifest.json"))
WORKSTATION = DeviceFacts("a workstation's", (8, 6), "13.0", 8 << 30)


def real_windows(bundle):
    windows = [
        cut_windows(read_waveform(path, bundle.frontend.sample_rate_hz), bundle.frontend, bundle.short_clip)[0]
        for path in sorted(FIXTURES.glob("*.ogg"))
    ]
    return LogMel(bundle.frontend)(torch.from_numpy(np.stack(windows).astype(np.float32))).numpy()


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda path: path.name)
def variants(request, tmp_path_factory):
    """A shipped bundle, the same with variants, and windows that they were not calibrated on."""
    bundle = load_bundle(request.param)
    inputs = real_windows(bundle)
    out = tmp_path_factory.mktemp("variants") / "bundle"
    return bundle, add_variants(bundle, inputs[::2], out, ["fp16", "int8"]), inputs[1::2]


@pytest.mark.slow
@pytest.mark.parametrize("precision, error", [("fp16", 0.1), ("int8", 1.0)])
def test_a_variant_answers_nearly_as_the_network_itself(variants, precision, error):
    bundle, made, windows = variants
    loss = measure_loss(bundle, made.path / MODEL_FILES[precision], precision, windows)
    assert loss.windows == len(windows) >= 7 and loss.logit_error_max < error and loss.agreement >= 0.85
    assert made.digests["model.onnx"] == bundle.digests["model.onnx"] and MODEL_FILES[precision] in made.digests


@pytest.mark.slow
def test_eight_bits_are_as_tensorrt_reads_them(variants):
    network = onnx.load(str(variants[1].path / MODEL_FILES["int8"]))
    assert [(entry.domain, entry.version) for entry in network.opset_import] == [("", 13)]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    quantising = [node for node in network.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert quantising
    for node in quantising:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any(), "TensorRT takes only symmetric eight bits, and no other bias"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_rtx_builds_every_shipped_network(variants, precision):
    bindings = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX has wheels for Linux on x86-64 alone")
    trt = types.SimpleNamespace(**{name: getattr(bindings, name) for name in dir(bindings)})
    trt.__version__ = "11.0"  # its surface is that of TensorRT 11
    path = variants[1].path / MODEL_FILES[precision]
    log = new_log(trt)
    request = BuildRequest(path.read_bytes(), path.name, precision, 64 << 20, b"")
    built = build_plan(trt, log, request, WORKSTATION)
    assert len(built.plan) > 0.4 * path.stat().st_size and log.complaints == []


def test_too_few_windows_are_refused(tmp_path):
    bundle = load_bundle(SHIPPED[0])
    with pytest.raises(TrainerError, match="1 windows to calibrate on"):
        write_int8(bundle.path / "model.onnx", tmp_path / "x.onnx", np.zeros((1, 1, 64, 171), np.float32))
    with pytest.raises(TrainerError, match="exists"):
        add_variants(bundle, np.zeros((1, 1, 64, 171), np.float32), tmp_path, ["fp16"])
