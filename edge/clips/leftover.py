"""Clips from before they were turned off: no new ones come, and these go at their age as they were promised to."""

import logging
import threading

from edge.clips.shelf import Shelf, ShelfError
from edge.records import JsonObject

_LOGGER = logging.getLogger(__name__)
_TIDY_S = 600.0


class LeftoverClips:
    """Frees what is too old, from time to time, in a thread of its own: a disk that hangs holds up nobody."""

    def __init__(self, shelf: Shelf, tidy_s: float = _TIDY_S) -> None:
        self._shelf, self._tidy_s = shelf, tidy_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End.  Twice is no error."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def health(self) -> JsonObject:
        """The fields of `health` that tell of clips."""
        shelf = self._shelf
        return {
            "clips_state": "off",
            "clips_kept": shelf.count,
            "clips_bytes": shelf.bytes,
            "clips_freed": shelf.freed,
        }

    def describe(self) -> str:
        """How it fares, for a person at `systemctl status`."""
        return "%d clips left from before they were turned off" % self._shelf.count

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._shelf.tidy()
            except ShelfError as error:
                _LOGGER.error("clips: %s; old ones cannot be deleted until it is mended", error)
            self._stop.wait(self._tidy_s)
