"""Faults of a microphone through real ALSA, PortAudio and PyAudio: named, counted, and over soon after their cause."""

import os
import time
from pathlib import Path

import pytest

from edge.sources import faults
from edge.sources.devices import CAPTURE_COMMAND
from edge.sources.microphone import MicrophoneSource

pytestmark = pytest.mark.system

_RETURN_S = 10.0  # from the device's return to its sound
_GUARD_S = 90.0  # hang guard; other work on this machine may take most of its time


@pytest.fixture
def source(virtual_microphone):
    microphone = MicrophoneSource("corner", device="street_v")
    yield microphone
    microphone.close()


def _read_until(source, condition, guard_s=_GUARD_S):
    """Read until condition holds; the blocks that came."""
    blocks, deadline_s = [], time.monotonic() + guard_s
    while not condition():
        assert time.monotonic() < deadline_s, f"it did not happen within {guard_s:.0f} s; {source.fault}"
        block = source.read(0.1)
        if block is not None:
            blocks.append(block)
    return blocks


def _has_fault(source, code):
    return lambda: source.fault is not None and source.fault.code == code


def _is_online(source):
    return lambda: source.status == "online"


@pytest.mark.parametrize(
    ("spoil", "code", "reason"),
    [
        ("stall", faults.STALL, "stall"),
        ("vanish", faults.MISSING, "device_lost"),
        ("unplug_and_stall", faults.MISSING, "device_lost"),
        ("stick", faults.STUCK, faults.STUCK),
        pytest.param("mute", faults.MUTED, faults.MUTED, marks=pytest.mark.slow),
        pytest.param("hurry", faults.DRIFT, faults.DRIFT, marks=pytest.mark.slow),
        pytest.param("leak", faults.DRIFT, faults.DRIFT, marks=pytest.mark.slow),
    ],
)
def test_a_fault_is_named_and_over_within_seconds_of_the_device_s_return(
    virtual_microphone, source, record_property, spoil, code, reason
):
    source.open()
    _read_until(source, _is_online(source))
    for step in {"unplug_and_stall": ("unplug", "stall")}.get(spoil, (spoil,)):
        getattr(virtual_microphone, step)()
    _read_until(source, _has_fault(source, code))
    assert source.status == "offline"
    counters = dict(source.counters)
    virtual_microphone.run()
    virtual_microphone.plug_in()
    returned_s = time.monotonic()
    blocks = _read_until(source, _is_online(source))
    took_s = time.monotonic() - returned_s
    record_property("recovered_after_s", round(took_s, 2))
    block = next((block for block in blocks if block.gap is not None), None) or source.read(5.0)
    assert block.gap is not None and block.gap.reason == reason
    assert source.fault is None
    assert took_s < _RETURN_S
    assert all(source.counters[name] >= count for name, count in counters.items())


def test_a_device_that_got_another_number_is_found_by_its_name(virtual_microphone, source):
    source.open()
    before = _read_until(source, lambda: source.status == "online")
    virtual_microphone.vanish()
    _read_until(source, _has_fault(source, faults.MISSING))
    virtual_microphone.plug_in(cards_before=3)
    virtual_microphone.run()
    _read_until(source, _is_online(source))
    assert "street_vmic" in source.describe()
    assert before is not None


def test_a_microphone_that_is_plugged_in_after_the_start_is_heard(virtual_microphone, source):
    virtual_microphone.unplug()
    source.open()
    _read_until(source, _has_fault(source, faults.MISSING))
    virtual_microphone.plug_in()
    plugged_s = time.monotonic()
    _read_until(source, _is_online(source))
    assert time.monotonic() - plugged_s < _RETURN_S
    assert source.counters["lost_samples"] == 0  # nothing was heard before, nothing is missing


def test_of_two_daemons_on_one_device_the_second_says_who_has_it_and_takes_over(virtual_microphone, source, tmp_path):
    """PortAudio leaves a device that is taken out of its list. The kernel's account of it is made up here, with true
    process numbers: the virtual device has no entry in /proc/asound."""
    source.open()
    _read_until(source, _is_online(source))
    second = MicrophoneSource(
        "second", device="street_v", command=[*CAPTURE_COMMAND, f"--proc={_proc_that_tells(tmp_path, source)}"]
    )
    with second:
        assert second.fault.code == faults.BUSY
        assert f"'street_vmic: virtual (hw:7,0)' is in use by capture (process {source._process.pid})" in (
            second.fault.message
        )
        assert second.status == "offline"
        source.close()
        (tmp_path / "proc/asound/card7/pcm0c/sub0/status").write_text("closed\n")
        _read_until(second, _is_online(second))


def _proc_that_tells(folder, source) -> Path:
    proc = folder / "proc"
    substream = proc / "asound/card7/pcm0c/sub0"
    substream.mkdir(parents=True)
    (proc / "asound/cards").write_text(" 7 [vmic           ]: vmic - street_vmic\n")
    (substream.parent / "info").write_text("card: 7\ndevice: 0\nname: virtual\n")
    (substream / "status").write_text(f"state: RUNNING\nowner_pid   : {source._process.pid}\n")
    (proc / str(source._process.pid)).mkdir()
    (proc / str(source._process.pid) / "comm").write_text("capture\n")
    return proc


def test_a_device_that_is_gone_floods_no_log_and_burns_no_processor(virtual_microphone, source, caplog):
    caplog.set_level("DEBUG")
    source.open()
    _read_until(source, _is_online(source))
    virtual_microphone.vanish()
    _read_until(source, _has_fault(source, faults.STALL))  # PortAudio spins, and says nothing of it
    started_s, used_s = time.monotonic(), _cpu_s()
    _read_until(source, lambda: time.monotonic() - started_s > 10.0)
    assert source.fault.code == faults.MISSING
    assert len(caplog.records) < 100
    assert (_cpu_s() - used_s) / (time.monotonic() - started_s) < 0.6  # new starts every 5 s, each some tenths


def _cpu_s():
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
