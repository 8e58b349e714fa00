"""What the node keeps for itself of a minute, so that hours and days outlive a restart: some 230 bytes each.

A keepsake is written in one transaction with the summary that it belongs to, by the store: neither is ever without the
other, and it costs no write of its own. It is compressed JSON, read as strictly as anything from a disk.
"""

import json
import math
import re
import zlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edge.levels.histogram import LevelHistogram
from edge.levels.period import Period, SoundingTimes
from edge.levels.totals import Condition, LevelTotals
from edge.records import Calibration, Dating, JsonObject

_VERSION = 1
_MOST_BYTES = 1 << 16  # of one, unpacked
_MOST = 1e15  # of a time in milliseconds
_LEAST_MS = 1  # of a minute's part: what a step of the clock cuts off may be shorter
_ENERGIES = ("heard_s", "overload_s", "under_range_s", "energy_a", "energy_c", "energy_z")
_EXTREMES = ("lafmax_dbfs", "lafmin_dbfs", "lasmax_dbfs", "lcpeak_dbfs")
_DIGITS = 8  # of an energy: 1e-7 dB
_DECIMALS = 2  # of a level, as in messages
_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # a histogram's counts, one each
_COUNTS = re.compile(r"[0-9A-Za-z]|\([0-9]{1,9}\)")  # larger ones in brackets
# what most of them have in common, by which they are compressed; a change of it is a new version
_DICTIONARY = (
    b'0100200120110021001,"dating":null}"dating":["}"parts":[[[null,null,null],[{"v":1,"told":["summary_hour",'
    b'"summary_day","seconds":{"car_horn":1"dog_bark":1"siren":},"began":{},"dating":null}data_sheet"'
    b'00000000100000000010000000000101100031031022211143"]]],"unmeasured":0.0,"seconds":{},"began":{},"dating":null}'
    b'{"v":1,"minute":[1793491200000,60000],"parts":[[[[118.37,"2026-10-01","calibrator"],null,-91.0],[60.0,0.0,0.0,0.000'
)


class KeptMinute(NamedTuple):
    """A minute that was told, or a part of one."""

    minute: Period
    dating: Optional[Dating]  # of its end, where the clock was not set; None: its times are true


class KeptMark(NamedTuple):
    """That an hour or a day was told."""

    type_name: str  # "summary_hour", "summary_day"
    start_s: float


class KeepsakeError(ValueError):
    """What was kept is not as this version writes it."""


def keepsake_of_minute(minute: Period, dating: Optional[Dating]) -> bytes:
    """To be written with a minute's summary."""
    length_ms = max(_LEAST_MS, int(round(1000.0 * (minute.end_s - minute.start_s))))
    values: JsonObject = {
        "v": _VERSION,
        "minute": [int(round(1000.0 * minute.start_s)), length_ms],
        "parts": [
            [_values_of_condition(condition), _values_of_totals(totals)] for condition, totals in minute.parts.items()
        ],
        "unmeasured": round(minute.unmeasured_s, 3),
        "seconds": {label: round(seconds, 3) for label, seconds in minute.sounding.seconds.items()},
        "began": minute.sounding.began,
        "dating": list(dating) if dating is not None else None,
    }
    return _packed(values)


def keepsake_of_mark(mark: KeptMark) -> bytes:
    """To be written with an hour's or a day's summary."""
    return _packed({"v": _VERSION, "told": list(mark)})


def kept_from_bytes(content: bytes) -> Any:
    """KeptMinute or KeptMark.  Raises KeepsakeError: it is neither."""
    try:
        expander = zlib.decompressobj(zdict=_DICTIONARY)
        text = expander.decompress(content, _MOST_BYTES)
        if not expander.eof:
            raise KeepsakeError("cut off, or longer than any")
        values = json.loads(text.decode("ascii"))
        if values["v"] != _VERSION:
            raise KeepsakeError("version %r; expected %d" % (values["v"], _VERSION))
        return _mark_from(values["told"]) if "told" in values else _minute_from(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise KeepsakeError("%s: %s" % (type(error).__name__, str(error)[:200])) from error


def _packed(values: JsonObject) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return packer.compress(text.encode("ascii")) + packer.flush()


def _values_of_condition(condition: Condition) -> List[Any]:
    calibration = condition.calibration
    return [list(calibration) if calibration else None, condition.bandwidth_hz, condition.noise_floor_dbfs]


def _values_of_totals(totals: LevelTotals) -> List[Any]:
    lowest, counts = totals.laf.occupied
    energies: List[Any] = [float("%.*g" % (_DIGITS, getattr(totals, name))) for name in _ENERGIES]
    extremes: List[Any] = [
        None if level is None else round(level, _DECIMALS) for level in (getattr(totals, name) for name in _EXTREMES)
    ]
    return energies + extremes + [lowest, "".join(map(_sign_of, counts))]


def _mark_from(values: List[Any]) -> KeptMark:
    type_name, start_s = values
    if type_name not in ("summary_hour", "summary_day"):
        raise KeepsakeError("type %.50r" % (type_name,))
    return KeptMark(type_name, _time(start_s))


def _minute_from(values: JsonObject) -> KeptMinute:
    start_s, length_s = (_time(each) / 1000.0 for each in values["minute"])
    if not 0.0 < length_s < 3600.0:
        raise KeepsakeError("a minute of %.0f s" % length_s)
    minute = Period(start_s, start_s + length_s)
    for condition, totals in values["parts"]:
        minute.totals_under(_condition_from(condition)).merge(_totals_from(totals))
    minute.unmeasured_s = _amount(values["unmeasured"])
    seconds, began = _checked(values["seconds"], _amount), _checked(values["began"], _count)
    minute.sounding = SoundingTimes(seconds, began)
    return KeptMinute(minute, _dating_from(values["dating"]))


def _condition_from(values: List[Any]) -> Condition:
    calibration, bandwidth_hz, noise_floor_dbfs = values
    if calibration is not None:
        offset_db, calibrated_on, method = calibration
        calibration = Calibration(_number(offset_db), _text(calibrated_on), _text(method))
    return Condition(
        calibration,
        None if bandwidth_hz is None else _amount(bandwidth_hz),
        None if noise_floor_dbfs is None else _number(noise_floor_dbfs),
    )


def _totals_from(values: List[Any]) -> LevelTotals:
    totals = LevelTotals()
    energies, extremes = values[: len(_ENERGIES)], values[len(_ENERGIES) : -2]
    for name, value in zip(_ENERGIES, energies):
        setattr(totals, name, _amount(value))
    if len(extremes) != len(_EXTREMES):
        raise KeepsakeError("%d values of a minute" % len(values))
    for name, value in zip(_EXTREMES, extremes):
        setattr(totals, name, None if value is None else _number(value))
    lowest, signs = values[-2:]
    whole = _count(abs(lowest)) * (1 if lowest > 0 else -1)
    totals.laf = LevelHistogram.from_occupied(whole, _counts_from(signs))
    return totals


def _sign_of(count: int) -> str:
    return _SIGNS[count] if count < len(_SIGNS) else "(%d)" % count


def _counts_from(signs: Any) -> Tuple[int, ...]:
    found = _COUNTS.findall(_text(signs))
    if "".join(found) != signs:
        raise KeepsakeError("%.50r where counts were expected" % (signs,))
    return tuple(int(each[1:-1]) if each[0] == "(" else _SIGNS.index(each) for each in found)


def _dating_from(values: Any) -> Optional[Dating]:
    if values is None:
        return None
    machine_boot_id, monotonic_s = values
    return Dating(_text(machine_boot_id), _time(monotonic_s))


def _checked(values: Any, check: Callable[[Any], Any]) -> Dict[str, Any]:
    return {_text(label): check(value) for label, value in values.items()}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise KeepsakeError("%.50r where a number was expected" % (value,))
    return float(value)


def _amount(value: Any) -> float:
    if _number(value) < 0.0:
        raise KeepsakeError("%.50r where a number from 0 was expected" % (value,))
    return float(value)


def _time(value: Any) -> float:
    if abs(_number(value)) > _MOST:
        raise KeepsakeError("%.50r where a time was expected" % (value,))
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise KeepsakeError("%.50r where a whole number from 0 was expected" % (value,))
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise KeepsakeError("%.50r where a text was expected" % (value,))
    return value
