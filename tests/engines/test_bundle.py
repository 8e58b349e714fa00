"""Bundles are read strictly: everything that is wrong with one has its own clear line."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.bundle import list_shipped, load_bundle
from engines.errors import BundleError, SelfTestError
from engines.runtimes import open_runtime
from engines.selftest import run_selftest
from tests.engines.bundles import SPEC, tiny_logits, write_tiny_bundle


@pytest.fixture
def bundle_path(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny")


def changed(tmp_path, change):
    return write_tiny_bundle(tmp_path / "changed", change)


def test_a_whole_bundle_is_read(bundle_path):
    bundle = load_bundle(bundle_path)
    assert bundle.labels == ("low", "high") and bundle.n_outputs == 3
    assert bundle.frontend == SPEC
    assert bundle.id.startswith("tiny-") and len(bundle.id) == len("tiny-") + 12


def test_a_bare_name_is_a_shipped_bundle_unless_such_a_folder_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    assert {load_bundle(name).name for name in list_shipped()} == set(list_shipped()) >= {"urban"}
    with pytest.raises(BundleError, match="not there.*one that ships: .*urban"):
        load_bundle("harbour")
    with pytest.raises(BundleError, match="not there"):
        load_bundle(tmp_path / "urban")
    write_tiny_bundle(tmp_path / "urban")
    assert load_bundle("urban").name == "tiny"


def test_its_network_runs_and_passes_the_selftest(bundle_path):
    bundle = load_bundle(bundle_path)
    with open_runtime(bundle) as runtime:
        result = run_selftest(bundle, runtime)
        assert result.logmel_error_db < 5e-3 and result.logit_error < 1e-4
        noise = np.random.RandomState(0).randn(SPEC.n_mels, SPEC.window_frames).astype(np.float32)
        assert np.allclose(runtime.infer(noise), tiny_logits(noise), atol=1e-5)
        with pytest.raises(ValueError, match="takes"):
            runtime.infer(noise[:, 1:])


def set_in(*path_and_value):
    def change(manifest):
        *path, last, value = path_and_value
        for name in path:
            manifest = manifest[name]
        if value is KeyError:
            del manifest[last]
        else:
            manifest[last] = value

    return change


WRONG = {
    "another schema": (set_in("schema", 2), "schema 2"),
    "schema true": (set_in("schema", True), "schema True"),
    "missing field": (set_in("clip_rule", KeyError), "missing fields .'clip_rule'."),
    "unknown field": (set_in("colour", "red"), "unknown fields .'colour'."),
    "unknown field of two lines": (set_in("col\nour\x1b[2J", 1), r"unknown fields .'col\\nour\\x1b\[2J'."),
    "threshold of two lines": (set_in("decision", "thresholds", "hi\ngh", 0.5), r"'hi\\ngh'"),
    "file of two lines": (set_in("files", "a\nb", "0" * 64), r"files entry 'a\\nb'"),
    "label of two lines": (set_in("labels", ["low", "hi\ngh"]), r"'hi\\ngh'"),
    "missing front-end field": (set_in("frontend", "n_fft", KeyError), "n_fft"),
    "front end out of range": (set_in("frontend", "n_fft", 1000), "power of two"),
    "front end mistyped": (set_in("frontend", "n_mels", "64"), "n_mels"),
    "labels not names": (set_in("labels", ["low", "High Sound"]), "High Sound"),
    "labels twice": (set_in("labels", ["low", "low"]), "different names"),
    "label without threshold": (set_in("decision", "thresholds", {"low": 0.5}), "high"),
    "threshold above one": (set_in("decision", "thresholds", {"low": 0.5, "high": 1.5}), "thresholds"),
    "temperature zero": (set_in("decision", "temperature", 0), "temperature"),
    "temperature mistyped": (set_in("decision", "temperature", "hot"), "temperature"),
    "unknown method": (set_in("decision", "foreign", "method", "guess"), "guess"),
    "unknown rule": (set_in("short_clip", "loop"), "loop"),
    "score type": (set_in("score_type", "sigmoid"), "sigmoid"),
    "training without licence": (set_in("training", "licence", KeyError), "licence"),
    "wrong digest": (set_in("files", "model.onnx", "0" * 64), "damaged"),
    "no digest": (set_in("files", "selftest.npz", KeyError), "no digest of selftest.npz"),
    "file outside": (set_in("files", "../secret", "0" * 64), "secret"),
    "file missing": (set_in("files", "other.onnx", "0" * 64), "other.onnx"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_wrong_is_named(tmp_path, case):
    change, complaint = WRONG[case]
    with pytest.raises(BundleError, match=complaint) as caught:
        load_bundle(changed(tmp_path, change))
    assert str(caught.value).isprintable()  # one line, and nothing that a terminal would obey


def test_a_label_count_that_differs_from_the_output_is_refused(tmp_path):
    def change(manifest):
        manifest["labels"].append("middle")
        manifest["decision"]["thresholds"]["middle"] = 0.5

    bundle = load_bundle(changed(tmp_path, change))
    with pytest.raises(BundleError, match="3 labels"):
        open_runtime(bundle)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07"])
def test_a_network_that_is_none_is_refused(tmp_path, content):
    path = write_tiny_bundle(tmp_path / "tiny")
    (path / "model.onnx").write_bytes(content)
    redigest(path)
    with pytest.raises(BundleError, match="model.onnx"):
        open_runtime(load_bundle(path))


def test_a_runtime_that_answers_otherwise_is_refused(bundle_path):
    with np.load(str(bundle_path / "selftest.npz")) as file:
        arrays = dict(file)
    arrays["logits"][0] += 0.1
    np.savez(str(bundle_path / "selftest.npz"), **arrays)
    redigest(bundle_path)
    bundle = load_bundle(bundle_path)
    with open_runtime(bundle) as runtime, pytest.raises(SelfTestError, match="mishear"):
        run_selftest(bundle, runtime)


@pytest.mark.parametrize(
    "arrays", [{}, {"samples": np.zeros(3, np.float32)}, {"samples": np.array([{"a": 1}], dtype=object)}]
)
def test_a_selftest_that_is_unusable_is_refused(bundle_path, arrays):
    np.savez(str(bundle_path / "selftest.npz"), **arrays)
    redigest(bundle_path)
    bundle = load_bundle(bundle_path)
    with open_runtime(bundle) as runtime, pytest.raises(BundleError, match="selftest.npz"):
        run_selftest(bundle, runtime)


@pytest.mark.parametrize("what", ["nothing", "file", "empty folder", "no JSON", "a list", "huge number"])
def test_what_is_no_bundle_is_refused(tmp_path, what):
    path = tmp_path / "x"
    if what == "file":
        path.write_text("hello")
    elif what != "nothing":
        path.mkdir()
    text = {"no JSON": "{", "a list": "[]", "huge number": "1e999999"}.get(what)
    if text is not None:
        (path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="bundle"):
        load_bundle(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_value_in_any_place_gives_a_clear_error_or_a_bundle(tmp_path_factory, data):
    path = write_tiny_bundle(tmp_path_factory.mktemp("fuzz") / "tiny")
    manifest = json.loads((path / "manifest.json").read_text())
    place = manifest
    keys = [data.draw(st.sampled_from(sorted(manifest)))]
    while isinstance(place[keys[-1]], dict) and place[keys[-1]] and data.draw(st.booleans()):
        place = place[keys[-1]]
        keys.append(data.draw(st.sampled_from(sorted(place))))
    place[keys[-1]] = data.draw(JSON)
    (path / "manifest.json").write_text(json.dumps(manifest))
    try:
        load_bundle(path)
    except BundleError as error:
        assert str(error)


def redigest(path):
    from engines.bundle import sha256_of_file

    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"] = {name: sha256_of_file(path / name) for name in manifest["files"]}
    (path / "manifest.json").write_text(json.dumps(manifest))
