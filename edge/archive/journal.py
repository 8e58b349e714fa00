"""The output folder's memory: one file for each finished reel, named for what it was made of.

A part is written under another name, synced and renamed, so it is whole or not there. Nothing else says what is done:
a run that was killed anywhere goes on with the reels that have no part.
"""

import fcntl
import hashlib
import json
from pathlib import Path
from typing import Any, Optional

from edge.archive.part import SCHEMA, Part, PartError
from edge.errors import ConfigError, EdgeError
from edge.records import JsonObject
from engines.whole_file import LEFTOVERS, write_whole

_MARK = "classify.json"
_PARTS = "parts"


class OutputError(EdgeError):
    """A folder that takes no results: full, read-only, gone."""


class Journal:
    """Keeps parts in an output folder; one process at a time.

    Args:
        folder: made where it is missing.
        settings: what results depend on besides the sound.
    """

    def __init__(self, folder: Path, settings: JsonObject) -> None:
        self.folder = Path(folder)
        self._settings = {"schema": SCHEMA, "settings": _without_paths(settings)}
        text = json.dumps(self._settings, sort_keys=True)
        self.digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        self._lock: Optional[Any] = None

    def open(self) -> None:
        """Claim the folder.

        Raises:
            ConfigError: it is another run's, or holds other things.
            OutputError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._refuse_strange_folder()
            self._claim()
            (self.folder / _PARTS).mkdir(exist_ok=True)
            self._compare_settings()
            for left in list(self.folder.glob(LEFTOVERS)) + list((self.folder / _PARTS).glob("*/" + LEFTOVERS)):
                left.unlink()
        except OSError as error:
            self.close()
            raise _output_error(self.folder, error) from None
        except EdgeError:
            self.close()
            raise

    def close(self) -> None:
        """Let the folder go."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def __enter__(self) -> "Journal":
        self.open()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def path_of(self, key: str) -> Path:
        """Where a reel's part is, or will be."""
        return self.folder / _PARTS / key[:2] / (key + ".jsonl.gz")

    def has(self, key: str) -> bool:
        """Whether a reel is finished.  A part that is not whole is none: it is removed.

        Raises:
            UnreadablePartError: the disk does not say.
            OutputError: it cannot be removed.
        """
        path = self.path_of(key)
        if not self.is_there(key):
            return False
        try:
            Part(str(path)).check_whole()
        except PartError:
            try:
                path.unlink()
            except OSError as error:
                raise _output_error(path, error) from None
            return False
        return True

    def is_there(self, key: str) -> bool:
        """Whether there is a file of a reel's.  Raises OutputError: nobody may look."""
        path = self.path_of(key)
        try:
            return path.exists()
        except OSError as error:
            raise OutputError(
                "%s: cannot be looked at (%s); mend that and give the same command again" % (path, error.strerror)
            ) from None

    def write(self, key: str, part: bytes) -> None:
        """Keep a part, whole or not at all.  Raises OutputError."""
        _write(self.path_of(key), part)

    def _refuse_strange_folder(self) -> None:
        names = [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]
        if names and _MARK not in names:
            raise ConfigError(
                "--output %s: holds %s and no results of an earlier run; give an empty or new folder"
                % (self.folder, ", ".join(sorted(names)[:3]))
            )

    def _claim(self) -> None:
        self._lock = open(str(self.folder / ".lock"), "w", encoding="ascii")  # noqa: SIM115 - held until close()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                "--output %s: another classify writes there; wait for it, or give another folder" % self.folder
            ) from None

    def _compare_settings(self) -> None:
        mark = self.folder / _MARK
        if not mark.exists():
            text = json.dumps(self._settings, sort_keys=True, indent=1)
            _write(mark, (text + "\n").encode("utf-8", "surrogateescape"))
            return
        try:
            if not mark.is_file():  # a pipe would keep us waiting
                raise ValueError("no file")
            found = json.loads(mark.read_text("utf-8"))
            if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
                raise ValueError("no settings in it")
        except (ValueError, RecursionError) as error:
            raise ConfigError("%s: is not ours or damaged (%s); give another --output" % (mark, error)) from None
        if found != self._settings:
            raise ConfigError(
                "--output %s: was begun with another %s; give the same again, or another folder"
                % (self.folder, _difference(found, self._settings))
            )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise _output_error(path, error) from None


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        "%s: cannot be written (%s); what was finished is kept: mend that and give the same command again"
        % (path, error.strerror)
    )


def _without_paths(settings: JsonObject) -> JsonObject:
    """The bundle is what it holds, wherever it lies; threads and runtime change no result that is ours to promise."""
    model = {name: value for name, value in settings["model"].items() if name == "hop_s"}
    return dict({name: value for name, value in settings.items() if name != "bundle"}, model=model)


def _difference(found: JsonObject, expected: JsonObject) -> str:
    if found.get("schema") != expected["schema"]:
        return "version of this program"
    theirs, ours = found["settings"], expected["settings"]
    names = [name for name in ours if theirs.get(name) != ours[name]]
    words = {"manifest_sha256": "bundle", "model": "--hop-s"}
    return " and ".join(words.get(name, "[%s] of the configuration" % name) for name in names) or "configuration"
