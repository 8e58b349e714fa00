"""What a microphone's sound comes through: its card, the card's stream and its controls. Standard library only.

The capture child finds it out and tells it to its parent; a calibration is bound to it and keeps it in a file.
"""

import json
import math
import reprlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

_MAX_CONTROLS = 4096  # a Jetson's own card has about two thousand
_MAX_VALUES = 1024  # of one control
_MAX_CHARACTERS = 512
_KINDS = ("boolean", "integer", "enumerated", "integer64", "bytes")


class HardwareError(ValueError):
    """What was read describes no hardware."""


class AlsaError(Exception):
    """ALSA refuses; the message says what."""


class Card(NamedTuple):
    """What tells one microphone from another."""

    name: str  # for people
    vendor_id: str = ""  # USB's, four hexadecimal digits; "" where it is not on USB
    product_id: str = ""
    serial: str = ""  # "" where it has none, as most cheap ones
    port: str = ""  # on USB, "1-2.1"
    pcm_device: int = 0  # of the card's capture devices

    def describe(self) -> str:
        """For people."""
        if not self.vendor_id:
            return "%r, not on USB, without a serial number" % self.name
        serial = "serial %s" % self.serial if self.serial else "without a serial number, at USB port %s" % self.port
        return "%r (USB %s:%s, %s)" % (self.name, self.vendor_id, self.product_id, serial)


def is_same_card(one: Optional[Card], other: Optional[Card]) -> bool:
    """Whether it is the same microphone, as far as anybody can tell: without a serial number its USB port counts."""
    if one is None or other is None:
        return False
    kinds = [(card.vendor_id, card.product_id, card.serial, card.pcm_device) for card in (one, other)]
    if kinds[0] != kinds[1]:
        return False
    return bool(one.serial) or (one.port == other.port if one.vendor_id else one.name == other.name)


class Control(NamedTuple):
    """One of a card's controls that is not for playback alone."""

    name: str
    index: int  # type: ignore[assignment]  # tells controls of one name apart; hides tuple.index
    device: int
    subdevice: int
    kind: str  # "boolean", "integer", "enumerated", "integer64", "bytes"
    minimum: int  # of integers; of the others 0
    maximum: int
    items: Tuple[str, ...]  # what an enumerated one may be
    values: Tuple[int, ...]  # one for each channel; of an enumerated one the item's place
    is_writable: bool = True

    @property
    def key(self) -> Tuple[str, int, int, int]:
        """What it is called by."""
        return self.name, self.index, self.device, self.subdevice

    @property
    def label(self) -> str:
        """Its name for people."""
        return repr(self.name) + (" %d" % self.index if self.index else "")

    def shown(self) -> str:
        """Its values for people."""
        if self.kind == "boolean":
            texts = ["on" if value else "off" for value in self.values]
        elif self.kind == "enumerated":
            texts = [self.items[value] if 0 <= value < len(self.items) else str(value) for value in self.values]
        else:
            texts = [str(value) for value in self.values[:8]]
        return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


class Hardware(NamedTuple):
    """What the sound of one open stream comes through."""

    card: Optional[Card]  # None: through no sound card of this machine that is known
    pcm_type: str  # ALSA's: "hw" is the card itself; "" where nobody knows
    sample_format: str  # of the card's own stream, "S16_LE"; "" where nobody knows
    sample_rate_hz: int  # of the card's own stream; 0 where nobody knows
    channels: int
    controls: Tuple[Control, ...]
    restored: Tuple[str, ...] = ()  # controls that stood otherwise than they should and were put right, for people
    problem: str = ""  # why this is not all, or cannot be relied on; "" where it can


def printable(text: str) -> str:
    """A name that a device gives itself, fit to be shown."""
    return "".join(character if character.isprintable() else "?" for character in text)[:_MAX_CHARACTERS]


def bytes_from_hardware(hardware: Hardware) -> bytes:
    """As JSON."""
    return json.dumps(mapping_from_hardware(hardware)).encode("utf-8")


def mapping_from_hardware(hardware: Hardware) -> Dict[str, Any]:
    """As JSON's own types."""
    values: Dict[str, Any] = dict(hardware._asdict())
    values["card"] = None if hardware.card is None else dict(hardware.card._asdict())
    values["controls"] = [dict(control._asdict()) for control in hardware.controls]
    return values


def hardware_from_mapping(values: Any) -> Hardware:
    """Read strictly what `mapping_from_hardware` wrote.  Raises HardwareError."""
    given = checked(Hardware, values, "hardware")
    card = given["card"]
    controls = _list_of(given["controls"], "controls", _MAX_CONTROLS)
    hardware = Hardware(
        card=None if card is None else Card(**checked(Card, card, "card")),
        pcm_type=given["pcm_type"],
        sample_format=given["sample_format"],
        sample_rate_hz=given["sample_rate_hz"],
        channels=given["channels"],
        controls=tuple(_control_from(control) for control in controls),
        restored=tuple(_list_of(given["restored"], "restored", _MAX_CONTROLS, str)),
        problem=given["problem"],
    )
    if len({control.key for control in hardware.controls}) != len(hardware.controls):
        raise HardwareError("a control is given twice")
    return hardware


def checked(kind: Any, values: Any, what: str) -> Dict[str, Any]:
    """The fields of a NamedTuple, each there, each of its simple type, and none besides.  Raises HardwareError."""
    if not isinstance(values, dict):
        raise HardwareError("%s is %s, expected an object" % (what, reprlib.repr(values)))
    strange = sorted(set(values) ^ set(kind._fields))
    if strange:
        problem = "has an unknown" if strange[0] in values else "lacks"
        raise HardwareError("%s %s %s" % (what, problem, reprlib.repr(strange[0])))
    for name, value in values.items():
        expected = _SIMPLE.get(kind.__annotations__[name])
        if expected is not None and not _is_of(value, expected):
            raise HardwareError(
                "%s: %s is %s, expected %s" % (what, name, reprlib.repr(value), _NAMES[kind.__annotations__[name]])
            )
    return dict(values)


_SIMPLE: Dict[Any, Any] = {str: str, int: int, bool: bool, float: (int, float)}
_NAMES = {str: "one line of text", int: "a whole number", bool: "true or false", float: "a number"}


def _is_of(value: Any, expected: Any) -> bool:
    if isinstance(value, bool) or expected is bool:
        return isinstance(value, bool) and expected is bool
    if isinstance(value, str) and (len(value) > _MAX_CHARACTERS or not value.isprintable()):
        return False
    return isinstance(value, expected) and (not isinstance(value, float) or math.isfinite(value))


def _control_from(values: Any) -> Control:
    given = checked(Control, values, "control")
    given["items"] = tuple(_list_of(given["items"], "items", _MAX_VALUES, str))
    given["values"] = tuple(_list_of(given["values"], "values", _MAX_VALUES, int))
    if given["kind"] not in _KINDS:
        raise HardwareError("control %s is of kind %s" % (given["name"], reprlib.repr(given["kind"])))
    return Control(**given)


def _list_of(values: Any, what: str, most: int, kind: Any = None) -> List[Any]:
    if not isinstance(values, (list, tuple)) or len(values) > most:
        raise HardwareError("%s is %s, expected a list of at most %d" % (what, reprlib.repr(values), most))
    if kind is not None and not all(_is_of(value, kind) for value in values):
        raise HardwareError("%s holds %s, expected %s each" % (what, reprlib.repr(values), _NAMES[kind]))
    return list(values)
