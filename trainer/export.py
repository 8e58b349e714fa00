"""From a trained network to a bundle: a clean ONNX graph that TensorRT 8.2 reads rightly, checked against torch.

The graph is exported at opset 13 (the last that TensorRT 8.2 knows: it misreads later ones without a word), cleaned
by ONNX Runtime's offline optimisation, which folds the asymmetric padding of TensorFlow's EfficientNets into the
convolutions, and freed of operator domains that nothing uses.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engines.bundle import MANIFEST_NAME, SCHEMA, Bundle, DecisionParameters, load_bundle, sha256_of_file
from engines.frontend import FrontendSpec, compute_logmel
from engines.half_weights import widen_half_weights
from engines.onnx_graph import LAST_OPSET_OF_8_2, misread_by_8_2, read_onnx_graph, unknown_to_8_2
from engines.runtimes import open_runtime
from engines.selftest import run_selftest
from trainer.errors import TrainerError
from trainer.model import SoundNet

OPSET = LAST_OPSET_OF_8_2
TOLERANCE = 1e-3  # of a logit, torch against ONNX Runtime
HALF_TOLERANCE = 0.05  # of a logit, by rounding weights: a twentieth of it is usual
_LEAST_STORED_HALF = 1024  # elements; biases and small filters stay as they are
SHIPPED_MODEL_BYTES = 20_000_000  # at most, of the models in this repository; one's own may have more
_LOGGER = logging.getLogger(__name__)


class BundleContent(NamedTuple):
    """All of a bundle that is not the network."""

    name: str
    labels: list[str]
    frontend: FrontendSpec
    decision: DecisionParameters
    short_clip: str
    clip_rule: str
    training: dict[str, Any]  # data, licence, folds, seeds, metrics, code_version
    card: str  # MODEL_CARD.md
    selftest_samples: np.ndarray  # float32 [window_samples]: a real recording


class _Scores(nn.Module):
    """Networks as the node runs them: embedding and classifier, no projection head; the mean of their logits."""

    def __init__(self, members: Sequence[SoundNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._in_order = list(members)

    def forward(self, logmel: Tensor) -> Tensor:
        logits = [_answer(member, logmel) for member in self._in_order]
        total = sum(logits[1:], logits[0])
        return total * (1.0 / len(logits)) if len(logits) > 1 else total


def _answer(model: SoundNet, logmel: Tensor) -> Tensor:
    pictures = torch.cat([logmel] * model.in_channels, dim=1) if model.in_channels > 1 else logmel
    features = model.backbone(pictures)
    # F.normalize as plain operators: its own export clamps with an Expand of a shape
    length = torch.sqrt((features * features).sum(dim=1, keepdim=True) + 1e-12)
    logits: Tensor = model.classifier(features / length * model.logit_scale)
    return logits


def export_bundle(
    members: Sequence[SoundNet], content: BundleContent, folder: Path, *, half_weights: bool = False
) -> Bundle:
    """Write a bundle, read it back strictly and run its self-test in ONNX Runtime.

    The folder is replaced only once everything holds.

    Args:
        members: networks of the same outputs; several answer as one, by the mean of their logits.
        half_weights: store the weights in half precision, as `engines.half_weights` reads them: half the bytes.

    Raises:
        TrainerError: the graph uses what TensorRT 8.2 would misread, or answers otherwise than torch.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="." + folder.name) as work:
        draft = Path(work) / folder.name
        draft.mkdir(mode=0o755)
        window = content.selftest_samples.astype(np.float32)
        logmel = compute_logmel(window, content.frontend).astype(np.float32)
        logits = export_onnx(members, logmel, draft / "model.onnx", half_weights=half_weights)
        np.savez_compressed(draft / "selftest.npz", samples=window, logmel=logmel, logits=logits)
        (draft / "MODEL_CARD.md").write_text(content.card, encoding="utf-8")
        _write_manifest(content, draft)
        with open_runtime(load_bundle(draft)) as runtime:
            run_selftest(runtime.bundle, runtime)
        _replace_folder(draft, folder)
    return load_bundle(folder)


def export_onnx(
    members: Sequence[SoundNet], logmel: np.ndarray, path: Path, *, half_weights: bool = False
) -> np.ndarray:
    """Write networks as one clean ONNX graph and check it.

    Args:
        logmel: a real input.  Shape [n_mels, window_frames], float32.

    Returns:
        The logits for it: torch's, or with half weights the file's own.  Shape [K + 1], float32.

    Raises:
        TrainerError: the graph is none for TensorRT 8.2, answers otherwise than torch, or does not bear half weights.
    """
    scores = _Scores([member.eval().to("cpu") for member in members]).eval()
    example = torch.from_numpy(logmel)[None, None]
    with torch.no_grad():
        expected = scores(example)[0].numpy()
    raw = path.with_name("raw.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter cannot write opset 13
        torch.onnx.export(
            scores,
            (example,),
            str(raw),
            opset_version=OPSET,
            dynamo=False,
            input_names=["logmel"],
            output_names=["logits"],
        )
    _clean_graph(raw, path)
    raw.unlink()
    check_graph(path)
    given = _ask(path, example.numpy())
    error = float(np.abs(given - expected).max())
    if not error <= TOLERANCE:
        raise TrainerError(
            "the exported graph differs from torch by %.2g in a logit; expected at most %g" % (error, TOLERANCE)
        )
    if half_weights:
        store_half_weights(path)
        check_graph(path)
        expected = _ask(path, example.numpy())
        error = float(np.abs(expected - given).max())
        if not error <= HALF_TOLERANCE:
            raise TrainerError(
                "half-precision weights move a logit by %.2g; expected at most %g: export without them"
                % (error, HALF_TOLERANCE)
            )
    _warn_of_size(path)
    return expected.astype(np.float32)


def store_half_weights(path: Path) -> None:
    """Store a graph's larger weights in half precision, in place, each cast back where it is read.

    Raises:
        TrainerError: a weight beyond half precision's range.
    """
    model = onnx.load(str(path))
    casts, kept = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _LEAST_STORED_HALF:
            kept.append(weight)
            continue
        if not np.abs(values).max() <= np.finfo(np.float16).max:
            raise TrainerError("weight %s is beyond half precision's 65504: export without it" % weight.name)
        stored = weight.name + "_half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [weight.name], stored, to=onnx.TensorProto.FLOAT))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def check_graph(path: Path) -> None:
    """Refuse what TensorRT 8.2 would misread or lacks (`engines.onnx_graph`), and arithmetic in half precision.

    Raises:
        TrainerError: names operator or opset.
    """
    graph = read_onnx_graph(widen_half_weights(path.read_bytes(), path.name), path.name)
    complaints = [*misread_by_8_2(graph), *("%s, which it lacks" % name for name in unknown_to_8_2(graph))]
    if graph.opset < OPSET:
        complaints.append("ONNX opset %d, where %d is expected" % (graph.opset, OPSET))
    if graph.has_float16:
        complaints.append("half precision, where single is expected")
    if complaints:
        raise TrainerError(
            "%s has %s; TensorRT 8.2 must read it rightly: choose another backbone" % (path.name, "; ".join(complaints))
        )
    onnx.checker.check_model(onnx.load(str(path)))


def _warn_of_size(path: Path) -> None:
    if path.stat().st_size > SHIPPED_MODEL_BYTES:
        _LOGGER.warning(
            "%s has %d bytes: more than the %d of a shipped model; a node of small memory may not hold it",
            path.name,
            path.stat().st_size,
            SHIPPED_MODEL_BYTES,
        )


def _ask(path: Path, network_input: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits: np.ndarray = session.run(None, {"logmel": network_input})[0][0]
    return logits


def _clean_graph(raw: Path, path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    # members pad the same input alike: one Pad for all would fold into none of their first convolutions
    apart = ["CommonSubexpressionElimination"]
    onnxruntime.InferenceSession(str(raw), options, providers=["CPUExecutionProvider"], disabled_optimizers=apart)
    model = onnx.load(str(path))
    _put_convolutions_first(model.graph)
    used = {node.domain for node in model.graph.node}
    for entry in [entry for entry in model.opset_import if entry.domain not in used]:
        model.opset_import.remove(entry)
    onnx.save(model, str(path))


def _put_convolutions_first(graph: onnx.GraphProto) -> None:
    """Order the nodes so that all that leads to a convolution, of any member, comes before all that does not: in half
    precision what follows the last convolution is computed in single (`engines.network_build`, `trainer.quantise`)."""
    needed: set[str] = set()  # values that a convolution depends on
    leading: list[onnx.NodeProto] = []
    ending: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        leads = node.op_type == "Conv" or not needed.isdisjoint(node.output)
        if leads:
            needed.update(node.input)
        (leading if leads else ending).append(node)
    ordered = [*reversed(leading), *reversed(ending)]
    del graph.node[:]
    graph.node.extend(ordered)


def _write_manifest(content: BundleContent, draft: Path) -> None:
    decision = {
        "temperature": content.decision.temperature,
        "thresholds": content.decision.thresholds,
        "foreign": content.decision.foreign._asdict(),
    }
    files = {path.name: sha256_of_file(path) for path in sorted(draft.iterdir())}
    manifest = {
        "schema": SCHEMA,
        "name": content.name,
        "labels": content.labels,
        "frontend": content.frontend._asdict(),
        "score_type": "softmax",
        "decision": decision,
        "short_clip": content.short_clip,
        "clip_rule": content.clip_rule,
        "files": files,
        "training": content.training,
    }
    (draft / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _replace_folder(draft: Path, folder: Path) -> None:
    if folder.exists():
        unknown = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else [folder.name]
        if MANIFEST_NAME not in unknown:
            raise TrainerError(
                "%s exists and is no bundle (it holds %s); give another --out"
                % (folder, ", ".join(unknown[:3]) or "nothing")
            )
        os.replace(folder, draft.with_name("previous"))
    os.replace(draft, folder)
