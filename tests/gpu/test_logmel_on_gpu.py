"""The kernels on a real device through PyCUDA: the contract that the emulator keeps, and what only a device shows."""

import threading

import numpy as np
import pytest

pytest.register_assert_rewrite("tests.cuda_cpu.logmel_contract")

from engines.cuda.device import CudaDevice  # noqa: E402
from engines.cuda.kernels import SOURCE  # noqa: E402
from engines.cuda.logmel import CudaLogMel  # noqa: E402
from engines.cuda.tables import build_tables, kernel_constants  # noqa: E402
from engines.errors import RuntimeUnavailableError  # noqa: E402
from tests.cuda_cpu.logmel_contract import (  # noqa: E402, F401
    SMALL,
    error_db,
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
from tests.cuda_cpu.sounds import SPECS, TOLERANCE_DB, URBAN  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=[False, True], ids=["copied", "mapped"])
def device(request, tmp_path_factory):
    """The first device: samples copied to it, and read by it in place."""
    device = CudaDevice(tmp_path_factory.mktemp("kernels"), mapped=request.param)
    try:
        device.open()
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    with device:
        yield device


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_driver_reports_what_the_compile_gate_demands(device, name):
    spec = SPECS[name]
    module = device.compile(SOURCE.read_text(encoding="ascii"), kernel_constants(spec, build_tables(spec)))
    for kernel in ("logmel_frames", "logmel_window"):
        function = module.get_function(kernel)
        assert function.num_regs <= 64 and function.local_size_bytes == 0 and function.shared_size_bytes <= 48 * 1024


def test_answers_are_the_same_each_time(device):
    front_end, answers = CudaLogMel(device, URBAN), []
    for _ in range(20):
        front_end.reset()
        front_end.push(noise(URBAN.window_samples))
        answers.append(np.array(front_end.read_window()))
    assert all((answer == answers[0]).all() for answer in answers)


def test_devices_open_and_close_in_threads_of_their_own(device, tmp_path):
    errors_db, rounds = [], 3

    def hear(seed):
        for _ in range(rounds):
            with CudaDevice(tmp_path) as own:
                front_end = CudaLogMel(own, SMALL)
                front_end.push(noise(SMALL.window_samples, seed))
                errors_db.append(error_db(front_end.read_window(), noise(SMALL.window_samples, seed), SMALL))

    threads = [threading.Thread(target=hear, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors_db) == 4 * rounds and max(errors_db) <= TOLERANCE_DB
