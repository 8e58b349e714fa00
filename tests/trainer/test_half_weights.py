"""Weights stored in half precision: the same answers once widened, nothing left that TensorRT 8.2 does not know."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engines.bundle import load_bundle
from engines.errors import BundleError
from engines.half_weights import widen_half_weights
from engines.onnx_graph import read_onnx_graph, unknown_to_8_2
from engines.protocol_buffers import encode_field, read_fields
from engines.selftest import load_selftest
from trainer.errors import TrainerError
from trainer.export import HALF_TOLERANCE, check_graph, store_half_weights

ENGINES = Path(__file__).resolve().parent.parent.parent / "engines"


def answer(content, logmel):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: logmel[None, None]})[0][0]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A shipped network, its larger weights stored in half precision, and as it was in single."""
    path = tmp_path_factory.mktemp("stored") / "model.onnx"
    whole = widen_half_weights((ENGINES / "esc10" / "model.onnx").read_bytes(), "esc10")
    path.write_bytes(whole)
    store_half_weights(path)
    return path, whole


def test_half_the_bytes_and_nearly_the_same_answer(stored):
    path, whole = stored
    assert path.stat().st_size < 0.52 * len(whole)
    logmel = load_selftest(load_bundle(ENGINES / "esc10")).logmel
    error = np.abs(answer(path.read_bytes(), logmel) - answer(whole, logmel)).max()
    assert 0 < error < HALF_TOLERANCE


def test_widened_it_is_what_onnx_runtime_computes_and_what_8_2_reads(stored):
    path, _ = stored
    half = path.read_bytes()
    widened = widen_half_weights(half, "it")
    onnx.checker.check_model(onnx.load_from_string(widened))
    logmel = load_selftest(load_bundle(ENGINES / "esc10")).logmel
    assert np.array_equal(answer(half, logmel), answer(widened, logmel))
    before, after = read_onnx_graph(half, "it"), read_onnx_graph(widened, "it")
    assert before.has_float16 and "Cast" in before.operators
    assert not after.has_float16 and not unknown_to_8_2(after)
    assert after.operators == tuple(operator for operator in before.operators if operator != "Cast")
    check_graph(path)
    assert widen_half_weights(widened, "it") == widened


def test_arithmetic_in_half_precision_is_left_as_it_is():
    """A weight that something else reads as it is, a Cast of what is no weight, and a Cast to something else."""
    half = numpy_helper.from_array(np.ones(4, np.float16), "half")
    other = numpy_helper.from_array(np.ones(4, np.float16), "other")
    nodes = [
        helper.make_node("Cast", ["half"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["h", "half"], ["s"]),
        helper.make_node("Cast", ["s"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["other"], ["c"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["a", "b", "d"], ["y"]),
    ]
    given_, answer_ = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "it", [given_], [answer_], [half, other]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    content = model.SerializeToString()
    assert onnx.load_from_string(widen_half_weights(content, "it")) == model


def test_one_weight_that_is_cast_twice_is_widened_twice():
    half = numpy_helper.from_array(np.arange(4, dtype=np.float16), "half")
    nodes = [helper.make_node("Cast", ["half"], [name], name=name, to=TensorProto.FLOAT) for name in ("one", "two")] + [
        helper.make_node("Sum", ["x", "one", "two"], ["y"])
    ]
    given_, answer_ = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "it", [given_], [answer_], [half]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    widened = onnx.load_from_string(widen_half_weights(model.SerializeToString(), "it"))
    assert [weight.name for weight in widened.graph.initializer] == ["one", "two"]
    for weight in widened.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(weight), np.arange(4, dtype=np.float32))
    assert [node.op_type for node in widened.graph.node] == ["Sum"]


def test_a_weight_without_a_name_takes_no_operator_with_it():
    unnamed = numpy_helper.from_array(np.ones(4, np.float16))
    given_, answer_ = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "it", [given_], [answer_], [unnamed])
    content = helper.make_model(graph).SerializeToString()
    assert widen_half_weights(content, "it") == content


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    weight = numpy_helper.from_array(np.full(2048, 7e4, np.float32), "w")
    given_, answer_ = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2048]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "it", [given_], [answer_], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(tmp_path / "m.onnx"))
    with pytest.raises(TrainerError, match="weight w is beyond half precision's 65504"):
        store_half_weights(tmp_path / "m.onnx")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_end_in_anything_but_a_bundle_error(content):
    try:
        assert isinstance(widen_half_weights(content, "it"), bytes)
    except BundleError as error:
        assert "it is no ONNX file" in str(error)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2**20), st.integers(0, 2**63) | st.binary(max_size=300)), max_size=8))
def test_fields_are_read_as_they_were_written(fields):
    content = b"".join(encode_field(number, value) for number, value in fields)
    read = list(read_fields(content))
    assert [(field.number, field.value) for field in read] == fields
    assert b"".join(field.encoded for field in read) == content
