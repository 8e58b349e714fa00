"""A virtual microphone: real ALSA, real PortAudio, samples that the test knows, faults on command."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator  # noqa: UP035 - Python 3.6 imports this too, through conftest

import numpy as np
import pytest

_SOURCE = Path(__file__).with_name("pcm_vmic.c")


class VirtualMicrophone:
    """A microphone called `street_vmic` for every process started with this HOME."""

    name = "street_vmic"
    sample_rate_hz = 16000

    def __init__(self, home: Path, plugin: Path) -> None:
        self._home, self._plugin = home, plugin
        self._control = home / "control"
        # every 16-bit value once, in an order where no two stretches are alike: any loss or repetition shows
        self.samples = np.random.RandomState(7).permutation(np.arange(-32768, 32768)).astype("<i2")
        (home / "audio.raw").write_bytes(self.samples.tobytes())
        self.run()
        self.plug_in()

    def plug_in(self, *, cards_before: int = 0) -> None:
        """Be among the machine's devices, after so many others."""
        plugs = [f"other_{number}" for number in range(cards_before)] + [self.name]
        self._write_devices(
            "".join(
                f'pcm.{plug} {{ type vmic  file "{self._home}/audio.raw"  ctl_file "{self._control}"'
                f'  rate {self.sample_rate_hz}  lock "{self._home}/{plug}.lock" }}\n'
                for plug in plugs
            )
        )

    def unplug(self) -> None:
        """Be no device of this machine."""
        self._write_devices("")

    def _write_devices(self, devices: str) -> None:
        temporary = self._home / "asoundrc.new"
        temporary.write_text(f'pcm_type.vmic {{ lib "{self._plugin}" }}\n{devices}')
        os.replace(str(temporary), str(self._home / ".asoundrc"))

    def run(self) -> None:
        """Be a microphone that works, from the next open where it was gone."""
        self._command("")

    def stall(self) -> None:
        """Give no sample any more, and no error."""
        self._command("stall")

    def vanish(self) -> None:
        """Be unplugged."""
        self._command("gone")

    def overrun(self) -> None:
        """Lose sound once, and say so."""
        self._command("")
        self._command("xrun")

    def mute(self) -> None:
        """Give nothing but zeros."""
        self._command("zero")

    def stick(self) -> None:
        """Give the same tenth of a second round and round."""
        self._command("repeat")

    def hurry(self) -> None:
        """Give 5 % more samples than promised."""
        self._command("fast")

    def leak(self) -> None:
        """Lose a tenth of all sound without a word."""
        self._command("lossy")

    def _command(self, word: str) -> None:
        temporary = self._control.with_suffix(".new")
        temporary.write_text(word)
        os.replace(str(temporary), str(self._control))


@pytest.fixture(scope="session")
def vmic_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled ALSA plugin."""
    if not shutil.which("gcc") or not Path("/usr/include/alsa/asoundlib.h").exists():
        pytest.skip("needs gcc and libasound2-dev for the virtual microphone")
    plugin = tmp_path_factory.mktemp("vmic") / "libasound_module_pcm_vmic.so"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-DPIC", "-o", str(plugin), str(_SOURCE), "-lasound"],
        check=True,
    )
    return plugin


@pytest.fixture
def virtual_microphone(
    vmic_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[VirtualMicrophone]:
    """A working virtual microphone in a HOME of its own."""
    if not any(Path(folder).glob("libportaudio.so*") for folder in _library_folders()):
        pytest.skip("needs portaudio19-dev")
    microphone = VirtualMicrophone(tmp_path, vmic_plugin)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield microphone
    microphone.run()


def _library_folders() -> Iterator[str]:
    yield from ("/usr/lib", "/usr/local/lib", "/usr/lib64")
    for folder in Path("/usr/lib").glob("*-linux-gnu*"):
        yield str(folder)
