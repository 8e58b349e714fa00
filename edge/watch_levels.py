"""Sound levels as `watch` shows them: with the unit that they deserve."""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from edge.records import JsonObject

OF_NOW = ("laeq", "lafmax")
OF_THE_MINUTE = ("la10", "la50", "la90")
_NAMES = {"laeq": "LAeq", "lafmax": "LAFmax", "la10": "L10", "la50": "L50", "la90": "L90"}


class LevelsSeen(NamedTuple):
    """Levels of one message."""

    levels: Tuple[Tuple[str, Optional[float]], ...]  # name, value
    unit: str

    @property
    def text(self) -> str:
        """All in one line."""
        told = ["%s %s" % (_NAMES[name], "-" if level is None else "%.1f" % level) for name, level in self.levels]
        return "%s %s" % ("  ".join(told), self.unit)


def levels_from(values: JsonObject, names: Sequence[str]) -> Optional[LevelsSeen]:
    """What a message tells of these levels; None where it measured none.  Raises ValueError, TypeError: rubbish."""
    calibrated = values.get("calibrated")
    if calibrated is None:
        return None
    suffix = "_db" if calibrated else "_dbfs"
    found = [(name, values.get(name + suffix)) for name in names]
    levels = tuple((name, None if level is None else _bounded(level)) for name, level in found)
    return None if all(level is None for _, level in levels) else LevelsSeen(levels, _unit_of(values))


def _bounded(value: Any) -> float:
    number = float(value)
    if not abs(number) < 1e6:
        raise ValueError("level or frequency %r" % (value,))
    return number


def _unit_of(values: JsonObject) -> str:
    bandwidth_hz = values.get("bandwidth_hz")
    reach = "" if bandwidth_hz is None else " up to %.1f kHz" % (_bounded(bandwidth_hz) / 1000.0)
    if not values.get("calibrated"):
        return "dBFS%s, not calibrated" % reach
    return "dB%s" % reach if reach else "dB(A)"
