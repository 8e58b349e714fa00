"""When a recording began: said by whoever starts it, or by the recording itself. Always UTC.

Sources: RFC 3339; EBU Tech 3285 (Broadcast Wave, chunk `bext`: OriginationDate, OriginationTime); Open Acoustic
Devices, AudioMoth firmware (comment "Recorded at 21:00:00 24/02/2019 (UTC) by AudioMoth ...").
"""

import re
import struct
from pathlib import Path
from typing import BinaryIO, Optional, Union

from edge.errors import SourceError
from edge.rfc3339 import epoch_s_from_rfc3339, epoch_s_of_parts

FROM_FILE = "file"
# 20261001_123456.wav, 2026-10-01T12-34-56Z-street.flac, 20261001T123456.250Z.wav
_IN_NAME = re.compile(
    r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[-:_.]?(\d\d)[-:_.]?(\d\d)(\.\d+(?=Z))?(?!\d)",
)
_AUDIOMOTH = re.compile(rb"Recorded at (\d\d):(\d\d):(\d\d) (\d\d)/(\d\d)/(\d{4}) \(UTC(?:([+-]\d+)(?::(\d\d))?)?\)")
_BEXT_DATE = re.compile(r"(\d{4}).(\d\d).(\d\d)(\d\d).(\d\d).(\d\d)\Z")
_HEADER_BYTES = 1 << 16  # a recorder writes its metadata before the sound


def start_time_of(given: str, path: Union[str, Path]) -> Optional[float]:
    """When the first sample of a recording sounded, seconds since the epoch; None where `given` is empty.

    Args:
        given: an RFC 3339 time; or FROM_FILE: the time in the file's name, else in its header.

    Raises:
        SourceError: that is neither, or the file does not tell.
    """
    if not given:
        return None
    if given == FROM_FILE:
        return _start_told_by(Path(path))
    try:
        return epoch_s_from_rfc3339(given.strip())
    except ValueError as error:
        raise SourceError(
            "start time: %s; give it so, with Z or an offset such as +02:00, or %r for the time in the file itself"
            % (error, FROM_FILE)
        ) from None


def name_without_time(stem: str) -> str:
    """A file's name without the time in it, if it tells one: what all files of one recorder share."""
    return _IN_NAME.sub("", stem, count=1)


def _start_told_by(path: Path) -> float:
    try:
        found = _IN_NAME.search(path.stem)
        if found:
            return epoch_s_of_parts(found.groups()[:6], found.group(7))
        with path.open("rb") as file:
            told = _start_in_header(file)
    except OSError as error:
        raise SourceError("%s: cannot be read (%s)" % (path, error.strerror)) from None
    except ValueError as error:
        raise SourceError("%s: its name or header holds a time that does not exist (%s)" % (path, error)) from None
    if told is None:
        raise SourceError(
            "%s: neither its name (20261001_123456.wav) nor its header tells when it began; say it, as "
            "2026-10-01T12:34:56Z" % path
        )
    return told


def _start_in_header(file: BinaryIO) -> Optional[float]:
    head = file.read(_HEADER_BYTES)
    moth = _AUDIOMOTH.search(head)
    if moth:
        hour, minute, second, day, month, year = [word.decode("ascii") for word in moth.groups()[:6]]
        hours, minutes = int(moth.group(7) or 0), int(moth.group(8) or 0)
        offset_s = hours * 3600 + (minutes if hours >= 0 else -minutes) * 60
        return epoch_s_of_parts((year, month, day, hour, minute, second)) - offset_s
    at = 12
    while head[:4] == b"RIFF" and at + 8 <= len(head):
        kind, length = struct.unpack("<4sI", head[at : at + 8])
        if kind == b"bext":
            date = _BEXT_DATE.match(head[at + 8 + 320 : at + 8 + 338].decode("latin-1"))
            return epoch_s_of_parts(date.groups()) if date else None
        at += 8 + length + length % 2
    return None
