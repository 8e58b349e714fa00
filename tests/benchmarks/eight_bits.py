"""A bundle's network in eight bits for the processor: what time it could save. Not shipped, so not judged here."""

import logging
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from engines.bundle import Bundle
from engines.streaming import StreamingLogMel


def quantise(bundle: Bundle, sound: np.ndarray, folder: Path) -> Bundle:
    """The bundle with its network in eight bits, in the form that ONNX Runtime is quick at: activations from 0 to 255,
    weights of seven bits, since the sums of eight saturate on processors without VNNI."""
    source = bundle.path / "model.onnx"
    logging.getLogger().setLevel(logging.ERROR)  # its advice to fold what the exporter has folded
    quantize_static(
        str(source),
        str(folder / "model.onnx"),
        _Windows(bundle, onnx.load(str(source)).graph.input[0].name, sound),
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=["Conv", "Add", "Clip", "GlobalAveragePool"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return bundle._replace(path=folder)


class _Windows(CalibrationDataReader):
    """The street's windows, for the ranges of a network in eight bits."""

    def __init__(self, bundle: Bundle, name: str, sound: np.ndarray) -> None:
        front_end, spec = StreamingLogMel(bundle.frontend), bundle.frontend
        windows = []
        for start in range(0, len(sound) - spec.window_samples, spec.window_samples):
            front_end.reset()
            front_end.push(sound[start : start + spec.window_samples])
            windows.append({name: front_end.read_window()[None, None].copy()})
        self._left = iter(windows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input; None at the end."""
        return next(self._left, None)
