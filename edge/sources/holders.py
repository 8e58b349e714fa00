"""Who has a microphone that PortAudio does not list or does not open. Standard library only.

PortAudio leaves out every device that it cannot open when it looks: one that another program has, or that this user
may not open, seems not to be there. The kernel knows better.

Source: Linux, sound/core/pcm.c (/proc/asound/card*/pcm*c/sub*/status) and sound/core/init.c (/proc/asound/cards).
"""

import os
import re
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional

_CARD = re.compile(r"^\s*(\d+) \[([^\]]*)\]: \S+ - (.*)$", re.MULTILINE)
_CAPTURE_MODULE = "edge.sources.capture"
_OWNER = re.compile(r"^owner_pid\s*: (\d+)", re.MULTILINE)


class Obstacle(NamedTuple):
    """Why one device cannot be had."""

    device: str  # its name as PortAudio would say it
    holder: str  # "arecord (process 1234)"; "" where nobody has it and this user may not open it
    node: str  # /dev/snd/pcmC1D0c
    is_ours: bool = False  # the holder is a street-sound node's own capture

    def describe(self) -> str:
        """One line: what is in the way, and what to do."""
        if self.holder:
            return "the microphone %r is in use by %s; stop it, or let it have another device" % (
                self.device,
                self.holder,
            )
        return "the microphone %r is there, and this user may not open %s; add the user to its group" % (
            self.device,
            self.node,
        )


def find_obstacle(wanted: str, *, proc: str = "/proc", dev: str = "/dev/snd") -> Optional[Obstacle]:
    """The first device with `wanted` in its name that another program has, or that this user may not open.

    A name of ~/.asoundrc is not known here, unless it is the card's id, as in the one that ships with the node.
    """
    wanted = wanted.strip().lower()
    for one in capture_devices(Path(proc)):
        if wanted not in one.name.lower() and wanted != one.card_id.lower():
            continue
        node = os.path.join(dev, "pcmC%dD%dc" % (one.card, one.device))
        holder = _find_holder(one.folder)
        if holder is not None:
            command = text_of(Path(proc) / str(holder) / "comm").strip()
            is_ours = _CAPTURE_MODULE in text_of(Path(proc) / str(holder) / "cmdline").split("\0")
            return Obstacle(one.name, "%s (process %d)" % (command or "a program", holder), node, is_ours)
        if os.path.exists(node) and not os.access(node, os.R_OK | os.W_OK):
            return Obstacle(one.name, "", node)
    return None


class CaptureDevice(NamedTuple):
    """One device that the kernel could record from."""

    folder: Path  # in /proc
    name: str  # as PortAudio would say it
    card_name: str
    card_id: str
    card: int
    device: int


def capture_devices(proc: Path) -> Iterator[CaptureDevice]:
    """Everything that the kernel could record from."""
    found = _CARD.findall(text_of(proc / "asound" / "cards"))
    cards = {int(number): (card_id.strip(), name.strip()) for number, card_id, name in found}
    for folder in sorted(proc.glob("asound/card[0-9]*/pcm[0-9]*c")):
        about = fields_of(text_of(folder / "info"))
        try:
            card, device = int(about["card"]), int(about["device"])
        except (KeyError, ValueError):
            continue  # it went while we looked
        card_id, card_name = cards.get(card, ("", "card %d" % card))
        name = "%s: %s (hw:%d,%d)" % (card_name, about.get("name", ""), card, device)
        yield CaptureDevice(folder, name, card_name, card_id, card, device)


def owner_of(status: Path) -> Optional[int]:
    """The process that has a device open, from the device's `status`; None where none has."""
    owner = _OWNER.search(text_of(status))
    return int(owner.group(1)) if owner else None


def fields_of(text: str) -> Dict[str, str]:
    """Lines of "key: value"."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def text_of(path: Path) -> str:
    """A small file's text; "" where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _find_holder(folder: Path) -> Optional[int]:
    owners = (owner_of(status) for status in sorted(folder.glob("sub[0-9]*/status")))
    return next((owner for owner in owners if owner is not None), None)
