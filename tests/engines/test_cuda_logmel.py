"""The kernels as they stand, through g++, under the node's own host code, in three orders of threads."""

import sys

import numpy as np
import pytest

pytest.register_assert_rewrite("tests.cuda_cpu.logmel_contract")

from engines.cuda.device import CudaDevice  # noqa: E402
from engines.cuda.logmel import CudaLogMel  # noqa: E402
from engines.errors import RuntimeUnavailableError  # noqa: E402
from tests.cuda_cpu.emulator import WHY_NOT  # noqa: E402
from tests.cuda_cpu.logmel_contract import (  # noqa: E402, F401
    SMALL,
    noise,
    small_front_end,
    test_chunked_equals_whole,
    test_counts_frames_as_the_processor_does,
    test_equals_the_definition,
    test_far_below_a_loud_tone_single_precision_still_tells,
    test_follows_a_real_stream_hop_by_hop,
    test_many_clips_at_once,
    test_nothing_is_glued_over_a_gap,
    test_several_microphones_at_once,
    test_two_streams_do_not_touch_each_other,
)
from tests.cuda_cpu.pycuda_stand_in import StandIn  # noqa: E402

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
WAYS = {
    "forward": StandIn(order="forward"),
    "reverse": StandIn(order="reverse"),
    "shuffled, memory shared": StandIn(order="shuffled", integrated=True),
    "one thread": StandIn(block=1),
}


@pytest.fixture(scope="module", params=sorted(WAYS))
def stand_in(request):
    """An emulated device, in the place of PyCUDA."""
    found = WAYS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in found.modules().items():
            patch.setitem(sys.modules, name, module)
        yield found
    assert found.contexts == 0 and not found.live  # the device has closed: nothing is left


@pytest.fixture(scope="module")
def device(stand_in, tmp_path_factory):
    """The same, open."""
    with CudaDevice(tmp_path_factory.mktemp("kernels")) as device:
        yield device


def test_only_new_samples_go_up(device, stand_in):
    front_end = CudaLogMel(device, SMALL)
    front_end.push(noise(SMALL.window_samples))
    front_end.read_window()
    before, hop = stand_in.uploaded_bytes, 5 * SMALL.hop_length
    front_end.push(noise(hop))
    front_end.read_window()
    assert stand_in.uploaded_bytes - before == (0 if stand_in.integrated else 4 * hop)


def test_a_hop_is_two_kernels(device, stand_in):
    front_end = CudaLogMel(device, SMALL)
    front_end.push(noise(SMALL.window_samples))
    front_end.read_window()
    stand_in.launches.clear()
    front_end.push(noise(5 * SMALL.hop_length))
    front_end.read_window()
    assert stand_in.launches == {"logmel_frames": 1, "logmel_window": 1}


def test_the_input_lies_where_the_network_will_read_it(device, stand_in):
    front_end = CudaLogMel(device, SMALL)
    front_end.push(noise(SMALL.window_samples))
    front_end.update_input()
    device.synchronize()
    memory = stand_in.live[front_end.input_pointer]
    there = memory.inside.view(np.float32).reshape(SMALL.n_mels, SMALL.window_frames)
    np.testing.assert_array_equal(there, front_end.read_window())


@pytest.mark.parametrize("streams", [0, 65536])
def test_a_number_of_streams_that_no_grid_has_is_refused(device, streams):
    with pytest.raises(ValueError, match="65535"):
        CudaLogMel(device, SMALL, streams=streams)


def test_too_little_memory_is_one_clear_line(stand_in, tmp_path):
    enough, stand_in.memory_bytes = stand_in.memory_bytes, 40000
    try:
        with CudaDevice(tmp_path) as device, pytest.raises(RuntimeUnavailableError, match="too little memory") as told:
            CudaLogMel(device, SMALL._replace(window_frames=8000))
    finally:
        stand_in.memory_bytes = enough
    assert "\n" not in str(told.value) and "onnxruntime" in str(told.value)
