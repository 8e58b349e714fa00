"""A virtual sound card: a virtual microphone with controls of its own, as the kernel would tell of a card on USB."""

import os
import subprocess
from pathlib import Path
from typing import Mapping, Sequence  # noqa: UP035 - Python 3.6 imports this too, through conftest

import numpy as np
import pytest

from edge.sources import devices

_SOURCE = Path(__file__).with_name("ctl_vmixer.c")
CONTROLS = """Mic Capture Volume|integer|0|16|rw|8,8
Mic Capture Switch|boolean|0|1|rw|1
Mic Playback Volume|integer|0|31|rw|20
Auto Gain Control|boolean|0|1|rw|0
"""


class VirtualCard:
    """A card called `street_card`, whose sound, controls and identity the test decides.

    ALSA's own word for a card, `hw`, means this one for every process with this HOME; /proc and /sys are folders.
    """

    name = "street_card"
    sample_rate_hz = 48000

    def __init__(self, home: Path, pcm_plugin: Path, control_plugin: Path) -> None:
        self.home, self._control_plugin = home, control_plugin
        self.proc, self.sys, self._mixer = home / "proc", home / "sys", home / "mixer"
        self._pcm_plugin = pcm_plugin
        self._stream = self.proc / "asound" / "card7" / "pcm0c"
        (self._stream / "sub0").mkdir(parents=True)
        (self.proc / "asound" / "cards").write_text(" 7 [street_card    ]: USB-Audio - USB Microphone\n")
        (self._stream / "info").write_text("card: 7\ndevice: 0\nname: USB Audio\n")
        self.be_device(serial="A1")
        self.set_controls(CONTROLS)
        self.play(tone(94.0 - 120.0))
        self.define("hw")

    def define(self, pcm_type: str) -> None:
        """What ALSA's configuration says of the name; "hw" is the card itself."""
        card = (
            f'type hw  file "{self.home}/audio.raw"  ctl_file "{self.home}/control"  rate {self.sample_rate_hz}'
            f'  proc "{self._stream}/sub0"  lock "{self.home}/card.lock"'
        )
        slave = card if pcm_type == "hw" else "type %s  slave.pcm { %s }" % (pcm_type, card)
        (self.home / ".asoundrc").write_text(
            f'pcm_type.hw {{ lib "{self._pcm_plugin}"  open "_snd_pcm_vmic_open" }}\n'
            f'ctl_type.vmixer {{ lib "{self._control_plugin}" }}\n'
            f'ctl.!hw {{ @args [ CARD ]  @args.CARD {{ type string default "0" }}'
            f'  type vmixer  file "{self._mixer}" }}\n'
            f"pcm.{self.name} {{ {slave} }}\n"
        )

    def be_device(self, *, serial: str, port: str = "1-2.1") -> None:
        """Be this one on USB."""
        usb = self.sys / "devices" / "usb1" / port
        interface = usb / (port + ":1.0")
        interface.mkdir(parents=True, exist_ok=True)
        for name, text in (("idVendor", "0d8c"), ("idProduct", "0014"), ("product", "USB Microphone")):
            (usb / name).write_text(text + "\n")
        (usb / "serial").write_text(serial + "\n")
        card = self.sys / "class" / "sound" / "card7"
        card.mkdir(parents=True, exist_ok=True)
        if (card / "device").is_symlink():
            (card / "device").unlink()
        (card / "device").symlink_to(interface)

    def set_controls(self, text: str) -> None:
        """All controls anew, behind everybody's back."""
        temporary = self.home / "mixer.new"
        temporary.write_text(text)
        os.replace(str(temporary), str(self._mixer))

    def turn(self, name: str, values: str) -> None:
        """One control, behind everybody's back."""
        lines = self._mixer.read_text().splitlines()
        changed = [line.rpartition("|")[0] + "|" + values if line.startswith(name + "|") else line for line in lines]
        assert changed != lines
        self.set_controls("\n".join(changed) + "\n")

    def controls(self) -> Mapping[str, str]:
        """As they are now."""
        lines = self._mixer.read_text().splitlines()
        return {line.split("|")[0]: line.split("|")[-1] for line in lines}

    def status(self) -> str:
        """What the kernel says of who has it open."""
        try:
            return (self._stream / "sub0" / "status").read_text()
        except OSError:
            return ""

    def play(self, samples: np.ndarray) -> None:
        """Hear these round and round, from the next opening on; [T] in -1 to 1, beyond which they are clipped."""
        pcm = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2")
        temporary = self.home / "audio.new"
        temporary.write_bytes(pcm.tobytes())
        os.replace(str(temporary), str(self.home / "audio.raw"))

    @property
    def capture_command(self) -> Sequence[str]:
        """The capture child that knows the card from the folders."""
        return devices.CAPTURE_COMMAND + ("--proc=%s" % self.proc, "--sys=%s" % self.sys)


def tone(
    level_dbfs: float, seconds: float = 20.0, *, frequency_hz: float = 1000.0, sample_rate_hz: int = 48000
) -> np.ndarray:
    """A tone with a little noise, 70 dB below it: what a calibrator gives; no two seconds are alike."""
    times_s = np.arange(int(seconds * sample_rate_hz)) / sample_rate_hz
    rms = 10 ** (level_dbfs / 20)
    noise = np.random.RandomState(1).normal(0, rms * 10 ** (-70 / 20.0), len(times_s))
    return np.asarray(rms * np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * times_s) + noise)


@pytest.fixture(scope="session")
def control_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled ALSA plugin."""
    plugin = tmp_path_factory.mktemp("vmixer") / "libasound_module_ctl_vmixer.so"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-DPIC", "-o", str(plugin), str(_SOURCE), "-lasound"],
        check=True,
    )
    return plugin


@pytest.fixture
def virtual_card(
    vmic_plugin: Path, control_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> VirtualCard:
    """A virtual sound card in a HOME of its own, which this process's children find in folders of the test's."""
    card = VirtualCard(tmp_path, vmic_plugin, control_plugin)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(devices, "CAPTURE_COMMAND", card.capture_command)
    return card
