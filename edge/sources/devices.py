"""The microphones of this machine, and the choice of one by its name. Standard library only."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import edge
from edge.errors import SourceError
from edge.sources.sound_card import is_direct_name

CAPTURE_COMMAND = (sys.executable or "python3", "-m", "edge.sources.capture")
INSTALL_HINT = "sudo apt-get install portaudio19-dev, then pip install pyaudio"
_CARD_NUMBER = re.compile(r"\s*\(hw:\d+,\d+\)\s*\Z")
# Of a card itself, best first. A level needs what lies below 20 kHz, and 48 kHz hold all of it; more would bring the
# resonance of the microphone and the noise of the converter, which no weighting but its own end keeps out.
_WHOLE_BAND_RATES_HZ = (48000, 44100, 88200, 96000, 176400, 192000)
_LESSER_RATES_HZ = (32000, 24000, 22050, 16000, 11025, 8000)
_LIST_TIMEOUT_S = 20.0  # PortAudio tries every ALSA device; a Jetson takes seconds


class DeviceInfo(NamedTuple):
    """One device that can record."""

    index: int  # type: ignore[assignment]  # PortAudio's; changes with every device that comes; hides tuple.index
    name: str
    channels: int
    sample_rate_hz: int  # its own rate
    host_api: str
    is_default: bool


class DeviceMissingError(SourceError):
    """No device has that name now. It may be plugged in later."""


class DeviceAmbiguousError(SourceError):
    """Several devices have that in their names. Waiting does not help."""


def list_devices(command: Sequence[str] = CAPTURE_COMMAND) -> List[DeviceInfo]:
    """Every device that can record, as PortAudio sees them now, asked in a process of its own.

    Raises:
        SourceError: PortAudio is not installed, crashes or hangs.
    """
    listing = _ask_child(list(command) + ["--list"])
    if "message" in listing:
        raise SourceError(str(listing["message"]))
    return [DeviceInfo(**device) for device in listing["devices"]]  # type: ignore


def has_portaudio() -> Optional[str]:
    """None where PyAudio and PortAudio work; otherwise one line that says why not and what to install."""
    try:
        list_devices()
    except SourceError as error:
        return str(error)
    return None


def sound_cards() -> str:
    """What the kernel says of its sound devices, for comparing: it changes whenever one is plugged in or taken out."""
    try:
        with open("/proc/asound/cards") as cards:
            return cards.read() + " ".join(sorted(os.listdir("/dev/snd")))
    except OSError:
        return ""


def choose_device(devices: Sequence[DeviceInfo], name: str) -> DeviceInfo:
    """The one device whose name is, or else contains, `name`, upper and lower case alike; the default for "".

    A whole name with its card number, "USB Audio (hw:1,0)", also fits the only device that differs by that number.

    Raises:
        DeviceMissingError: none does; lists what there is.
        DeviceAmbiguousError: several contain it and none is called exactly that.
    """
    wanted = name.strip().lower()
    if not wanted:
        found = [device for device in devices if device.is_default]
    else:
        found = [device for device in devices if device.name.strip().lower() == wanted][:1]
        found = found or [device for device in devices if wanted in device.name.lower()]
        renumbered = _CARD_NUMBER.sub("", wanted)  # ALSA counts cards anew at each start and at each plug
        if not found and renumbered != wanted:
            found = [device for device in devices if _CARD_NUMBER.sub("", device.name.lower()) == renumbered]
    if not found:
        raise DeviceMissingError(
            "%s; there is: %s"
            % ("no microphone is called %r" % name if wanted else "there is no default microphone", _names_of(devices))
        )
    if len(found) > 1:
        raise DeviceAmbiguousError(
            "%r is in the names of %d microphones: %s; write one whole name" % (name, len(found), _names_of(found))
        )
    return found[0]


def rates_to_try(device: DeviceInfo, wanted_hz: int = 0, preferred_hz: int = 0) -> List[int]:
    """Rates to open a device with, best first, each once.

    A card itself takes only rates that it has, so the first one taken is its best. What converts rates takes any, and
    what it offers for its own comes nearest to the truth.

    Args:
        wanted_hz: by the configuration; 0: none.
        preferred_hz: as before, so that the count of samples stays in one rate; 0: none.
    """
    own_hz = (device.sample_rate_hz,)
    best_hz = _WHOLE_BAND_RATES_HZ + own_hz if is_direct_name(device.name) else own_hz + _WHOLE_BAND_RATES_HZ
    rates_hz: List[int] = []
    for rate_hz in (wanted_hz, preferred_hz) + best_hz + _LESSER_RATES_HZ:
        if rate_hz and rate_hz not in rates_hz:
            rates_hz.append(rate_hz)
    return rates_hz


def child_environment() -> Dict[str, str]:
    """The environment in which a child finds this very `edge`, from a wheel and from the tree alike."""
    environment = dict(os.environ, JACK_NO_START_SERVER="1")  # PortAudio's JACK part would start a server
    root = Path(edge.__file__).resolve().parent.parent
    if root.name not in ("site-packages", "dist-packages"):  # these are on the path anyway, after the standard library
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(root) + (os.pathsep + inherited if inherited else "")
    return environment


def _names_of(devices: Sequence[DeviceInfo]) -> str:
    return ", ".join("%r" % device.name for device in devices) or "none that records; plug one in, and see arecord -l"


def _ask_child(command: List[str]) -> Dict[str, object]:
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        cwd="/",
    )
    try:
        answer, _ = child.communicate(timeout=_LIST_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise SourceError(
            "PortAudio did not list the microphones within %.0f s; unplug the one that hangs, or reboot"
            % _LIST_TIMEOUT_S
        ) from None
    try:
        listing = json.loads(answer.decode("utf-8"))
    except ValueError:
        raise SourceError(
            "PortAudio crashed while it listed the microphones (exit status %d); "
            "see what arecord -l says, and ~/.asoundrc" % child.returncode
        ) from None
    return dict(listing)
