"""The GPU's whole way without a GPU: engine built in a child, kept, loaded, proven, taken over by a running daemon.

Everything of the node is as it stands: daemon, scorers, CUDA host code and kernels (on the emulator), TensorRT runtime.
Stand-ins are PyCUDA and TensorRT's module. What a broker gets is compared with what the processor alone has it told.
"""

import json
import threading

import numpy as np
import pytest
import soundfile

import edge.listener
from edge.config import Config, EventsConfig, ModelConfig, MqttConfig, NodeConfig, PublishConfig, SourceConfig
from edge.daemon import Daemon
from edge.sources.base import Source
from edge.sources.file import FileSource
from edge.supervision import STAGE_LIMIT_S
from engines.bundle import load_bundle
from engines.compile import engines_directory
from engines.cuda import gpu_thread
from tests.cuda_cpu.emulator import WHY_NOT
from tests.cuda_cpu.gpu_machine import JETSON_NANO, ORIN_NANO, WORKSTATION, gpu_machine
from tests.cuda_cpu.sounds import read_clip
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.engines.bundles import SPEC, write_tiny_bundle

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
HANG_S = 240
HOP_S = 32 * SPEC.hop_length / float(SPEC.sample_rate_hz)  # whole frames: a successor's windows lie where they lay
BEGIN, MIDDLE, LATE = [seconds * SPEC.sample_rate_hz for seconds in (4, 7, 9)]
HALF_PRECISION = 5e-3  # of a score: a logit in half precision, divided by the bundle's temperature
# differ from run to run, and count what else was said
OF_THE_RUN = {"boot_id", "id", "event_id", "seq", "runtime"}


class HeldTape(Source):
    """A file that is given as fast as it goes, but for places where it waits until it is let go."""

    def __init__(self, name, path, places):
        super().__init__(name)
        self._file = FileSource(name, path, realtime=False)
        self._places = list(places)
        self.reached = {place: threading.Event() for place in places}
        self.go = {place: threading.Event() for place in places}
        self.let_all_go = threading.Event()

    def open(self):
        self._file.open()
        self.sample_rate_hz = self._file.sample_rate_hz
        self._given = 0

    def close(self):
        self._file.close()

    def read(self, timeout_s):
        if self._places and self._given >= self._places[0]:
            self.reached[self._places[0]].set()
            if not self.go[self._places[0]].wait(timeout_s) and not self.let_all_go.is_set():
                return None
            self._places.pop(0)
        block = self._file.read(timeout_s)
        self._given = block.first_sample + len(block.samples)
        return block

    def describe(self):
        return self._file.describe()

    @property
    def status(self):
        return self._file.status


class Node:
    """A daemon in a thread of this process, and the broker that it tells."""

    def __init__(self, monkeypatch, bundle, street, runtime, state, places=()):
        self.tape = HeldTape("tape", street, [0] + list(places))
        monkeypatch.setattr(edge.listener, "source_from_config", lambda config, **_options: self.tape)
        self.broker = SocketBroker()
        source = SourceConfig("tape", "file", path=str(street), start_time="2026-10-01T08:00:00Z")
        config = Config(
            NodeConfig("corner"),
            (source,),
            MqttConfig(port=self.broker.port),
            ModelConfig(bundle=str(bundle.path), runtime=runtime, hop_s=HOP_S),
            events=EventsConfig(confirm_s=0.5, off_ratio=0.9, merge_gap_s=0.5),
            publish=PublishConfig(classification_interval_s=0.01),
        )
        self.daemon = Daemon(config, bundle, "test", threading.Event(), state_directory=state)
        self.failure = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        # what is not durable is told only while there is a broker
        assert wait_until(lambda: b"online" in self.broker.payloads("soundclr/corner/status"), HANG_S)
        self.tape.go[0].set()

    def _run(self):
        try:
            self.daemon.run()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.tape.let_all_go.set()
        self.thread.join(HANG_S)
        assert not self.thread.is_alive() and self.failure is None
        assert wait_until(lambda: b"offline" in self.broker.payloads("soundclr/corner/status"), HANG_S)
        self.broker.close()

    def told(self, kind):
        """Messages of a type, without what is another in each run."""
        found = [m.payload for m in list(self.broker.published) if m.topic == "soundclr/corner/tape/" + kind]
        messages = [json.loads(payload.decode()) for payload in found]
        return [{name: value for name, value in one.items() if name not in OF_THE_RUN} for one in messages]

    def runtimes(self):
        """What the node has said that it computes with, in order."""
        found = [json.loads(payload.decode())["runtime"] for payload in self.broker.payloads("soundclr/corner/info")]
        return [name for name, before in zip(found, [None] + found) if name != before]

    def wait_for_engine(self):
        """Until the GPU's scorer is ready, and the tape stands where it can take over."""
        assert self.tape.reached[BEGIN].wait(HANG_S)
        assert wait_until(lambda: "prepare-tiny" not in [t.name for t in threading.enumerate()], HANG_S)
        self.tape.go[BEGIN].set()

    def wait_for_gpu(self):
        """Until it has heard on the GPU, and has said so."""
        assert self.tape.reached[MIDDLE].wait(HANG_S)
        assert wait_until(lambda: self.runtimes()[-1].startswith("CUDA front end on "), HANG_S), self.runtimes()

    def wait_for_processor(self):
        """Until it hears on the processor again, and has said so."""
        assert self.tape.reached[LATE].wait(HANG_S)
        assert wait_until(lambda: len(self.runtimes()) == 3, HANG_S), self.runtimes()
        before, _, after = self.runtimes()
        assert before == after and before.startswith("NumPy")
        self.tape.go[LATE].set()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", variants=["fp16"]))


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Real recordings, one after the other, with a pause."""
    clips = [
        read_clip(name, SPEC.sample_rate_hz) for name in ("siren-67358.ogg", "dog-182395.ogg", "car_horn-178402.ogg")
    ]
    parts = [clips[0], 1e-3 * np.random.RandomState(0).randn(2 * SPEC.sample_rate_hz), clips[1], clips[2]]
    path = tmp_path_factory.mktemp("sound") / "street.wav"
    soundfile.write(str(path), np.concatenate(parts), SPEC.sample_rate_hz)
    return path


@pytest.fixture(scope="module")
def expected(bundle, street, tmp_path_factory):
    """What the processor alone has the broker told: (classifications, events)."""
    with pytest.MonkeyPatch.context() as patch:
        with Node(patch, bundle, street, "onnxruntime", tmp_path_factory.mktemp("state")) as node:
            node.thread.join(HANG_S)
    classifications, events = node.told("classification"), node.told("event")
    assert len(classifications) > 15 and {event["phase"] for event in events} == {"start", "end"}
    return classifications, events


@pytest.fixture(scope="module")
def nano_state(tmp_path_factory):
    return tmp_path_factory.mktemp("nano")


def assert_same_messages(node, expected):
    for given, right in zip((node.told("classification"), node.told("event")), expected):
        assert len(given) == len(right)
        for one, other in zip(given, right):
            assert set(one) == set(other)
            for name, value in other.items():
                if name.startswith(("score", "foreign")):
                    assert one[name] == pytest.approx(value, abs=HALF_PRECISION), name
                else:
                    assert one[name] == value, name


def assert_released(machine):
    assert wait_until(lambda: "gpu-tiny" not in [t.name for t in threading.enumerate()], HANG_S)
    assert (machine.live, machine.contexts, machine.violations) == ({}, 0, [])


@pytest.mark.parametrize("facts", [JETSON_NANO, ORIN_NANO, WORKSTATION], ids=lambda facts: facts.device)
def test_the_gpu_takes_over_and_the_broker_is_told_the_same(bundle, street, expected, monkeypatch, tmp_path, facts):
    with gpu_machine(monkeypatch, facts) as machine:
        with Node(monkeypatch, bundle, street, "auto", tmp_path, [BEGIN, MIDDLE]) as node:
            node.wait_for_engine()
            node.wait_for_gpu()
            assert machine.live and machine.contexts == 1
            frames = machine.launches["logmel_frames"]
            node.tape.go[MIDDLE].set()
        assert_released(machine)
    assert machine.launches["logmel_frames"] > frames > 0
    first, last = node.runtimes()
    assert "NumPy" in first and "ONNX Runtime" in first
    architecture = "sm_%d%d" % facts.capability
    assert last.startswith("CUDA front end on %s (%s), TensorRT " % (facts.device, architecture)) and "fp16" in last
    assert len(list(engines_directory(tmp_path).glob("*.engine"))) == 1
    assert_same_messages(node, expected)


def test_an_engine_that_is_kept_is_loaded_and_not_built(bundle, street, expected, monkeypatch, nano_state):
    with gpu_machine(monkeypatch, JETSON_NANO) as machine:
        for faults in ("", "build_none"):  # what is there needs no builder
            monkeypatch.setenv("STAND_IN_FAULTS", faults)
            with Node(monkeypatch, bundle, street, "tensorrt", nano_state) as node:
                pass
            assert_released(machine)
            (runtime,) = node.runtimes()[-1:]
            assert runtime.startswith("CUDA front end on NVIDIA Tegra X1 (sm_53), TensorRT 8.2.1.8, fp16")
            assert_same_messages(node, expected)


@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_a_gpu_that_fails_while_it_hears_is_told_and_costs_no_hop(
    bundle, street, expected, monkeypatch, nano_state, caplog, fault
):
    with gpu_machine(monkeypatch, JETSON_NANO) as machine:
        with Node(monkeypatch, bundle, street, "auto", nano_state, [BEGIN, MIDDLE, LATE]) as node:
            node.wait_for_engine()
            node.wait_for_gpu()
            if fault == "lost":
                machine.lose()
            else:
                monkeypatch.setenv("STAND_IN_FAULTS", "execute_false")
            node.tape.go[MIDDLE].set()
            node.wait_for_processor()
        assert_released(machine)
    assert_same_messages(node, expected)
    word = "illegal memory access" if fault == "lost" else "refused an inference"
    assert "the GPU has failed and the processor goes on hearing" in caplog.text and word in caplog.text


def test_a_gpu_that_hangs_is_left_before_the_watchdog_bites(bundle, street, expected, monkeypatch, nano_state, caplog):
    assert gpu_thread.ANSWER_TIMEOUT_S <= STAGE_LIMIT_S / 2, "once waited for, there is time to go on without it"
    monkeypatch.setattr(gpu_thread, "ANSWER_TIMEOUT_S", 3.0)
    with gpu_machine(monkeypatch, JETSON_NANO) as machine:
        with Node(monkeypatch, bundle, street, "auto", nano_state, [BEGIN, MIDDLE, LATE]) as node:
            node.wait_for_engine()
            node.wait_for_gpu()
            machine.hang()
            node.tape.go[MIDDLE].set()
            node.wait_for_processor()
            node.thread.join(HANG_S)  # to the end of the tape, and closed, with the GPU still hanging
            assert not node.thread.is_alive() and machine.contexts == 1
            machine.go_on()
        assert_released(machine)  # late, but in order
    assert_same_messages(node, expected)
    assert caplog.text.count("has not answered for 3 s") == 1, "waited for once"
    assert "the GPU's thread does not end" in caplog.text
