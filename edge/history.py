"""What the store still holds: shown to people and machines, and sent once more where that is wanted.

It reads while the daemon writes, and works as well when no daemon runs.
"""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, TextIO, Tuple

from edge.errors import ConfigError, EdgeError
from edge.messages import values_from_payload
from edge.records import JsonObject
from edge.redating import Redater
from edge.rfc3339 import epoch_s_from_rfc3339, rfc3339_from_epoch
from edge.storage.database import NAME, Database, Entry
from edge.storage.faults import DamagedError, DiskError
from edge.storage.reader import entries_from
from edge.storage.spans import RowSpans

_RELATIVE = re.compile(r"-?(\d+(?:\.\d+)?)([smhdw])\Z")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_MOMENT = re.compile(r"(\S+[T ]\d\d:\d\d)(:\S+?)?(Z|[+-]\d\d:\d\d)?\Z")
_LAST_MS = 253402300800000  # the year 10000
_HEADINGS = ("TIME (UTC)", "SOURCE", "TYPE", "PHASE", "LABEL", "SECONDS", "LEVEL", "SCORE", "BROKER")
_ROW = "%-24s  %-10s  %-12s  %-6s  %-16s  %8s  %12s  %5s  %s\n"


class HistoryError(EdgeError):
    """A store that cannot be read or written now."""


class Wanted(NamedTuple):
    """Which messages; None: all."""

    from_s: Optional[float] = None  # UTC, seconds since the epoch, of the sound
    to_s: Optional[float] = None  # up to here, without it
    source: Optional[str] = None
    type: Optional[str] = None
    label: Optional[str] = None

    def takes(self, values: JsonObject) -> bool:
        """Whether a message with this payload is meant."""
        time_s = _time_s(values) or 0.0
        if (self.from_s is not None and time_s < self.from_s) or (self.to_s is not None and time_s >= self.to_s):
            return False
        pairs = ((self.source, "source"), (self.type, "type"), (self.label, "label"))
        return all(wanted is None or values.get(name) == wanted for wanted, name in pairs)


def moment_from_text(text: str, now_s: float, *, is_end: bool = False) -> float:
    """Seconds since the epoch of `2026-11-01`, `2026-11-01T06:30Z`, `2026-11-01 08:30+02:00` or `-2h`.

    Args:
        text: without an offset it is UTC; s, m, h, d and w after a number count back from now.
        is_end: a day alone is meant up to its end.

    Raises:
        ConfigError: it is none of these.
    """
    relative = _RELATIVE.match(text)
    if relative:
        return now_s - float(relative.group(1)) * _SECONDS[relative.group(2)]
    moment = _MOMENT.match(text + "T00:00" if _DAY.match(text) else text)
    try:
        if moment:
            epoch_s = epoch_s_from_rfc3339(moment.group(1) + (moment.group(2) or ":00") + (moment.group(3) or "Z"))
            return epoch_s + (86400.0 if is_end and _DAY.match(text) else 0.0)
    except ValueError:  # a month 13
        pass
    raise ConfigError(
        "time %r; expected one such as 2026-11-01, 2026-11-01T06:30:00Z or -2h (s, m, h, d, w back from now)" % text
    )


def write_history(directory: Path, wanted: Wanted, results: TextIO, *, as_json: bool) -> int:
    """Write what is wanted, oldest first: a table, or one JSON object a line.  Returns how many there were.

    Raises:
        ConfigError: there is no store.
        HistoryError: it cannot be read.
    """
    count = 0
    with _opened(directory) as database:
        waiting = _waiting_in(database)
        if not as_json:
            results.write(_ROW % _HEADINGS)
        for entry, values in _found(database, wanted):
            count += 1
            is_acknowledged = entry.id not in waiting
            if as_json:
                told = {"topic": entry.message.topic, "acknowledged": is_acknowledged}
                told.update((name, values[name]) for name in values if name not in told)
                results.write(_json_line(told))
            else:
                results.write(_ROW % _columns(values, is_acknowledged))
    return count


def republish(directory: Path, wanted: Wanted) -> int:
    """Have the daemon send what is wanted once more, the running one or the next.  Returns how many there are.

    Raises:
        ConfigError: there is no store.
        HistoryError: it cannot be written.
    """
    with _opened(directory) as database:
        ids = [entry.id for entry, _ in _found(database, wanted)]
    with _faults_named(directory), Database(directory).open_for_writing() as database:
        database.ask_again(ids)
    return len(ids)


@contextlib.contextmanager
def acting_as_owner(directory: Path) -> Iterator[None]:
    """While root looks into the service's store, it does so as the service: files made by root would lock it out."""
    try:
        owner = (directory / NAME).stat()
    except OSError:
        owner = None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    gid = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[Database]:
    try:
        (directory / NAME).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            "no store in %s: %s is not there; give the daemon's state directory with --state-dir" % (directory, NAME)
        ) from error
    except OSError as error:
        raise HistoryError(
            "store %s: %s; run this as the service's user or as root" % (directory / NAME, error.strerror)
        ) from error
    with _faults_named(directory), Database(directory).open_for_reading() as database:
        yield database


@contextlib.contextmanager
def _faults_named(directory: Path) -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise HistoryError(
            "store %s is damaged: %s; the daemon moves it aside and begins a new one when it reads that place"
            % (directory / NAME, error)
        ) from error
    except DiskError as error:
        raise HistoryError(
            "store %s: %s; run this as the service's user or as root, and see that the disk is well"
            % (directory / NAME, error)
        ) from error


def _waiting_in(database: Database) -> RowSpans:
    bookmark, ends = database.read_bookmark(), database.first_and_last_id()
    spans = list(bookmark.waiting)
    if ends is not None and ends[1] > bookmark.known_id:
        spans.append((bookmark.known_id + 1, ends[1]))
    return RowSpans(spans)


def _found(database: Database, wanted: Wanted) -> Iterator[Tuple[Entry, JsonObject]]:
    ends = database.first_and_last_id()
    redater = Redater()
    for entry in entries_from(database, ends[0], ends[1]) if ends is not None else ():
        values = values_from_payload(redater.correct(entry.message).payload)
        if wanted.takes(values):
            yield entry, values


def _columns(values: JsonObject, is_acknowledged: bool) -> Tuple[str, ...]:
    time_s = _time_s(values)
    return (
        rfc3339_from_epoch(time_s) if time_s is not None else "-",
        _text(values.get("source")),
        _text(values.get("type")),
        _text(values.get("phase")),
        _text(values.get("label") or _most_heard(values)),
        _number(values.get("duration_s", _valid_s(values)), "%.1f"),
        _level(values),
        _number(values.get("score_max"), "%.2f"),
        "has it" if is_acknowledged else "waits",
    )


def _most_heard(values: JsonObject) -> Optional[str]:
    """Of a summary, the class that sounded longest; None where none did."""
    prefix = "seconds_"
    seconds = {name[len(prefix) :]: values[name] for name in values if name.startswith(prefix)}
    heard = {label: one for label, one in seconds.items() if isinstance(one, (int, float)) and one > 0}
    return max(sorted(heard), key=heard.__getitem__) if heard else None


def _valid_s(values: JsonObject) -> Optional[float]:
    """Of a summary, how much valid sound it rests on."""
    percent = values.get("valid_percent")
    try:
        start_s, end_s = epoch_s_from_rfc3339(values["start"]), epoch_s_from_rfc3339(values["end"])
        return (end_s - start_s) * percent / 100.0 if percent is not None else None
    except (KeyError, TypeError, ValueError):
        return None


def _level(values: JsonObject) -> str:
    # what does not reach up to 16 kHz is not A-weighted to the standard
    absolute = "dB(A)" if values.get("bandwidth_hz") is None else "dB"
    for name, unit in (("laeq_db", absolute), ("laeq_dbfs", "dBFS")):
        level = _number(values.get(name), "%.1f")
        if level != "-":
            return "%s %s" % (level, unit)
    return "-"


def _text(value: Any) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", value) if isinstance(value, str) else "-"


def _number(value: Any, form: str) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return form % value if is_number and abs(value) < 1e15 else "-"


def _time_s(values: JsonObject) -> Optional[float]:
    """Of a message, where it tells one that a calendar has."""
    time_ms = values.get("ts_ms")
    return time_ms / 1000.0 if isinstance(time_ms, int) and 0 <= time_ms < _LAST_MS else None


def _json_line(told: JsonObject) -> str:
    try:
        line = json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"
    except RecursionError:  # not as we write them
        line = json.dumps({"topic": told["topic"], "acknowledged": told["acknowledged"]}) + "\n"
    return line.encode("utf-8", "replace").decode("utf-8")


def joined_times(argv: List[str]) -> List[str]:
    """`--from -2h` as argparse takes it: it would hold -2h for another option."""
    joined: List[str] = []
    for word in argv:
        if joined and joined[-1] in ("--from", "--to") and _RELATIVE.match(word):
            joined[-1] += "=" + word
        else:
            joined.append(word)
    return joined
