"""Why a microphone that is plugged in seems not to be there."""

import os

import pytest

from edge.sources.holders import find_obstacle

CARDS = """ 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xb1230000 irq 133
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-3f980000.usb-1.2, full speed
"""
INFO = "card: 1\ndevice: 0\nsubdevice: 0\nstream: CAPTURE\nid: USB Audio\nname: USB Audio\nsubname: subdevice #0\n"
RUNNING = "state: RUNNING\nowner_pid   : 1234\ntrigger_time: 5150.123\ntstamp      : 0.000\ndelay       : 512\n"


@pytest.fixture
def machine(tmp_path):
    """A machine with one USB microphone: its /proc and its /dev/snd."""
    substream = tmp_path / "proc" / "asound" / "card1" / "pcm0c" / "sub0"
    substream.mkdir(parents=True)
    (tmp_path / "proc" / "asound" / "card1" / "pcm0p").mkdir()
    (tmp_path / "proc" / "asound" / "cards").write_text(CARDS)
    (substream.parent / "info").write_text(INFO)
    (substream / "status").write_text("closed\n")
    (tmp_path / "proc" / "1234").mkdir()
    (tmp_path / "proc" / "1234" / "comm").write_text("arecord\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "pcmC1D0c").write_text("")
    return tmp_path


def obstacle_on(machine, wanted="usb pnp"):
    return find_obstacle(wanted, proc=str(machine / "proc"), dev=str(machine / "dev"))


def test_a_device_that_nobody_has_is_no_obstacle(machine):
    assert obstacle_on(machine) is None


@pytest.mark.parametrize("wanted", ["", "usb", "USB PnP Sound Device: USB Audio (hw:1,0)", " Sound device "])
def test_who_has_it_is_named(machine, wanted):
    (machine / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "status").write_text(RUNNING)
    obstacle = obstacle_on(machine, wanted)
    assert obstacle.device == "USB PnP Sound Device: USB Audio (hw:1,0)"
    assert obstacle.holder == "arecord (process 1234)"


def test_a_card_is_known_by_the_id_that_the_udev_rule_gives_it(machine):
    (machine / "proc" / "asound" / "cards").write_text(CARDS.replace("[Device   ", "[streetmic"))
    (machine / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "status").write_text(RUNNING)
    assert obstacle_on(machine, "streetmic").holder == "arecord (process 1234)"
    assert obstacle_on(machine, "street") is None


def test_a_process_that_hides_its_name_is_named_by_its_number(machine):
    (machine / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "status").write_text(RUNNING.replace("1234", "77"))
    assert obstacle_on(machine).holder == "a program (process 77)"


def test_another_device_is_not_our_trouble(machine):
    (machine / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "status").write_text(RUNNING)
    assert obstacle_on(machine, "Blue Yeti") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_device_that_this_user_may_not_open_is_named(machine):
    (machine / "dev" / "pcmC1D0c").chmod(0)
    obstacle = obstacle_on(machine)
    assert (obstacle.holder, obstacle.node) == ("", str(machine / "dev" / "pcmC1D0c"))


@pytest.mark.parametrize("info", ["", "card: x\n", "nonsense"])
def test_a_kernel_that_says_nothing_of_use_is_no_obstacle(machine, info):
    (machine / "proc" / "asound" / "card1" / "pcm0c" / "info").write_text(info)
    assert obstacle_on(machine) is None
    assert find_obstacle("usb", proc=str(machine / "nowhere")) is None
