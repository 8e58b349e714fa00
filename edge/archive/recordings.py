"""Which recordings are meant: files, folders, patterns, lists of names."""

import glob
import os
import sys
from typing import Iterator, List, Optional, Sequence

from edge.errors import SourceError

SUFFIXES = frozenset(
    [".aif", ".aiff", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".w64", ".wav", ".wave"]
)


def find_recordings(given: Sequence[str], list_file: Optional[str] = None) -> List[str]:
    """Paths of what was asked for; a file that was named itself is not found again in folders and by patterns.

    Args:
        given: files (any name), folders (searched whole for names ending in SUFFIXES; links to folders are not
            followed), or patterns (`**` for any folders) for shells that leave them alone.
        list_file: a file of more of them, one a line, or ended by NUL as `find -print0` does; "-" is standard input.

    Returns:
        In the order given, a folder's by name. What does not exist stays in the list, to be complained of.

    Raises:
        SourceError: a folder or pattern holds no recording, or the list cannot be read.
    """
    asked = list(given) + (_names_in(list_file) if list_file is not None else [])
    if not asked:
        raise SourceError("no recordings: neither files nor --files-from; name files, folders or patterns")
    found: List[str] = []
    known = set()
    for name in asked:
        paths = _expanded(name)
        for path in paths:
            absolute = os.path.abspath(path)
            if absolute not in known or paths == [name]:  # who names a file twice means it
                known.add(absolute)
                found.append(path)
    return found


def _expanded(name: str) -> List[str]:
    if os.path.isdir(name):
        found = list(_in_folder(name))
        if not found:
            raise SourceError(
                "%s: a folder without recordings; expected names ending in %s" % (name, ", ".join(sorted(SUFFIXES)))
            )
        return found
    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    matches = sorted(glob.glob(name, recursive=True))
    if not matches:
        raise SourceError("%s: no file has such a name; check the pattern" % name)
    files = [path for path in matches if not os.path.isdir(path)]
    return files or [path for folder in matches for path in _expanded(folder)]


def _in_folder(folder: str) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            # macOS leaves "._name.wav" beside each file on a foreign disk: no sound in it
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(path, name)


def _names_in(list_file: str) -> List[str]:
    try:
        if list_file == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(list_file, "rb") as file:
                content = file.read()
    except OSError as error:
        raise SourceError("--files-from %s: cannot be read (%s)" % (list_file, error.strerror)) from None
    separator = b"\0" if b"\0" in content else b"\n"
    names = [os.fsdecode(line.rstrip(b"\r") if separator == b"\n" else line) for line in content.split(separator)]
    names = [name for name in names if name]
    if not names:
        raise SourceError("--files-from %s: holds no names; expected one a line" % list_file)
    return names
