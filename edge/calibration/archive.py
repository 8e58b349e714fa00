"""Where calibrations are kept: `calibration/<source>/0001-2026-10-01.json` in the state directory, never changed.

The one with the highest number counts. Where that cannot be relied on the source is uncalibrated: an older one is no
substitute, as something made a newer one necessary.
"""

import os
import re
import stat
from pathlib import Path
from typing import List, NamedTuple, Optional

from edge.calibration.record import CalibrationRecord, bytes_from_record, record_from_bytes
from edge.errors import EdgeError
from edge.sources.hardware import HardwareError
from engines.whole_file import sync

_NAME = re.compile(r"(\d{4,9})-\d{4}-\d{2}-\d{2}\.json\Z")
_MAX_BYTES = 1 << 21


class CalibrationError(EdgeError):
    """A calibration that cannot be made, read or relied on."""


class Kept(NamedTuple):
    """One file of the archive."""

    path: Path
    record: Optional[CalibrationRecord]  # None: it cannot be relied on
    fault: str  # why


def save_record(state_directory: Path, record: CalibrationRecord) -> Path:
    """Keep a record as its source's newest.  Returns its file.  Raises CalibrationError: nothing is kept."""
    content = _checked_bytes(record)
    folder = _folder_of(state_directory, record.source)
    temporary = folder / (".new-%d" % os.getpid())
    try:
        for made in (state_directory, folder.parent, folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return _linked(temporary, folder, record.calibrated_on)
        finally:
            temporary.unlink()
    except OSError as error:
        raise CalibrationError(
            "the calibration cannot be kept in %s: %s; expected a state directory that this user may write "
            "(--state-dir), with room in it" % (folder, error.strerror)
        ) from error


def load_record(path: Path) -> CalibrationRecord:
    """Read one file, strictly.  Raises CalibrationError: it cannot be relied on; says why."""
    try:
        descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check_file(os.fstat(file.fileno()), path)
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise HardwareError("longer than 2 MiB")
        record = record_from_bytes(content)
        if record.source != path.parent.name:
            raise HardwareError("of source %s" % record.source)
        return record
    except OSError as error:
        raise CalibrationError("calibration %s cannot be read: %s" % (path, error.strerror)) from error
    except HardwareError as error:
        raise CalibrationError("calibration %s is damaged or of another version: %s" % (path, error)) from error


def newest_record(state_directory: Path, source: str) -> Optional[Path]:
    """The file that counts; None where the source was never calibrated.  Raises CalibrationError: nobody may look."""
    files = _files_of(_folder_of(state_directory, source))
    return files[-1] if files else None


def has_records(state_directory: Path, source: str) -> bool:
    """Whether the source was ever calibrated, as far as whoever asks may look."""
    try:
        return newest_record(state_directory, source) is not None
    except CalibrationError:
        return True


def load_history(state_directory: Path, source: str) -> List[Kept]:
    """Every calibration there was, oldest first.  Raises CalibrationError: nobody may look."""
    history = []
    for path in _files_of(_folder_of(state_directory, source)):
        try:
            history.append(Kept(path, load_record(path), ""))
        except CalibrationError as error:
            history.append(Kept(path, None, str(error)))
    return history


def _checked_bytes(record: CalibrationRecord) -> bytes:
    """As it is written; one that could not be read again would void the calibration before it."""
    content = bytes_from_record(record)
    try:
        if len(content) > _MAX_BYTES:
            raise HardwareError("longer than 2 MiB")
        record_from_bytes(content)
    except HardwareError as error:
        raise CalibrationError("this calibration cannot be kept: %s" % error) from error
    return content


def _folder_of(state_directory: Path, source: str) -> Path:
    return state_directory / "calibration" / source


def _files_of(folder: Path) -> List[Path]:
    try:
        names = os.listdir(str(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CalibrationError("calibrations in %s cannot be read: %s" % (folder, error.strerror)) from error
    return [folder / name for name in sorted((name for name in names if _NAME.match(name)), key=_number_of)]


def _number_of(name: str) -> int:
    return int(name.partition("-")[0])


def _linked(temporary: Path, folder: Path, date: str) -> Path:
    """Under the next free number: a link, unlike a renaming, never replaces anything."""
    while True:
        files = _files_of(folder)
        path = folder / ("%04d-%s.json" % (_number_of(files[-1].name) + 1 if files else 1, date))
        try:
            os.link(str(temporary), str(path))
        except FileExistsError:
            continue
        sync(folder)
        return path


def _check_file(status: os.stat_result, path: Path) -> None:
    allowed = {os.geteuid(), 0}
    if os.geteuid() == 0:  # asks on the service's behalf
        allowed.add(path.parent.stat().st_uid)
    if not stat.S_ISREG(status.st_mode):
        raise HardwareError("no file")
    if status.st_uid not in allowed or status.st_mode & 0o022:
        raise CalibrationError(
            "calibration %s belongs to user %d with mode %o; expected this user's own, %d, which nobody else may "
            "write: chown and chmod 600 it if it is right, or calibrate anew"
            % (path, status.st_uid, stat.S_IMODE(status.st_mode), os.geteuid())
        )
