"""The sound card behind a stream that this process has open, as the kernel tells it. Standard library only.

PortAudio knows a device's name alone, and ALSA may put resampling, mixing and volumes behind a name. Which card's
capture device a process really holds, and in which format that runs, stands in /proc/asound; what is on USB, in sysfs.

Source: Linux, sound/core/pcm.c (status, hw_params), sound/usb/card.c, Documentation/ABI/stable/sysfs-bus-usb.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple, Optional

from edge.sources.hardware import Card, printable
from edge.sources.holders import capture_devices, fields_of, owner_of, text_of

_LEVELS_ABOVE = 4  # from a card's interface up to the USB device that it belongs to
_DIRECT_NAME = re.compile(r"\(hw:\d+,\d+\)\s*\Z")  # a card itself; other names are of ALSA's configuration


class HeldStream(NamedTuple):
    """A capture device of a card that a process has open, and how it runs."""

    card_number: int
    card: Card
    sample_format: str  # "S16_LE"
    sample_rate_hz: int
    channels: int


def find_held_stream(process: int, *, proc: str = "/proc", sys: str = "/sys") -> Optional[HeldStream]:
    """The capture device that the process holds; None where it holds none, or the kernel does not tell."""
    for one in capture_devices(Path(proc)):
        for status in sorted(one.folder.glob("sub[0-9]*/status")):
            if owner_of(status) != process:
                continue
            running = fields_of(text_of(status.with_name("hw_params")))
            try:
                rate_hz, channels = int(running["rate"].split()[0]), int(running["channels"])
                sample_format = running["format"]
            except (KeyError, ValueError, IndexError):
                continue  # closed meanwhile
            card = _card_of(Path(sys), one.card, one.card_name, one.device)
            return HeldStream(one.card, card, sample_format, rate_hz, channels)
    return None


def is_direct_name(name: str) -> bool:
    """Whether PortAudio means the card itself by this name."""
    return bool(_DIRECT_NAME.search(name)) and os.environ.get("PA_ALSA_PLUGHW", "0") in ("", "0")


def _card_of(sys: Path, number: int, name: str, pcm_device: int) -> Card:
    folder = Path(os.path.realpath(str(sys / "class" / "sound" / ("card%d" % number) / "device")))
    for above in [folder] + list(folder.parents)[:_LEVELS_ABOVE]:
        vendor_id, product_id, serial, product = [
            printable(text_of(above / file).strip()) for file in ("idVendor", "idProduct", "serial", "product")
        ]
        if vendor_id:
            return Card(product or printable(name), vendor_id, product_id, serial, above.name, pcm_device)
    return Card(printable(name), pcm_device=pcm_device)
