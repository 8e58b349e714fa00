"""Which controls regulate gain by themselves, and how they are switched off."""

import pytest

from edge.calibration.gain_control import unwanted_of
from edge.sources.hardware import Control


def _control(name, kind="boolean", values=(1,), items=(), maximum=0):
    return Control(name, 0, 0, 0, kind, 0, maximum, items, values)


@pytest.mark.parametrize(
    ("control", "off"),
    [
        (_control("Auto Gain Control"), (0,)),
        (_control("Mic Auto Gain Control", values=(1, 1)), (0, 0)),
        (_control("Mic AGC Capture Switch"), (0,)),
        (_control("Automatic Level Control"), (0,)),
        (_control("Noise Suppression"), (0,)),
        (_control("Mic Boost"), (0,)),
        (_control("Mic Boost Volume", "integer", (3, 3), maximum=3), (0, 0)),
        (_control("Internal Mic Boost", "enumerated", (2,), ("0dB", "10dB", "20dB")), (0,)),
        (_control("ALC Function", "enumerated", (3,), ("Left", "Right", "Off", "Stereo")), (2,)),
        (_control("AGC Mode", "enumerated", (1,), ("slow", "fast")), ()),
    ],
)
def test_what_is_on_is_found_with_what_switches_it_off(control, off):
    found = unwanted_of([_control("Mic Capture Switch"), control])
    assert [(one.control, one.off) for one in found] == [(control, off)]


@pytest.mark.parametrize(
    "control",
    [
        _control("Auto Gain Control", values=(0,)),
        _control("Mic Boost", "integer", (0,), maximum=3),
        _control("Mic Capture Volume", "integer", (7,), maximum=16),
        _control("Capture Source", "enumerated", (1,), ("Mic", "Line")),
        _control("ALC Capture Hold Time", "integer", (7,), maximum=15),
        _control("ALC Function", "enumerated", (0,), ("Off", "Stereo")),
        _control("Channel Balance", "integer", (5,), maximum=10),
    ],
)
def test_what_is_off_or_regulates_nothing_is_left_alone(control):
    assert unwanted_of([control]) == []
