"""The card behind a stream, from what a kernel would write; controls that are to be put right."""

import os

import pytest

from edge.sources.hardware import AlsaError, Card, is_same_card
from edge.sources.settings import differing, read_settings, restore
from edge.sources.sound_card import find_held_stream, is_direct_name
from tests.edge.calibrators import AGC, HARDWARE, RECORD, SOURCE, SWITCH, VOLUME

HW_PARAMS = "access: MMAP_INTERLEAVED\nformat: S24_3LE\nsubformat: STD\nchannels: 2\nrate: 44100 (44100/1)\n"


@pytest.fixture
def kernel(tmp_path):
    """/proc and /sys of a machine whose card 1 is a microphone on USB, held by process 42."""
    stream = tmp_path / "proc" / "asound" / "card1" / "pcm0c"
    (stream / "sub0").mkdir(parents=True)
    (tmp_path / "proc" / "asound" / "cards").write_text(
        " 0 [tegra          ]: tegra-hda - tegra-hda\n 1 [streetmic      ]: USB-Audio - USB Audio Device\n"
    )
    (stream / "info").write_text("card: 1\ndevice: 0\nsubdevice: 0\nname: USB Audio\n")
    (stream / "sub0" / "status").write_text("state: RUNNING\nowner_pid   : 42\n")
    (stream / "sub0" / "hw_params").write_text(HW_PARAMS)
    usb = tmp_path / "sys" / "devices" / "usb1" / "1-2" / "1-2.1"
    (usb / "1-2.1:1.0" / "sound" / "card1").mkdir(parents=True)
    for name, text in (("idVendor", "0d8c"), ("idProduct", "0014"), ("product", "Microphone"), ("serial", "77")):
        (usb / name).write_text(text + "\n")
    (tmp_path / "sys" / "class" / "sound").mkdir(parents=True)
    card = usb / "1-2.1:1.0" / "sound" / "card1"
    os.symlink(str(usb / "1-2.1:1.0"), str(card / "device"))
    os.symlink(str(card), str(tmp_path / "sys" / "class" / "sound" / "card1"))
    return tmp_path


def _held(kernel, process=42):
    return find_held_stream(process, proc=str(kernel / "proc"), sys=str(kernel / "sys"))


def test_the_card_that_a_process_holds(kernel):
    held = _held(kernel)
    assert held.card == Card("Microphone", "0d8c", "0014", "77", "1-2.1", 0)
    assert (held.card_number, held.sample_format, held.sample_rate_hz, held.channels) == (1, "S24_3LE", 44100, 2)
    assert "serial 77" in held.card.describe()


def test_a_card_that_has_no_serial_number_or_is_not_on_usb_says_so(kernel):
    usb = kernel / "sys" / "devices" / "usb1" / "1-2" / "1-2.1"
    (usb / "serial").unlink()
    assert "without a serial number, at USB port 1-2.1" in _held(kernel).card.describe()
    (usb / "idVendor").unlink()
    assert _held(kernel).card == Card("USB Audio Device")
    assert "not on USB" in _held(kernel).card.describe()


def test_what_a_device_calls_itself_is_made_fit_to_be_shown(kernel):
    (kernel / "sys" / "devices" / "usb1" / "1-2" / "1-2.1" / "product").write_text("Mic\x1b[31m\x07")
    assert _held(kernel).card.name == "Mic?[31m?"


def test_what_another_process_holds_what_is_closed_and_a_kernel_that_tells_nothing(kernel, tmp_path):
    assert _held(kernel, 43) is None
    (kernel / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "hw_params").write_text("closed\n")
    assert _held(kernel) is None
    assert find_held_stream(42, proc=str(tmp_path / "none"), sys="/none") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Card("a", "1", "2", "s", "p"), Card("b", "1", "2", "s", "q"), True),
        (Card("a", "1", "2", "", "p"), Card("a", "1", "2", "", "p"), True),
        (Card("a", "1", "2", "", "p"), Card("a", "1", "2", "", "q"), False),
        (Card("a", "1", "2", "s"), Card("a", "1", "2", "t"), False),
        (Card("a"), Card("a"), True),
        (Card("a"), Card("b"), False),
        (Card("a"), None, False),
    ],
)
def test_two_microphones_are_the_same_as_far_as_anybody_can_tell(one, other, same):
    assert is_same_card(one, other) is same


def test_names_that_mean_a_card_itself(monkeypatch):
    assert is_direct_name("USB Audio Device: - (hw:1,0)")
    assert not any(map(is_direct_name, ["default", "pulse", "streetmic", "hw:1,0", "x (hw:1)"]))
    monkeypatch.setenv("PA_ALSA_PLUGHW", "1")
    assert not is_direct_name("USB Audio Device: - (hw:1,0)")


def test_controls_that_differ_are_written_and_those_that_refuse_are_left():
    now = [VOLUME._replace(values=(1, 1)), SWITCH._replace(values=(0,), is_writable=False), AGC, SOURCE]
    wrong = differing(now, HARDWARE.controls)
    assert [(is_now.name, shall_be.values) for is_now, shall_be in wrong] == [
        ("Mic Capture Volume", (8, 8)),
        ("Mic Capture Switch", (1,)),
    ]
    written = []
    done = restore(lambda control, values: written.append((control.name, values)), wrong)
    assert written == [("Mic Capture Volume", (8, 8))]
    assert [text for _, text in done] == ["'Mic Capture Volume' from 1 to 8"]

    def refuse(_control, _values):
        raise AlsaError("no")

    assert restore(refuse, wrong) == []


def test_settings_come_from_a_record_and_nothing_else(tmp_path):
    from edge.calibration.record import bytes_from_record

    path = tmp_path / "record.json"
    path.write_bytes(bytes_from_record(RECORD))
    assert read_settings(str(path)) == HARDWARE
    for content in (b"", b"{}", b"[1]", b'{"hardware": {}}', b"\xff", b"[" * 100000):
        path.write_bytes(content)
        assert read_settings(str(path)) is None
    assert read_settings(str(tmp_path / "none")) is None
