"""The GPU's scorer on a real device. Its network is ONNX Runtime's, on the input that is fetched from the device:
TensorRT has tests of its own."""

import numpy as np
import pytest

from edge.config import SHIPPED_BUNDLE
from edge.gpu_scorer import GpuScorer
from edge.scorer import open_scorer
from engines.bundle import load_bundle
from engines.device_facts import load_driver
from engines.errors import RuntimeUnavailableError
from engines.runtimes.base import DeviceRuntime
from engines.runtimes.onnx import OnnxRuntime
from tests.cuda_cpu.sounds import read_clip

pytestmark = pytest.mark.gpu


class FetchedRuntime(DeviceRuntime):
    """Copies the device's buffer to the host behind the stream and infers there."""

    name = "fetched"

    def __init__(self, bundle):
        super().__init__(bundle)
        self._network = OnnxRuntime(bundle)

    @property
    def input_shape(self):
        return (1, 1, self.bundle.frontend.n_mels, self.bundle.frontend.window_frames)

    def open(self, stream_handle):
        self._network.open()
        self._driver = load_driver()
        self._host = self._driver.pagelocked_empty(self.input_shape, np.float32)

    def bind_input(self, device_pointer):
        self._input = device_pointer

    def enqueue(self):
        self._driver.Context.synchronize()
        self._driver.memcpy_dtoh(self._host, self._input)

    def read_output(self):
        return self._network.infer(np.array(self._host[0, 0]))

    def describe(self):
        return "ONNX Runtime on what was fetched"

    def close(self):
        self._network.close()
        self._host = None


def test_the_shipped_bundle_hears_what_the_processor_hears(tmp_path):
    bundle, hop_s = load_bundle(SHIPPED_BUNDLE), 0.5
    rate_hz = bundle.frontend.sample_rate_hz
    street = np.concatenate([read_clip(clip, rate_hz) for clip in ("siren-67358.ogg", "dog-182395.ogg")])
    try:
        on_gpu = GpuScorer(bundle, FetchedRuntime(bundle), hop_s, tmp_path)
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    with on_gpu, open_scorer(bundle, "onnxruntime", 1, hop_s) as on_cpu:
        assert on_gpu.run_selftest().logmel_error_db <= 5e-3
        answers = 0
        for at in range(0, len(street), 2205):
            block = street[at : at + 2205]
            for given, expected in zip(on_gpu.push(block), on_cpu.push(block), strict=True):
                assert given[:2] == expected[:2]
                np.testing.assert_allclose(given.logits, expected.logits, atol=5e-3)
                answers += 1
        assert answers >= 3
