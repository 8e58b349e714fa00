"""From bundle to engine, by the surfaces of four versions of TensorRT; what fails is one clear line.

What versions differ in runs in this process, where the stand-ins' complaints are read; the rest in a child.
"""

import hashlib
import json
import os
import stat
import time

import pytest

from engines.bundle import load_bundle
from engines.compile import PRECISIONS_TO_TRY, CompileOptions, PreparedEngine, engines_directory, prepare_engine
from engines.compile_process import Compilation
from engines.engine_cache import EngineCache, EngineKey
from engines.errors import CompileError, NotBuiltError, RefusedError, RuntimeUnavailableError
from engines.runtimes.tensorrt import TensorRTRuntime
from engines.runtimes.uploaded import UploadedRuntime
from engines.selftest import run_selftest
from tests.engines.bundles import write_tiny_bundle
from tests.engines.stand_in_environment import VERSIONS, installed

WITH_INT8 = {"STAND_IN_DEVICE": "Orin", "STAND_IN_CAPABILITY": "8.7"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", variants=["fp16", "int8"]))


@pytest.fixture
def plain_bundle(tmp_path):
    return load_bundle(write_tiny_bundle(tmp_path / "plain"))


@pytest.fixture(params=VERSIONS)
def version(request, monkeypatch):
    with installed(monkeypatch, request.param) as violations:
        yield request.param
        assert violations == []


@pytest.fixture
def nano(monkeypatch):
    """A Jetson Nano's TensorRT."""
    with installed(monkeypatch, "v8_2") as violations:
        yield
        assert violations == []


def read_head(engine):
    from tests.engines.tensorrt_stand_ins.surface import read_plan

    return read_plan(engine.path.read_bytes())[0]


def read_sidecar(engine):
    return json.loads((engine.path.parent / (engine.path.name + ".json")).read_text())


def prepare(bundle, state, precision="auto", workspace_mib=128, again=False):
    """Build or find in this process, as the child does; and what was said meanwhile."""
    said = []
    request = {
        "bundle": str(bundle.path),
        "directory": str(engines_directory(state)),
        "precisions": PRECISIONS_TO_TRY[precision],
        "workspace_bytes": workspace_mib << 20,
        "again": again,
        "build": True,
    }
    result = Compilation(request, said.append).run()
    key = EngineKey(**result["key"])
    path = EngineCache(engines_directory(state)).path_of(key)
    engine = PreparedEngine(key, path, result["was_built"], result["build_s"], tuple(result["notes"]))
    return engine, [message["progress"] for message in said]


def prepare_in_child(bundle, state, **options):
    said = []
    return prepare_engine(bundle, state, CompileOptions(**options), progress=said.append), said


def test_the_child_builds_once_and_finds_it_again(nano, bundle, tmp_path):
    engine, said = prepare_in_child(bundle, tmp_path)
    assert engine.was_built and engine.precision == "fp16" and engine.notes == () and engine.path.exists()
    assert said[0] == ("building tiny in fp16 for TensorRT 8.2.1.8 on sm_53 (NVIDIA Tegra X1), usually 1 to 5 minutes")
    assert engine.describe() == "TensorRT 8.2.1.8, fp16, NVIDIA Tegra X1 (compute capability 5.3)"
    for options in ({}, {"build": False}):
        again, said = prepare_in_child(bundle, tmp_path, **options)
        assert not again.was_built and again.key == engine.key and said == []


def test_an_engine_that_is_only_looked_for_is_not_built(nano, bundle, tmp_path):
    with pytest.raises(NotBuiltError, match="no engine of bundle tiny on sm_53 yet; `soundclr-edge compile`"):
        prepare_in_child(bundle, tmp_path, build=False)
    assert list(tmp_path.rglob("*.json")) == []


def load_and_test(bundle, state, engine):
    """What the node does with an engine."""
    plan = EngineCache(engines_directory(state)).read(engine.key)
    runtime = UploadedRuntime(TensorRTRuntime(bundle, plan, engine.precision))
    runtime.open()
    try:
        return run_selftest(bundle, runtime), runtime.describe()
    finally:
        runtime.close()
        runtime.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_version_builds_keeps_and_runs_every_precision(version, precision, bundle, tmp_path, monkeypatch):
    for name, value in WITH_INT8.items():
        monkeypatch.setenv(name, value)
    engine, said = prepare(bundle, tmp_path, precision=precision, workspace_mib=64)
    assert engine.was_built and engine.precision == precision and engine.notes == ()
    assert "building tiny in %s for TensorRT" % precision in said[0] and "on sm_87 (Orin)" in said[0]
    head = read_head(engine)
    assert head["workspace"] == 64 << 20
    flags = set(head["flags"])
    assert ("TF32" in flags) == (precision != "fp32")
    if version == "v11":
        assert not flags - {"TF32"}
    else:
        assert ("FP16" in flags) == (precision != "fp32") and ("INT8" in flags) == (precision == "int8")
    result, description = load_and_test(bundle, tmp_path, engine)
    assert result.logit_error < {"fp32": 1e-5, "fp16": 2e-3, "int8": 2e-3}[precision]
    assert head["version"] in description and precision in description and "Orin (sm_87)" in description

    again, said = prepare(bundle, tmp_path, precision=precision)
    assert not again.was_built and again.path == engine.path and said == []
    facts = read_sidecar(engine)
    assert facts["sha256"] == hashlib.sha256(engine.path.read_bytes()).hexdigest()
    assert facts["key"]["compute_capability"] == "8.7" and facts["logit_error"] == pytest.approx(result.logit_error)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in engine.path.parent.iterdir())


def test_auto_takes_half_precision_where_the_device_is_fast_at_it(version, bundle, tmp_path, monkeypatch):
    assert prepare(bundle, tmp_path)[0].precision == (
        "fp32" if version == "v11" else "fp16"
    )  # 11 on sm_53: there is none
    if version != "v11":
        monkeypatch.setenv("STAND_IN_CAPABILITY", "6.1")
        engine, _ = prepare(bundle, tmp_path)
        assert engine.precision == "fp32" and "sm_61 has no fast fp16" in engine.notes[0]


def test_a_device_without_eight_bits_is_given_the_next_best(nano, bundle, tmp_path):
    engine, _ = prepare(bundle, tmp_path, precision="int8")
    assert engine.precision == "fp16" and "sm_53 has no fast int8" in engine.notes[0]


def test_without_a_typed_network_11_builds_in_single_and_says_why(plain_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_CAPABILITY", "8.7")
    with installed(monkeypatch, "v11"):
        engine, _ = prepare(plain_bundle, tmp_path)
        assert engine.precision == "fp32" and "model.fp16.onnx" in engine.notes[0] and "quantise" in engine.notes[0]


@pytest.mark.parametrize("fault", ["fp16_wrong", "fp16_nan"])
@pytest.mark.parametrize("version", VERSIONS[:3], indirect=True)  # 11's is the network's own, no flag can go wrong
def test_half_precision_that_mishears_falls_back_to_single(version, fault, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULTS", fault)
    engine, _ = prepare(bundle, tmp_path)
    assert engine.precision == "fp32" and engine.was_built and len(engine.notes) == 1
    assert "self-test" in engine.notes[0]
    again, said = prepare(bundle, tmp_path)  # what was refused for good is not tried at each start
    assert again.precision == "fp32" and not again.was_built and said == [] and "self-test" in again.notes[0]
    monkeypatch.setenv("STAND_IN_FAULTS", "")
    assert prepare(bundle, tmp_path, again=True)[0].precision == "fp16"


def test_half_precision_that_crashes_the_library_falls_back_to_single(nano, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULTS", "segfault_fp16")
    engine, _ = prepare_in_child(bundle, tmp_path)
    assert engine.precision == "fp32" and engine.was_built and "status -11" in engine.notes[0]


@pytest.mark.parametrize(
    "fault, kind, words",
    [
        ("parse", RefusedError, ["refuses model.onnx", "operator Gemm (node 1)", "another backbone"]),
        ("build_none", RefusedError, ["does not build", "Could not find any implementation for node Gemm_1"]),
        ("oom", CompileError, ["not enough memory", "128 MiB of workspace", "workspace_mib", "swap"]),
        ("always_wrong", RefusedError, ["self-test", "logits by"]),
        ("deserialize_none", RuntimeUnavailableError, ["does not load the engine", "magicTagRead"]),
        ("context_none", RuntimeUnavailableError, ["no execution context", "swap"]),
        ("execute_false", RuntimeUnavailableError, ["refused an inference", "Parameter check failed"]),
        ("device_lost", RuntimeUnavailableError, ["the CUDA device failed", "illegal memory access"]),
        ("no_device_memory", RuntimeUnavailableError, ["out of memory", "swap"]),
        ("no_device", RuntimeUnavailableError, ["CUDA cannot be started", "no CUDA-capable device", "group video"]),
        ("no_gpu", RuntimeUnavailableError, ["no CUDA device", "group video"]),
    ],
)
def test_what_fails_is_one_line_that_says_how_to_mend_it(version, fault, kind, words, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULTS", fault)
    with pytest.raises(kind) as caught:
        prepare(bundle, tmp_path)
    line = str(caught.value)
    assert type(caught.value) is kind and all(word in line for word in words) and "\n" not in line
    assert list(tmp_path.rglob("*.engine")) == []


@pytest.mark.parametrize(
    "fault, kind, words",
    [
        ("killed", CompileError, ["the system killed the build", "workspace_mib", "swap"]),
        ("segfault", CompileError, ["status -11"]),
        ("parse", RefusedError, ["operator Gemm (node 1)"]),
        ("no_device", RuntimeUnavailableError, ["no CUDA-capable device"]),
    ],
)
def test_what_the_child_fails_of_arrives_as_it_is(nano, fault, kind, words, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULTS", fault)
    with pytest.raises(kind) as caught:
        prepare_in_child(bundle, tmp_path)
    line = str(caught.value)
    assert type(caught.value) is kind and all(word in line for word in words) and "\n" not in line


def test_an_address_that_is_refused_is_one_line(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULTS", "address_false")
    with installed(monkeypatch, "v10_3"), pytest.raises(
        RuntimeUnavailableError, match="no address for tensor 'logmel'"
    ):
        prepare(bundle, tmp_path)


@pytest.mark.parametrize(
    "version_text, words",
    [
        ("12.1.0", "newer than 11"),
        ("8.0.1.6", "JetPack 4.6.1"),
        ("7.1.3", "older than 8.2"),
        ("", "its version as ''"),
        ("unknown", "'unknown'"),
    ],
)
def test_an_unknown_version_is_refused(nano, version_text, words, bundle, tmp_path, monkeypatch):
    (tmp_path / "tensorrt.py").write_text("__version__ = %r\n" % version_text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ["PYTHONPATH"])
    with pytest.raises(RuntimeUnavailableError) as caught:
        prepare_in_child(bundle, tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "missing, words", [("tensorrt", "python3-libnvinfer"), ("pycuda.driver", "pip install pycuda")]
)
def test_a_library_that_is_not_here_is_named(nano, missing, words, bundle, tmp_path, monkeypatch):
    parts = missing.split(".")
    folder = tmp_path.joinpath(*parts[:-1])
    folder.mkdir(exist_ok=True)
    if len(parts) > 1:
        (folder / "__init__.py").write_text("")
    (folder / (parts[-1] + ".py")).write_text("raise ImportError('libcuda.so.1: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ["PYTHONPATH"])
    with pytest.raises(RuntimeUnavailableError) as caught:
        prepare_in_child(bundle, tmp_path)
    assert words in str(caught.value) and "libcuda.so.1" in str(caught.value)


def test_a_build_that_takes_too_long_is_ended(nano, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_S", "600")
    waits = []
    with pytest.raises(CompileError, match="not built within 3 s"):
        prepare_engine(bundle, tmp_path, CompileOptions(timeout_s=3.0), on_wait=lambda: waits.append(1))
    assert len(waits) >= 3, "whoever supervises is told all along"


def test_who_waits_can_give_up(nano, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_S", "600")
    said = []

    def give_up():
        if said:
            raise KeyboardInterrupt

    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        prepare_engine(bundle, tmp_path, progress=said.append, on_wait=give_up)
    assert time.monotonic() - started_s < 300


def test_an_opset_that_8_2_would_misread_is_refused(nano, tmp_path):
    bundle_path = write_tiny_bundle(tmp_path / "bundle")
    content = (bundle_path / "model.onnx").read_bytes()
    assert content.endswith(b"\x10\x0d")  # opset 13 as the last number
    (bundle_path / "model.onnx").write_bytes(content[:-1] + b"\x12")
    manifest = json.loads((bundle_path / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = hashlib.sha256((bundle_path / "model.onnx").read_bytes()).hexdigest()
    (bundle_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RefusedError, match="opset 18; TensorRT 8.2.1.8 reads at most 13"):
        prepare(load_bundle(bundle_path), tmp_path)
