"""A manifest or a self-test that is not as the trainer wrote it: refused in one line, or read."""

import io
import json

import numpy as np
import pytest
from hypothesis import given

from engines.bundle import Bundle, load_bundle, sha256_of_file
from engines.errors import EngineError
from engines.selftest import load_selftest
from tests.engines.bundles import write_tiny_bundle
from tests.fuzz.inputs import check_message, fuzzed, one_input
from tests.fuzz.mutations import damaged_bytes, damaged_json


def _example():
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder = write_tiny_bundle(Path(name) / "tiny")
        return json.loads((folder / "manifest.json").read_text("utf-8")), (folder / "selftest.npz").read_bytes()


MANIFEST, SELFTEST = _example()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@fuzzed(share=20, examples=300)
@given(content=damaged_json([MANIFEST]))
def test_damaged_manifests(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with one_input("bundle manifest", EngineError):
        bundle = load_bundle(folder)
        assert isinstance(bundle, Bundle)
        check_message(bundle.id)  # goes into every message
        json.dumps(bundle.id, ensure_ascii=False).encode("utf-8")
        assert all(abs(number) < 1e300 for number in bundle.decision.thresholds.values())
        assert np.isfinite(float(bundle.decision.foreign.slope) * 3.0 + float(bundle.decision.foreign.intercept))


@fuzzed(share=5, examples=100)
@given(content=damaged_bytes([SELFTEST]))
def test_damaged_self_tests_with_the_right_digest(folder, content):
    (folder / "selftest.npz").write_bytes(content)
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["files"]["selftest.npz"] = sha256_of_file(folder / "selftest.npz")
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with one_input("bundle self-test", EngineError):
        load_selftest(load_bundle(folder))


def test_a_self_test_of_arrays_without_end_is_refused_before_they_are_made(folder):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % (1 << 50)
    header += b" " * (117 - len(header)) + b"\n"
    array = b"\x93NUMPY\x01\x00" + bytes(bytearray([len(header), 0])) + header
    content = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(content, "w") as archive:
        for name in ("samples", "logmel", "logits"):
            archive.writestr(name + ".npy", array)
    test_damaged_self_tests_with_the_right_digest.hypothesis.inner_test(folder, content.getvalue())
