"""Why a microphone that is plugged in seems not to be there."""

import functools
import os

import pytest

from edge.check import run_checks
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


@pytest.mark.parametrize(
    ("command", "ok", "expected"),
    [
        (
            "/opt/soundclr-edge/current/bin/python\0-m\0edge.sources.capture\0--device\0usb\0",
            True,
            "open in the running",
        ),
        ("arecord\0-D\0hw:1,0\0", False, "in use by arecord (process 1234); stop it"),
        (None, False, "no microphone is called 'usb pnp'"),  # not there at all
    ],
)
def test_check_knows_the_microphone_that_the_running_node_holds(machine, monkeypatch, command, ok, expected):
    """PortAudio leaves a device in use out of its list: a healthy node would seem to have none."""
    if command is None:
        (machine / "proc" / "asound" / "cards").write_text("")
        (machine / "proc" / "asound" / "card1" / "pcm0c" / "info").unlink()
    else:
        (machine / "proc" / "asound" / "card1" / "pcm0c" / "sub0" / "status").write_text(RUNNING)
        (machine / "proc" / "1234" / "cmdline").write_text(command)
    look = functools.partial(find_obstacle, proc=str(machine / "proc"), dev=str(machine / "dev"))
    monkeypatch.setattr("edge.check.find_obstacle", look)
    monkeypatch.setattr("edge.check.list_devices", list)
    config = machine / "node.toml"
    config.write_text(
        '[node]\nname = "here"\n[mqtt]\nport = 1\n[[source]]\nname = "mic"\ntype = "microphone"\ndevice = "usb pnp"\n'
    )
    (result,) = [one for one in run_checks(config) if one.name == "source mic"]
    assert result.ok is ok and expected in result.detail


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
