"""A tiny real bundle for tests: a network of one convolution, so that runtimes and bundles are exercised for real."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

import numpy as np

from engines.bundle import sha256_of_file
from engines.frontend import compute_logmel
from engines.protocol_buffers import encode_field as _field
from tests.engines.frontends import TINY as SPEC

LABELS = ["low", "high"]
# A network that hears whether energy lies in the lower or the upper bands: its three outputs are means over a part of
# the picture. Written down as ONNX bytes by `trainer`-free code below, at opset 13.


def write_tiny_bundle(
    folder: Path,
    change: Callable[[Dict[str, Any]], None] = lambda manifest: None,
    variants: Sequence[str] = (),
) -> Path:
    """Write a whole bundle.  `change` edits the manifest before it is written; `variants`: "fp16", "int8"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(tiny_network())
    for variant in variants:
        (folder / ("model.%s.onnx" % variant)).write_bytes(tiny_network(variant))
    samples = 0.1 * np.sin(2 * np.pi * 440.0 * np.arange(SPEC.window_samples) / SPEC.sample_rate_hz)
    samples = samples.astype(np.float32)
    logmel = compute_logmel(samples, SPEC).astype(np.float32)
    np.savez(str(folder / "selftest.npz"), samples=samples, logmel=logmel, logits=tiny_logits(logmel))
    (folder / "MODEL_CARD.md").write_text("# tiny\n", encoding="utf-8")
    names = ["model.onnx", "selftest.npz", "MODEL_CARD.md"] + ["model.%s.onnx" % variant for variant in variants]
    files = {name: sha256_of_file(folder / name) for name in names}
    manifest = {
        "schema": 1,
        "name": "tiny",
        "labels": list(LABELS),
        "frontend": dict(SPEC._asdict()),
        "score_type": "softmax",
        "short_clip": "centre_silence",
        "clip_rule": "mean_logit",
        "files": files,
        "decision": {
            "temperature": 0.25,
            "thresholds": {"low": 0.6, "high": 0.6},
            "foreign": {"method": "reject_logit", "slope": 8.0, "intercept": 2.0, "threshold": 0.5},
        },
        "training": {"data": "none", "licence": "CC0", "folds": [], "seeds": [], "metrics": {}, "code_version": "0"},
    }  # type: Dict[str, Any]
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def tiny_logits(logmel: np.ndarray) -> np.ndarray:
    """What the tiny network answers: means of the lower bands, of the upper bands, and a constant."""
    half = SPEC.n_mels // 2
    return np.array([logmel[:half].mean(), logmel[half:].mean(), -0.8], np.float32)


def tiny_network(variant: str = "fp32") -> bytes:
    """ONNX of `tiny_logits`: Flatten and Gemm, opset 13, IR 7, as protocol-buffer bytes.

    Args:
        variant: "fp16" computes in half precision between two casts, "int8" rounds its input to eight bits, "stored"
            holds its weights in half precision and computes in single.
    """
    half, frames = SPEC.n_mels // 2, SPEC.window_frames
    weights = np.zeros((SPEC.n_mels * frames, 3), np.float16 if variant in ("fp16", "stored") else np.float32)
    weights[: half * frames, 0] = weights[half * frames :, 1] = 1.0 / (half * frames)
    bias = np.array([0.0, 0.0, -0.8], np.float16 if variant == "fp16" else np.float32)
    tensors = [_tensor("weights", weights), _tensor("bias", bias)]
    nodes = [_node("Flatten", ["logmel"], ["flat"]), _node("Gemm", ["flat", "weights", "bias"], ["logits"])]
    if variant == "fp16":
        nodes = [
            _node("Cast", ["logmel"], ["half"], to=10),
            _node("Flatten", ["half"], ["flat"]),
            _node("Gemm", ["flat", "weights", "bias"], ["half_logits"]),
            _node("Cast", ["half_logits"], ["logits"], to=1),
        ]
    elif variant == "stored":
        tensors[0] = _tensor("weights_half", weights)
        nodes.insert(0, _node("Cast", ["weights_half"], ["weights"], to=1))
    elif variant == "int8":
        scale = ["scale", "zero"]
        nodes[0:1] = [
            _node("QuantizeLinear", ["logmel"] + scale, ["eight"]),
            _node("DequantizeLinear", ["eight"] + scale, ["rounded"]),
            _node("Flatten", ["rounded"], ["flat"]),
        ]
        tensors += [_tensor("scale", np.array(1 / 127, np.float32)), _tensor("zero", np.array(0, np.int8))]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"tiny")
    graph += b"".join(_field(5, tensor) for tensor in tensors)
    graph += _field(11, _value("logmel", [1, 1, SPEC.n_mels, frames])) + _field(12, _value("logits", [1, 3]))
    opset = _field(1, b"") + _field(2, 13)
    return _field(1, 7) + _field(7, graph) + _field(8, opset)


def _node(operator: str, inputs: Any, outputs: Any, **attributes: int) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, n.encode()) for n in outputs)
    integer = 2  # AttributeProto.type
    given = [_field(1, name.encode()) + _field(3, value) + _field(20, integer) for name, value in attributes.items()]
    return names + _field(3, outputs[0].encode()) + _field(4, operator.encode()) + b"".join(_field(5, a) for a in given)


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    kinds = {"float32": 1, "int8": 3, "float16": 10}  # TensorProto.DataType
    return dims + _field(2, kinds[values.dtype.name]) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, shape: Any) -> bytes:
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))
