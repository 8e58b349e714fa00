"""What the exporter refuses because TensorRT 8.2 would misread or lacks it; and that its own networks pass."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.onnx_graph import misread_by_8_2, read_onnx_graph, unknown_to_8_2
from trainer.errors import TrainerError
from trainer.export import check_graph
from trainer.quantise import write_fp16


def write(path, nodes, opset=13, constants=(), domains=()):
    """A network of these nodes, from `x` to `y`."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    tensors = [numpy_helper.from_array(values, name) for name, values in constants]
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1) for domain in domains]
    graph = helper.make_graph(nodes, "it", [given], [answer], tensors)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=7), str(path))
    return path


def node(operator, *inputs, **attributes):
    return helper.make_node(operator, list(inputs), ["y"], **attributes)


AXES = ("axes", np.array([1], np.int64))
LIMITS = [("low", np.array(0, np.float16)), ("high", np.array(6, np.float16))]
CLIP_BY_CONSTANTS = [
    helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in LIMITS
] + [node("Clip", "x", "low", "high")]


@pytest.mark.parametrize(
    "made, words",
    [
        (dict(nodes=[node("Relu", "x")], opset=14), "opset 14, of which it knows none after 13"),
        (
            dict(nodes=[node("ReduceMean", "x", "axes")], opset=18, constants=[AXES]),
            "ReduceMean with its axes as an in",
        ),
        (dict(nodes=[node("ReduceMean", "x", "axes")], constants=[AXES]), "ReduceMean with its axes as an input"),
        (dict(nodes=[node("ReduceL2", "x", "axes")], constants=[AXES]), "ReduceL2 with its axes as an input"),
        (dict(nodes=[node("Clip", "x", "low", "high")], constants=LIMITS), "Clip on half precision"),
        (dict(nodes=CLIP_BY_CONSTANTS), "Clip on half precision"),
        (dict(nodes=[node("Mish", "x")], opset=18), "Mish, which it lacks"),
        (dict(nodes=[node("HardSwish", "x")]), "HardSwish, which it lacks"),
        (dict(nodes=[node("Relu", "x")], domains=["com.microsoft"]), "domain com.microsoft, which it lacks"),
        (dict(nodes=[node("Relu", "x")], opset=11), "opset 11, where 13 is expected"),
        (dict(nodes=[node("Add", "x", "low")], constants=LIMITS[:1]), "half precision, where single is expected"),
    ],
)
def test_what_8_2_would_misread_or_lacks_is_refused_by_name(tmp_path, made, words):
    with pytest.raises(TrainerError, match=words) as refused:
        check_graph(write(tmp_path / "model.onnx", **made))
    assert "\n" not in str(refused.value) and "model.onnx has" in str(refused.value)


@pytest.mark.parametrize(
    "made",
    [
        dict(nodes=[node("ReduceMean", "x", axes=[1])]),
        dict(nodes=[node("ReduceSum", "x", "axes")], constants=[AXES]),
        dict(nodes=[node("Clip", "x", "", "high")], constants=[("high", np.array(6, np.float32))]),
    ],
)
def test_what_8_2_reads_rightly_passes(tmp_path, made):
    check_graph(write(tmp_path / "model.onnx", **made))


def test_half_precision_of_a_network_with_clip_is_not_for_8_2(tmp_path):
    convolution = helper.make_node("Conv", ["x", "w"], ["c"])
    again = helper.make_node("Conv", ["d", "w"], ["y"])
    clip = helper.make_node("Clip", ["c", "low", "high"], ["d"])
    weights = ("w", np.ones((1, 1, 1, 1), np.float32))
    limits = [(name, value.astype(np.float32)) for name, value in LIMITS]
    path = write(tmp_path / "model.onnx", [convolution, clip, again], constants=[weights, *limits])
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [1, 1, 2, 2]))
    onnx.save(model, str(path))
    check_graph(path)
    write_fp16(path, tmp_path / "model.fp16.onnx")
    graph = read_onnx_graph((tmp_path / "model.fp16.onnx").read_bytes(), "it")
    assert misread_by_8_2(graph) == ("Clip on half precision, whose limits it takes for single precision",)
    assert unknown_to_8_2(graph) == ("Cast",)
