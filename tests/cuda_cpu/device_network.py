"""A device's network for the emulated device: ONNX Runtime behind the stream, on the device's memory."""

import numpy as np

from engines.runtimes.base import DeviceRuntime
from engines.runtimes.onnx import OnnxRuntime


class DeviceNetwork(DeviceRuntime):
    """Does what it is told when the stream comes to it, like TensorRT."""

    name = "emulated"

    def __init__(self, bundle, stand_in):
        super().__init__(bundle)
        self._stand_in = stand_in
        self._network = OnnxRuntime(bundle)
        self._stream = self._input = self._output = None
        self.closed = 0

    @property
    def input_shape(self):
        """As the bundle has it."""
        return (1, 1, self.bundle.frontend.n_mels, self.bundle.frontend.window_frames)

    def open(self, stream_handle):
        """Load the network."""
        self._stand_in.need_context()
        self._stream = self._stand_in.streams[stream_handle]
        self._network.open()

    def bind_input(self, device_pointer):
        """Remember the memory."""
        self._stand_in.check(device_pointer, 4 * int(np.prod(self.input_shape)))
        self._input = self._stand_in.live[device_pointer]

    def enqueue(self):
        """Queue one inference."""
        self._stand_in.need_context()
        self._output = None
        self._stream.queue(self._run)

    def read_output(self):
        """Wait for it."""
        self._stream.synchronize()
        return np.array(self._output)

    def describe(self):
        """For people."""
        return "emulated network"

    def close(self):
        """Release it."""
        self._stand_in.need_context()  # the context must still be there
        self._network.close()
        self.closed += 1

    def _run(self):
        self._output = self._network.infer(self._input.inside.view(np.float32).reshape(self.input_shape[2:]))
