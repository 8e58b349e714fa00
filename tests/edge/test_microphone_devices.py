"""Choosing a microphone by its name, and a listing child that misbehaves."""

import sys

import pytest

from edge.errors import SourceError
from edge.sources.devices import (
    DeviceAmbiguousError,
    DeviceInfo,
    DeviceMissingError,
    choose_device,
    list_devices,
    rates_to_try,
)

DEVICES = [
    DeviceInfo(0, "HDA Intel PCH: ALC (hw:0,0)", 2, 48000, "ALSA", False),
    DeviceInfo(1, "USB Microphone: Audio (hw:1,0)", 1, 44100, "ALSA", False),
    DeviceInfo(2, "USB Microphone: Audio (hw:2,0)", 1, 44100, "ALSA", False),
    DeviceInfo(3, "pulse", 32, 44100, "ALSA", False),
    DeviceInfo(4, "pulse mirror", 2, 44100, "ALSA", True),
]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("hda", 0),
        ("HW:2,0", 2),
        ("pulse", 3),
        (" Pulse ", 3),
        ("mirror", 4),
        ("", 4),
    ],
)
def test_a_part_of_the_name_is_enough(name, index):
    assert choose_device(DEVICES, name).index == index


def test_several_that_fit_are_listed():
    with pytest.raises(DeviceAmbiguousError, match=r"'usb'.*2 microphones.*hw:1,0.*hw:2,0"):
        choose_device(DEVICES, "usb")


def test_none_that_fits_lists_what_there_is():
    with pytest.raises(DeviceMissingError, match=r"'Blue Yeti'.*HDA Intel.*pulse mirror"):
        choose_device(DEVICES, "Blue Yeti")


def test_no_default_is_said():
    with pytest.raises(DeviceMissingError, match="no default microphone; there is: 'HDA"):
        choose_device(DEVICES[:1], "")


def test_no_device_at_all_is_said():
    with pytest.raises(DeviceMissingError, match="none that records"):
        choose_device([], "usb")


@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("import os; os.abort()", "crashed"),
        ("print('ALSA lib', end='')", "crashed"),
        ('print(\'{"message": "PyAudio is not there; install it"}\')', "install it"),
    ],
)
def test_a_listing_that_fails_is_one_line(program, word):
    with pytest.raises(SourceError, match=word) as caught:
        list_devices([sys.executable, "-c", program])
    assert "\n" not in str(caught.value)


def test_without_pyaudio_the_child_says_what_to_install():
    program = "import sys; sys.modules['pyaudio'] = None\nfrom edge.sources import capture; capture.main(['--list'])"
    with pytest.raises(SourceError, match=r"sudo apt-get install portaudio19-dev.*pip install pyaudio"):
        list_devices([sys.executable, "-c", program])


@pytest.mark.parametrize(("name", "index"), [("USB Microphone: Audio (hw:5,0)", 1), ("usb microphone: audio", 1)])
def test_a_card_that_got_another_number_is_still_found(name, index):
    assert choose_device(DEVICES[:2], name).index == index


def test_a_card_number_that_fits_none_of_several_alike_is_not_guessed():
    with pytest.raises(DeviceAmbiguousError):
        choose_device(DEVICES, "USB Microphone: Audio (hw:5,0)")


def test_a_card_itself_is_opened_with_the_rate_that_is_best_for_levels():
    card = DeviceInfo(3, "USB Audio: - (hw:1,0)", 1, 44100, "ALSA", False)
    rates_hz = rates_to_try(card)
    assert rates_hz[:2] == [48000, 44100] and len(set(rates_hz)) == len(rates_hz)
    assert min(rates_hz[:6]) == 44100 and rates_hz[6:] == sorted(rates_hz[6:], reverse=True)  # no bandwidth given away
    assert rates_to_try(card._replace(sample_rate_hz=16000))[0] == 48000  # PortAudio's idea of its own rate is a guess


def test_what_converts_rates_is_opened_with_its_own():
    pulse = DeviceInfo(5, "pulse", 32, 44100, "ALSA", True)
    assert rates_to_try(pulse)[:2] == [44100, 48000]
    assert rates_to_try(pulse._replace(sample_rate_hz=16000))[0] == 16000  # more would be made up


def test_a_rate_that_was_asked_for_or_heard_before_comes_first():
    card = DeviceInfo(3, "USB Audio: - (hw:1,0)", 1, 44100, "ALSA", False)
    assert rates_to_try(card, wanted_hz=96000)[:3] == [96000, 48000, 44100]
    assert rates_to_try(card, preferred_hz=44100)[:3] == [44100, 48000, 88200]
    assert rates_to_try(card, 16000, 44100)[:3] == [16000, 44100, 48000]
