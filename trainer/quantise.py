"""Networks in half precision and in eight bits beside a bundle's own, and what they cost in accuracy.

Eight bits: ONNX Runtime's static quantisation as Q/DQ, in the one form that TensorRT reads: symmetric, without a
quantised bias. The first convolution and the depthwise ones stay in single precision: few multiplications, and nearly
all of the error (on 27 street clips a logit was off by 0.11 in the median instead of 0.32). Half precision: weights
and activations up to the last convolution, so that the square of the embedding does not overflow.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from engines.bundle import MANIFEST_NAME, Bundle, load_bundle, sha256_of_file
from engines.half_weights import widen_half_weights
from engines.network_build import MODEL_FILES
from engines.selftest import LOGIT_TOLERANCES, load_selftest
from trainer.errors import TrainerError

MIN_CALIBRATION_WINDOWS = 4


class VariantLoss(NamedTuple):
    """What a variant answers otherwise than the network in single precision, on windows it was not calibrated on."""

    precision: str
    windows: int
    agreement: float  # share of windows with the same best class
    logit_error_median: float  # of the largest difference in each window
    logit_error_max: float
    accuracy_fp32: float | None  # of the windows' labels, where they have any
    accuracy: float | None


def write_int8(source: Path, target: Path, calibration: np.ndarray) -> None:
    """Write a network in eight bits.

    Args:
        calibration: real inputs that set the ranges.  Shape [N, 1, n_mels, window_frames].

    Raises:
        TrainerError: too few inputs to set ranges by.
    """
    if len(calibration) < MIN_CALIBRATION_WINDOWS:
        raise TrainerError(
            "%d windows to calibrate on; expected at least %d, and 100 or more for good ranges"
            % (len(calibration), MIN_CALIBRATION_WINDOWS)
        )
    network = _load(source)
    quantize_static(
        network,
        str(target),
        _Windows(network.graph.input[0].name, calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=_kept_convolutions(network),
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )


def write_fp16(source: Path, target: Path) -> None:
    """Write a network in half precision; its input, output and all after the last convolution stay single."""
    network = _load(source)
    convolutions = [index for index, node in enumerate(network.graph.node) if node.op_type == "Conv"]
    end = [node.name for node in network.graph.node[convolutions[-1] + 1 if convolutions else 0 :]]
    onnx.save(convert_float_to_float16(network, keep_io_types=True, node_block_list=end), str(target))


def compute_logits(path: Path, network_inputs: np.ndarray) -> np.ndarray:
    """A network's answers as its file defines them.  [N, 1, n_mels, F] -> [N, n_outputs].

    Without ONNX Runtime's optimisations: on processors without VNNI its own eight-bit kernels saturate, and what is
    judged here is the file, not that kernel.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: window[None]})[0] for window in network_inputs])


def measure_loss(
    bundle: Bundle, path: Path, precision: str, network_inputs: np.ndarray, labels: np.ndarray | None = None
) -> VariantLoss:
    """Compare a variant with the bundle's own network on windows.

    Args:
        labels: index of each window's class; None where nobody knows.
    """
    expected = compute_logits(bundle.path / MODEL_FILES["fp32"], network_inputs)
    given = compute_logits(path, network_inputs)
    error = np.abs(given - expected).max(axis=1)
    known = len(bundle.labels)
    right = (
        (None, None)
        if labels is None
        else tuple(float(np.mean(logits[:, :known].argmax(axis=1) == labels)) for logits in (expected, given))
    )
    agreement = float(np.mean(given[:, :known].argmax(axis=1) == expected[:, :known].argmax(axis=1)))
    return VariantLoss(
        precision, len(error), agreement, float(np.median(error)), float(error.max()), right[0], right[1]
    )


def add_variants(bundle: Bundle, calibration: np.ndarray, folder: Path, precisions: list[str]) -> Bundle:
    """Copy a bundle to another folder and add variants of its network; each must pass the self-test.

    Raises:
        TrainerError: the folder is there already, or a variant answers the self-test otherwise.
    """
    if folder.exists():
        raise TrainerError("%s exists; give another --out" % folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="." + folder.name) as work:
        draft = Path(work) / folder.name
        shutil.copytree(bundle.path, draft)
        for precision in precisions:
            target = draft / MODEL_FILES[precision]
            if precision == "int8":
                write_int8(draft / MODEL_FILES["fp32"], target, calibration)
            else:
                write_fp16(draft / MODEL_FILES["fp32"], target)
            _check_selftest(bundle, target, precision)
        _list_files(draft, [MODEL_FILES[precision] for precision in precisions])
        load_bundle(draft)
        os.replace(draft, folder)
    return load_bundle(folder)


def _load(source: Path) -> onnx.ModelProto:
    """A network whose weights are initializers, however its file stores them."""
    return onnx.load_from_string(widen_half_weights(source.read_bytes(), source.name))


class _Windows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
    def __init__(self, name: str, network_inputs: np.ndarray) -> None:
        self._name = name
        self._left: Iterator[np.ndarray] = iter(network_inputs)

    def get_next(self) -> dict[str, Any] | None:
        """The next input; None at the end."""
        window = next(self._left, None)
        return None if window is None else {self._name: window[None].astype(np.float32)}


def _kept_convolutions(network: onnx.ModelProto) -> list[str]:
    """Each member's first convolution, and all depthwise ones."""
    kept: list[str] = []
    convolved: set[str] = set()  # the values behind a convolution
    for node in network.graph.node:
        is_first = convolved.isdisjoint(node.input)
        if node.op_type == "Conv":
            is_depthwise = any(entry.name == "group" and entry.i > 1 for entry in node.attribute)
            kept += [node.name] if is_first or is_depthwise else []
        if node.op_type == "Conv" or not is_first:
            convolved.update(node.output)
    return kept


def _check_selftest(bundle: Bundle, path: Path, precision: str) -> None:
    reference = load_selftest(bundle)
    logits = compute_logits(path, reference.logmel[None, None])[0]
    error = float(np.abs(logits - reference.logits).max())
    known = len(bundle.labels)
    same_answer = logits[:known].argmax() == reference.logits[:known].argmax()
    if not error <= LOGIT_TOLERANCES[precision] or not same_answer:
        raise TrainerError(
            "%s is off by %.2g in a logit of the self-test; expected at most %g and the same best class: this network "
            "does not bear %s" % (path.name, error, LOGIT_TOLERANCES[precision], precision)
        )


def _list_files(draft: Path, names: list[str]) -> None:
    manifest = json.loads((draft / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["files"].update({name: sha256_of_file(draft / name) for name in names})
    (draft / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
