"""The folder of clips: bounded in bytes and in age, the oldest freed first, all of it encrypted."""

import contextlib
import errno
import os
import re
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Set

from edge.clips.sealed import SUFFIX
from engines.whole_file import LEFTOVERS, write_whole

FOLDER = "clips"
RESERVE_BYTES = 1 << 28  # left free on the disk: the store of events comes first
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,120}\Z")
_UNTRUE_AGE_S = 60.0  # a clip from the future: its time is not to be believed


class ShelfError(Exception):
    """The disk does not take a clip.

    Args:
        state: full, read_only or failing, as in `store_state`.
    """

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


class TooLargeError(Exception):
    """A clip that by itself is larger than all clips together may be."""


class StoredClip(NamedTuple):
    """One file of the folder."""

    name: str
    path: Path
    bytes: int
    written_s: float  # wall clock, seconds since the epoch


class Shelf:
    """Keeps files by name.  One thread at a time.

    Args:
        directory: made when something is put.
        quota_bytes: of all files together.
        max_age_s: of each.
        reserve_bytes: of the disk, that a clip must leave free.
        wall_s, monotonic_s: clocks; what is written while nobody has set the first is aged by the second.
    """

    def __init__(
        self,
        directory: Path,
        quota_bytes: int,
        max_age_s: float,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        is_synced: Callable[[], bool] = lambda: True,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory, self._quota_bytes, self._max_age_s = directory, quota_bytes, max_age_s
        self._reserve_bytes, self._is_synced = reserve_bytes, is_synced
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._seen: Dict[str, float] = {}  # monotonic time since which a clip is known to be there
        self._undated: Set[str] = set()  # clips whose files have a guessed time
        self.count = self.bytes = 0  # as last seen
        self.freed = 0  # since the start

    def put(self, name: str, content: bytes) -> None:
        """Write a clip whole or not at all; the oldest make room.

        Raises:
            TooLargeError: it would not fit if all others went.
            ShelfError: the disk does not take it.
        """
        if not NAME.match(name):
            raise ValueError("%r is no name of a clip" % name)
        if len(content) > self._quota_bytes:
            raise TooLargeError("%d bytes; all clips together may have %d" % (len(content), self._quota_bytes))
        with _faults_named(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chmod(str(self.directory), 0o700)  # whatever the umask, and whoever made it
            self._check_space(self.directory, len(content))
            self._free(self._quota_bytes - len(content))
            write_whole(self.directory / (name + SUFFIX), content, 0o600)
        self._seen[name] = self._monotonic_s()
        if not self._is_synced():
            self._undated.add(name)
        self._look()

    def tidy(self) -> None:
        """Free what is too old, or more than there may be.  Raises ShelfError."""
        with _faults_named(self.directory):
            self._date()
            self._free(self._quota_bytes)
        self._look()

    def check(self) -> None:
        """Raise ShelfError where the disk would take no clip now."""
        with _faults_named(self.directory):
            folder = next(path for path in [self.directory] + list(self.directory.parents) if path.exists())
            if not os.access(str(folder), os.W_OK):
                raise OSError(errno.EROFS, "cannot be written")
            self._check_space(folder, 0)

    def _check_space(self, folder: Path, wanted_bytes: int) -> None:
        disk = os.statvfs(str(folder))
        if disk.f_bavail * disk.f_frsize - wanted_bytes < self._reserve_bytes:
            raise OSError(errno.ENOSPC, "less than %d MB would stay free" % (self._reserve_bytes >> 20))

    def _free(self, most_bytes: int) -> None:
        now_s, now_monotonic_s = self._wall_s(), self._monotonic_s()
        clips = stored_clips(self.directory)
        total = sum(clip.bytes for clip in clips)
        for clip in clips:
            known_for_s = now_monotonic_s - self._seen.setdefault(clip.name, now_monotonic_s)
            dated_s = 0.0 if clip.name in self._undated else now_s - clip.written_s
            if max(known_for_s, dated_s) <= self._max_age_s and total <= most_bytes:
                continue
            with contextlib.suppress(FileNotFoundError):  # somebody else deletes as well
                clip.path.unlink()
                self.freed += 1
            total -= clip.bytes

    def _date(self) -> None:
        """Now that the clock is set, files get the time at which they were written; none is of the future."""
        if self._is_synced():
            now_s, now_monotonic_s = self._wall_s(), self._monotonic_s()
            for clip in stored_clips(self.directory):
                is_of_future = clip.written_s > now_s + _UNTRUE_AGE_S
                if clip.name in self._undated or is_of_future:
                    written_s = now_s - (now_monotonic_s - self._seen.get(clip.name, now_monotonic_s))
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(str(clip.path), (written_s, written_s))
            self._undated.clear()
        for pattern in (LEFTOVERS, "*%s.new" % SUFFIX):  # the latter of versions before
            for leftover in self.directory.glob(pattern):
                leftover.unlink()  # of a start that was cut off

    def _look(self) -> None:
        clips = stored_clips(self.directory)
        names = {clip.name for clip in clips}
        self._seen = {name: seen_s for name, seen_s in self._seen.items() if name in names}
        self._undated &= names
        self.count, self.bytes = len(clips), sum(clip.bytes for clip in clips)


def stored_clips(directory: Path) -> List[StoredClip]:
    """What is in a folder of clips, the oldest first; other files are none of ours.  Raises OSError."""
    try:
        names = os.listdir(str(directory))
    except FileNotFoundError:
        return []
    clips = []
    for name in names:
        stem = name[: -len(SUFFIX)]
        if not name.endswith(SUFFIX) or not NAME.match(stem):
            continue
        with contextlib.suppress(FileNotFoundError):  # somebody else deletes as well
            status = (directory / name).stat()
            clips.append(StoredClip(stem, directory / name, status.st_size, status.st_mtime))
    return sorted(clips, key=lambda clip: (clip.written_s, clip.name))


@contextlib.contextmanager
def _faults_named(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        states = {errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EFBIG: "full"}
        states.update({errno.EROFS: "read_only", errno.EACCES: "read_only", errno.EPERM: "read_only"})
        raise ShelfError(
            "%s: %s" % (directory, error.strerror or error), states.get(error.errno or 0, "failing")
        ) from error
