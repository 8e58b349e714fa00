"""Times as our messages and recordings write them: RFC 3339, to the second or finer, seconds since the epoch inside."""

import datetime as dt
import re
from typing import Optional, Sequence

_EPOCH = dt.datetime(1970, 1, 1)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))\Z",
)


def rfc3339_from_epoch(epoch_s: float) -> str:
    """UTC with milliseconds: 2026-10-01T12:34:56.789Z."""
    return rfc3339_from_ms(int(round(epoch_s * 1000.0)))


def rfc3339_from_ms(epoch_ms: int) -> str:
    """The same from whole milliseconds since the epoch."""
    return (_EPOCH + dt.timedelta(milliseconds=epoch_ms)).isoformat(timespec="milliseconds") + "Z"


def epoch_s_from_rfc3339(text: str) -> float:
    """Seconds since 1970-01-01T00:00:00Z.  Raises ValueError: not an RFC 3339 time with its offset from UTC."""
    found = _RFC3339.match(text)
    if not found:
        raise ValueError("%r is no time as 2026-10-01T12:34:56Z" % text)
    sign, hours, minutes = found.group(8), int(found.group(9) or 0), int(found.group(10) or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("%r has an offset from UTC that does not exist" % text)
    offset_s = (hours * 60 + minutes) * 60 * (-1 if sign == "-" else 1)
    return epoch_s_of_parts(found.groups()[:6], found.group(7)) - offset_s


def epoch_s_of_parts(parts: Sequence[str], fraction: Optional[str] = None) -> float:
    """Of year, month, day, hour, minute, second in UTC, and `.25` of a second.  Raises ValueError: no such moment."""
    moment = dt.datetime(*[int(part) for part in parts]) - _EPOCH  # type: ignore[arg-type]
    return moment.total_seconds() + float(fraction or 0)
