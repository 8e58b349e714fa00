"""Files that are there whole or not at all, also after a power cut: written beside their place, synced and renamed."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Iterator

LEFTOVERS = ".*.new"  # what a process that was killed may leave in a folder; nobody reads them
_SYNCS_NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP)  # as network shares and FUSE answer; the file itself is synced


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put a file in its place, instead of one that may be there.

    Args:
        mode: of the file, less the umask.

    Raises OSError: what was there before still is, and nothing besides.
    """
    with replacing(path) as new:
        descriptor = os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """For those who write by themselves: gives another name in the same folder, which takes the place at the end.

    Several processes may do so at once; the last one's counts.

    Raises OSError: see `write_whole`. Whatever else is raised meanwhile leaves as much.
    """
    new = path.with_name(".%s.%d.new" % (path.name, os.getpid()))
    with contextlib.suppress(FileNotFoundError):
        new.unlink()  # a killed process's, which had the same number
    try:
        yield new
        sync(new)
        os.replace(str(new), str(path))
    except BaseException:
        with contextlib.suppress(OSError):  # never made, or the disk says no to this as well
            new.unlink()
        raise
    try:
        sync(path.parent)
    except OSError as error:
        if error.errno not in _SYNCS_NO_FOLDERS:
            raise


def sync(path: Path) -> None:
    """Have a file's content on the disk, or what was made, renamed or removed in a folder.  Raises OSError."""
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
