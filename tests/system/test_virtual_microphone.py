"""Real ALSA, real PortAudio, real PyAudio: a virtual microphone whose every sample is known, with faults on command."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.devices import child_environment, has_portaudio, list_devices
from edge.sources.microphone import MicrophoneSource

pytestmark = pytest.mark.system

_GUARD_S = 45.0  # hang guard: a recovery takes about 6 s


@pytest.fixture
def source(virtual_microphone):
    microphone = MicrophoneSource("corner", device="Street_V")
    yield microphone
    microphone.close()


def _read_block(source, guard_s=_GUARD_S):
    deadline_s = time.monotonic() + guard_s
    while time.monotonic() < deadline_s:
        block = source.read(0.5)
        if block is not None:
            return block
    raise AssertionError(f"no block within {guard_s:.0f} s")


def _read_until(source, condition):
    """Blocks up to and with the first for which condition holds."""
    deadline_s = time.monotonic() + _GUARD_S
    while time.monotonic() < deadline_s:
        block = source.read(0.5)
        if block is not None and condition(block):
            return block
    raise AssertionError(f"it did not happen within {_GUARD_S:.0f} s")


def _as_pcm(samples):
    return np.round(samples * 32768).astype(np.int64)


def _assert_consecutive(microphone, pcm):
    """Every value occurs once in the microphone's loop, so the first one tells where all others must be."""
    start = int(np.flatnonzero(microphone.samples == pcm[0])[0])
    expected = np.take(microphone.samples, np.arange(start, start + len(pcm)), mode="wrap")
    np.testing.assert_array_equal(pcm, expected)
    return start


def _open_descriptors():
    return set(os.listdir("/proc/self/fd"))


def _capture_pids():
    """Children of this process that capture."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(") ", 1)[1].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        if parent == os.getpid():
            pids.append(int(stat.parent.name))
    return pids


def test_the_device_is_listed_with_its_own_rate(virtual_microphone):
    devices = [device for device in list_devices() if device.name == virtual_microphone.name]
    assert len(devices) == 1
    assert (devices[0].channels, devices[0].sample_rate_hz, devices[0].host_api) == (1, 16000, "ALSA")
    assert has_portaudio() is None


def test_every_sample_arrives_from_the_first_on(virtual_microphone, source):
    source.open()
    assert source.sample_rate_hz == virtual_microphone.sample_rate_hz
    blocks = [_read_block(source) for _ in range(100)]
    assert _assert_consecutive(virtual_microphone, _as_pcm(np.concatenate([b.samples for b in blocks]))) == 0
    position = 0
    for block in blocks:
        assert block.samples.dtype == np.float32
        assert block.gap is None
        assert block.first_sample == position
        position += len(block.samples)
    assert source.status == "online"
    assert source.fault is None
    assert set(source.counters.values()) == {0}


def test_capture_times_follow_the_clock(source):
    before_s = time.monotonic()
    source.open()
    blocks = [_read_block(source) for _ in range(40)]
    assert before_s < blocks[0].captured_at_s < time.monotonic()
    span_s = blocks[-1].captured_at_s - blocks[0].captured_at_s
    assert span_s == pytest.approx((blocks[-1].first_sample - blocks[0].first_sample) / 16000.0, abs=0.5)


def test_a_stalled_device_is_replaced_and_the_loss_announced(virtual_microphone, source):
    source.open()
    last = _read_block(source)
    virtual_microphone.stall()
    while source.counters["stalls"] == 0:
        last = source.read(0.5) or last
    assert source.status == "offline"
    virtual_microphone.run()
    block = _read_block(source)
    assert block.gap is not None
    assert block.gap.reason == "stall"
    _assert_gap_keeps_time(last, block)
    assert source.status == "online"
    assert source.counters["lost_samples"] == block.gap.lost_samples


def test_a_device_that_went_comes_back_and_its_spinning_child_is_killed(virtual_microphone, source):
    source.open()
    last = _read_block(source)
    virtual_microphone.vanish()
    deadline_s = time.monotonic() + _GUARD_S
    while source.counters["restarts"] < 2 and time.monotonic() < deadline_s:
        last = source.read(0.5) or last
    assert source.status == "offline"
    assert source.read(0.1) is None
    assert "not there" in source.describe()
    virtual_microphone.run()
    block = _read_block(source)
    assert block.gap is not None
    assert block.gap.reason == "device_lost"
    _assert_gap_keeps_time(last, block)
    following = _read_block(source)
    assert following.gap is None
    assert following.first_sample == block.first_sample + len(block.samples)


def _assert_gap_keeps_time(last, block):
    """Stream time went on as fast as the clock, over the gap too."""
    rate_hz = float(block.sample_rate_hz)
    assert block.gap.lost_samples == block.first_sample - (last.first_sample + len(last.samples))
    assert block.gap.lost_samples > rate_hz  # more than a second went by
    stream_s = (block.first_sample - last.first_sample) / rate_hz
    assert stream_s == pytest.approx(block.captured_at_s - last.captured_at_s, abs=0.01)


def test_an_overrun_of_the_device_is_counted_and_marked(virtual_microphone, source):
    source.open()
    _read_block(source)
    virtual_microphone.overrun()
    block = _read_until(source, lambda b: b.gap is not None)
    assert block.gap.reason == "overflow"
    assert source.counters["overflows"] >= 1
    assert source.counters["restarts"] == 0


def test_a_reader_that_is_late_loses_sound_and_is_told_how_much(virtual_microphone, source):
    source.open()
    first = _read_block(source)
    time.sleep(9.0)  # more than the child's queue and the pipe hold
    pcm, start = [first.samples], None
    while True:
        block = _read_block(source)
        if block.gap is not None:
            break
        pcm.append(block.samples)
    start = _assert_consecutive(virtual_microphone, _as_pcm(np.concatenate(pcm)))
    end = start + sum(len(samples) for samples in pcm)
    assert block.gap.reason == "skipped"
    assert source.counters["skips"] == 1
    expected = int(np.flatnonzero(virtual_microphone.samples == _as_pcm(block.samples)[0])[0])
    assert (end + block.gap.lost_samples - expected) % len(virtual_microphone.samples) == 0


def test_nothing_is_left_after_close_even_where_portaudio_spins(virtual_microphone, source):
    threads, descriptors = set(threading.enumerate()), _open_descriptors()
    source.open()
    _read_block(source)
    assert len(_capture_pids()) == 1
    virtual_microphone.vanish()
    source.read(0.5)
    started_s = time.monotonic()
    source.close()
    assert time.monotonic() - started_s < 2.0
    assert set(threading.enumerate()) <= threads  # what an earlier test left behind may end meanwhile
    assert _open_descriptors() <= descriptors
    assert not _capture_pids()  # not even a zombie


def test_the_child_dies_with_its_parent(virtual_microphone, tmp_path):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\nfrom edge.sources.microphone import MicrophoneSource\n"
            "s = MicrophoneSource('corner', device='street')\ns.open()\n"
            "while s.read(1) is None: pass\nprint(s._process.pid, flush=True)\ntime.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    child = int(parent.stdout.readline())
    virtual_microphone.stall()  # so that no write fails and tells the child
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline_s = time.monotonic() + 5.0
    while _is_running(child) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not _is_running(child)


def _is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return False
    return state != "Z"  # adopted by an init that may not reap


def test_the_child_does_not_import_what_its_memory_has_no_room_for(virtual_microphone):
    code = "import sys; sys.modules['numpy'] = None\nfrom edge.sources import capture\ncapture.main(['--list'])"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        check=True,
    )
    assert virtual_microphone.name.encode() in answer.stdout


def test_a_probe_describes_what_it_heard(virtual_microphone):
    assert "16000 Hz" in MicrophoneSource("corner", device="street").probe()


def test_a_probe_of_a_name_that_nothing_has_lists_what_there_is(virtual_microphone):
    with pytest.raises(SourceError, match=r"'garden'.*street_vmic"):
        MicrophoneSource("corner", device="garden").probe()


def test_a_name_that_nothing_has_is_waited_for(virtual_microphone):
    with MicrophoneSource("corner", device="garden") as source:
        assert source.read(0.2) is None
        assert source.status == "offline"
        assert source.sample_rate_hz == 0


def test_a_rate_that_the_device_refuses_is_named_and_its_own_is_heard(virtual_microphone):
    source = MicrophoneSource("corner", device="street", sample_rate_hz=11025)
    assert source.probe().endswith("16000 Hz, 1 channel(s), resampled: it does not offer 11025 Hz")
    assert source.sample_rate_hz == 16000


def test_a_channel_that_the_device_lacks_is_refused(virtual_microphone):
    with pytest.raises(SourceError, match="channel"):
        MicrophoneSource("corner", device="street", channels=0, channel=3).open()
