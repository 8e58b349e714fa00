"""What hears: the GPU where it can, the processor meanwhile and elsewhere, and always the reason."""

import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.cli import main
from edge.config import Config, ModelConfig, NodeConfig, PublishConfig, SourceConfig
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.scorer import CpuScorer
from edge.scorer_choice import choose_scorer, open_listening_scorer
from edge.switching_scorer import ClosedError
from engines.bundle import load_bundle
from engines.errors import CompileError, EngineError, RuntimeUnavailableError
from engines.runtimes.uploaded import UploadedRuntime
from tests.edge.socket_broker import wait_until
from tests.engines.bundles import write_tiny_bundle
from tests.engines.stand_in_environment import installed

HANG_S = 240
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


class UploadingScorer(CpuScorer):
    """In the place of `edge.gpu_scorer.GpuScorer`: front end on the processor, network on the stand-in's device.

    Opens its device at the first call, so that it may be made in one thread and used in another.
    """

    def __init__(self, bundle, runtime, hop_s, cache_dir):
        assert Path(cache_dir).name == "kernels"
        self._uploaded = None
        CpuScorer.__init__(self, bundle, UploadedRuntime(runtime), hop_s)

    def _infer(self):
        self._open()
        return CpuScorer._infer(self)

    def run_selftest(self):
        self._open()
        result = CpuScorer.run_selftest(self)
        self._runtime.close = lambda: None  # its thread has gone with it
        return result

    def _open(self):
        if self._uploaded is None:
            self._runtime.open()
            self._uploaded = threading.get_ident()
        elif self._uploaded != threading.get_ident():
            import pycuda.driver

            self._uploaded = threading.get_ident()
            pycuda.driver.Device(0).retain_primary_context().push()


@pytest.fixture
def gpu(monkeypatch):
    """A Jetson Nano, as far as stand-ins go."""
    module = types.ModuleType("edge.gpu_scorer")
    module.GpuScorer = UploadingScorer
    monkeypatch.setitem(sys.modules, "edge.gpu_scorer", module)
    with installed(monkeypatch, "v8_2"):
        yield


def test_without_the_libraries_the_processor_hears_and_says_why(bundle, tmp_path):
    chosen = choose_scorer(bundle, ModelConfig(), tmp_path)
    with chosen.scorer as scorer:
        assert "ONNX Runtime" in scorer.describe()
    assert "TensorRT's Python module" in chosen.why_not_tensorrt and "not installed" in chosen.why_not_tensorrt
    with open_listening_scorer(bundle, ModelConfig(), tmp_path, lambda: None) as scorer:
        assert isinstance(scorer, CpuScorer)
    with pytest.raises(RuntimeUnavailableError):
        choose_scorer(bundle, ModelConfig(runtime="tensorrt"), tmp_path)


def test_what_is_configured_is_what_computes(gpu, bundle, tmp_path):
    chosen = choose_scorer(bundle, ModelConfig(runtime="onnxruntime"), tmp_path)
    with chosen.scorer as scorer:
        assert "ONNX Runtime" in scorer.describe() and chosen.why_not_tensorrt == ""
    with pytest.raises(RuntimeUnavailableError, match="state directory"):
        choose_scorer(bundle, ModelConfig(runtime="tensorrt"), None)


def test_auto_takes_an_engine_that_is_there_and_builds_none(gpu, bundle, tmp_path):
    chosen = choose_scorer(bundle, ModelConfig(), tmp_path)
    with chosen.scorer as scorer:
        assert "ONNX Runtime" in scorer.describe()
    assert "no engine of bundle tiny on sm_53 yet; `soundclr-edge compile`" in chosen.why_not_tensorrt
    with choose_scorer(bundle, ModelConfig(runtime="tensorrt"), tmp_path).scorer as scorer:
        assert "TensorRT 8.2.1.8, fp16" in scorer.describe()
    chosen = choose_scorer(bundle, ModelConfig(), tmp_path)
    with chosen.scorer as scorer:
        assert "TensorRT 8.2.1.8, fp16" in scorer.describe() and chosen.why_not_tensorrt == ""


@pytest.mark.parametrize("fault, word", [("no_device", "no CUDA-capable device"), ("oom", "swap"), ("parse", "Gemm")])
def test_auto_falls_back_and_tensorrt_does_not(gpu, bundle, tmp_path, monkeypatch, fault, word):
    monkeypatch.setenv("STAND_IN_FAULTS", fault)
    scorer = open_listening_scorer(bundle, ModelConfig(), tmp_path, lambda: None)
    with scorer:
        assert scorer.wait_until_prepared(HANG_S)
        assert word in scorer.why_not and "ONNX Runtime" in scorer.describe()
    with pytest.raises(EngineError, match=word):
        open_listening_scorer(bundle, ModelConfig(runtime="tensorrt"), tmp_path, lambda: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_users_engines_are_not_loaded(gpu, bundle, tmp_path):
    os.chown(str(tmp_path), 12345, 12345)
    chosen = choose_scorer(bundle, ModelConfig(), tmp_path)
    chosen.scorer.close()
    assert "user 12345's" in chosen.why_not_tensorrt


def listener_of(bundle, tmp_path, runtime, messages, stop):
    path = tmp_path / "tone.wav"
    soundfile.write(str(path), 0.1 * np.sin(2 * np.pi * 440.0 * np.arange(16000 * 30) / 16000.0), 16000)
    source = SourceConfig("tape", "file", path=str(path), realtime=True, loop=True)
    config = Config(
        NodeConfig("node"),
        (source,),
        model=ModelConfig(runtime=runtime, hop_s=0.1),
        publish=PublishConfig(classification_interval_s=0.1),
    )
    factory = MessageFactory("soundclr", "node", bundle.id, "boot", bundle.labels)
    return Listener(config, source, bundle, factory, "boot", messages.append, stop, state_directory=tmp_path)


def test_a_node_hears_at_once_and_swaps_without_a_missing_hop(gpu, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_WAITS_FOR", str(tmp_path / "go"))
    messages, stop = [], threading.Event()
    listener = listener_of(bundle, tmp_path, "auto", messages, stop)
    listener.start()
    assert listener.ready.wait(HANG_S)
    assert "ONNX Runtime" in listener.runtime
    assert wait_until(lambda: listener.counts.windows > 3, HANG_S), "it hears while the engine is being built"
    (tmp_path / "go").write_text("")
    for _ in range(HANG_S * 10):
        if "TensorRT" in listener.runtime or listener.failure:
            break
        stop.wait(0.1)
    windows = listener.counts.windows
    while listener.counts.windows < windows + 20 and not listener.failure:
        stop.wait(0.1)
    stop.set()
    assert listener.join(HANG_S) and listener.failure is None and "TensorRT 8.2.1.8, fp16" in listener.runtime
    heard = [json.loads(m.payload.decode()) for m in messages if m.topic.endswith("/classification")]
    ends_ms = np.array([message["ts_ms"] for message in heard])
    steps_ms = np.diff(ends_ms)
    assert len(heard) > 20 and (steps_ms > 60).all() and (steps_ms < 140).all(), "every hop once"
    assert np.ptp([message["score_low"] for message in heard[-10:]]) < 0.2


def test_a_node_that_is_stopped_while_it_builds_ends(gpu, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_S", "600")
    for runtime in ("auto", "tensorrt"):
        stop = threading.Event()
        listener = listener_of(bundle, tmp_path, runtime, [], stop)
        listener.start()
        stop.wait(3.0)
        stop.set()
        assert listener.join(HANG_S) and listener.failure is None


def test_who_gives_up_is_heard(gpu, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_S", "600")

    def give_up():
        raise ClosedError

    with pytest.raises(ClosedError):
        open_listening_scorer(bundle, ModelConfig(runtime="tensorrt"), tmp_path, give_up)


@pytest.fixture
def no_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))


def test_the_compile_command(gpu, bundle, tmp_path, capsys, no_configuration, monkeypatch):
    command = ["compile", "--bundle", str(bundle.path), "--state-dir", str(tmp_path)]
    assert main(command + ["--precision", "fp32", "--workspace-mib", "64"]) == 0
    path, told = capsys.readouterr().out.splitlines()
    assert Path(path).parent == tmp_path / "engines" and Path(path).exists()
    assert told.startswith("TensorRT 8.2.1.8, fp32, NVIDIA Tegra X1 (compute capability 5.3), built in ")
    assert main(command + ["--precision", "fp32"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("was there")
    with pytest.raises(SystemExit, match="2"):
        main(command + ["--workspace-mib", "8"])
    assert "expected 16 to 4096" in capsys.readouterr().err
    monkeypatch.setenv("STAND_IN_FAULTS", "killed")
    assert main(command + ["--again"]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("soundclr-edge: bundle tiny: the system killed the build") and "swap" in complaint


def test_the_compile_command_without_tensorrt_is_one_line(bundle, tmp_path, capsys, no_configuration):
    assert main(["compile", "--bundle", str(bundle.path), "--state-dir", str(tmp_path)]) == 2
    output, complaints = capsys.readouterr()
    assert output == "" and len(complaints.splitlines()) == 1 and "PyCUDA cannot be loaded" in complaints


def test_check_says_which_and_why(gpu, bundle, tmp_path, capsys, monkeypatch):
    path = tmp_path / "node.toml"
    path.write_text(
        '[node]\nname = "corner"\n[[source]]\nname = "pipe"\ntype = "stdin"\nsample_rate_hz = 16000\n'
        "[model]\nbundle = %s\n[mqtt]\nport = 9\n" % json.dumps(str(bundle.path)),
        encoding="utf-8",
    )
    command = ["check", "--json", "--config", str(path), "--state-dir", str(tmp_path)]

    def runtime():
        main(command)
        checks = json.loads(capsys.readouterr().out)["checks"]
        return next(check["detail"] for check in checks if check["name"] == "runtime")

    assert "ONNX Runtime" in runtime() and "not TensorRT: TensorRT 8.2.1.8 has no engine" in runtime()
    assert main(["compile", "--config", str(path), "--state-dir", str(tmp_path)]) == 0
    capsys.readouterr()
    assert "TensorRT 8.2.1.8, fp16" in runtime() and "not TensorRT" not in runtime()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_works_as_the_owner_of_the_state_directory(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.chown(str(state), 12345, 23456)
    program = (
        "import os, sys; from pathlib import Path; from edge.compile import become_owner\n"
        "os.chdir(sys.argv[1]); become_owner(Path(sys.argv[1])); open('engine', 'w').close()\n"
        "print(os.getresuid(), os.getresgid(), 23456 in os.getgroups(), 0 in os.getgroups())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=HANG_S,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )
    assert done.stdout == "(12345, 12345, 12345) (23456, 23456, 23456) True False\n", done.stderr
    assert (state / "engine").stat().st_uid == 12345


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked whose folder it is")
def test_root_is_told_where_nobody_owns_anything(bundle, tmp_path, capsys, no_configuration):
    missing = tmp_path / "none"
    assert main(["compile", "--bundle", str(bundle.path), "--state-dir", str(missing)]) == 2
    assert "start the service once" in capsys.readouterr().err
    assert issubclass(CompileError, EngineError)
