"""Which of a card's controls would change levels by themselves, and how they are switched off."""

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from edge.sources.hardware import Control

_AUTOMATIC = re.compile(
    r"auto\w*[ _-]?(gain|level)|\b(agc|alc|drc|aec|ns|anc)\b|noise[ _-]?(suppress|reduc|gate|cancel)|echo[ _-]?cancel|"
    r"compress|limiter|beam[ _-]?form",
    re.IGNORECASE,
)
_BOOST = re.compile(r"\bboost\b|\benhance", re.IGNORECASE)
_OFF = re.compile(r"\s*(off|none|disabled?|0(\.0+)? ?dB|bypass)\s*\Z", re.IGNORECASE)


class Unwanted(NamedTuple):
    """A control that is on and should be off."""

    control: Control
    off: Tuple[int, ...]  # the values that switch it off; empty: nobody knows which do


def unwanted_of(controls: Sequence[Control]) -> List[Unwanted]:
    """Automatic gain and what is like it, and boosts, wherever they are on."""
    found = []
    for control in controls:
        off = _off_of(control)
        if off is not None and (not off or control.values != off):
            found.append(Unwanted(control, off))
    return found


def _off_of(control: Control) -> Optional[Tuple[int, ...]]:
    """The values that switch it off, empty where nobody knows; None: it is no such control."""
    is_automatic, is_boost = bool(_AUTOMATIC.search(control.name)), bool(_BOOST.search(control.name))
    if not is_automatic and not is_boost:
        return None
    if control.kind == "boolean":
        return (0,) * len(control.values)
    if control.kind == "enumerated":
        places = [place for place, item in enumerate(control.items) if _OFF.match(item)]
        if places:
            return (places[0],) * len(control.values)
        return None if is_boost or not _is_main(control.name) else ()
    # an automatic's figures (times, targets) do nothing once it is off
    return (control.minimum,) * len(control.values) if is_boost and control.kind == "integer" else None


def _is_main(name: str) -> bool:
    """Whether it is the automatic's own switch and none of its settings."""
    return bool(re.search(r"(gain|level|control|function|switch|enable|mode|agc|alc|drc)\s*\Z", name, re.IGNORECASE))
