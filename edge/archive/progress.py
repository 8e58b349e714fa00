"""How far a run has come: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from typing import Any, Dict, Optional, Sequence, TextIO

from edge.archive.reels import Reel

_LOGGER = logging.getLogger(__name__)
_LINE_EVERY_S = 300.0
_SLOW_LOOK = 2000  # files; looking at fewer takes a moment


class Progress:
    """Tells of hours of sound, since files differ in length.

    Args:
        stream: gets the bar, where it is a terminal and tqdm is installed; else a log line comes every five minutes.
    """

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._bar: Any = None
        self._lengths_s: Dict[int, float] = {}
        self._heard_s: Dict[int, float] = {}
        self._total_s = self._done_s = 0.0
        self._began_s = self._told_s = time.monotonic()

    def look(self, number: int, files: int) -> None:
        """This file's header is read now."""
        if number and number % _SLOW_LOOK == 0:
            _LOGGER.info("looked at %d of %d files", number, files)

    def begin(self, reels: Sequence[Reel], left: Sequence[int], files: int, heard_before: int) -> None:
        """These reels are left to be heard."""
        self._lengths_s = {number: reels[number].duration_s for number in left}
        self._total_s = sum(self._lengths_s.values())
        self._began_s = self._told_s = time.monotonic()
        if heard_before:
            _LOGGER.info("%d of %d files were heard before; %d are left", heard_before, files, files - heard_before)
        if self._total_s and self._stream.isatty():
            self._bar = _open_bar(self._total_s / 3600.0, self._stream)

    def tell(self, number: int, heard_s: float) -> None:
        """So much of a reel has been heard."""
        before_s = self._heard_s.get(number, 0.0)
        self._heard_s[number] = max(before_s, min(heard_s, self._lengths_s[number]))
        self._done_s += self._heard_s[number] - before_s
        if self._bar is not None:
            self._bar.update((self._heard_s[number] - before_s) / 3600.0)
        elif time.monotonic() - self._told_s >= _LINE_EVERY_S:
            self._told_s = time.monotonic()
            speed = self._done_s / (self._told_s - self._began_s)
            left_h = (self._total_s - self._done_s) / speed / 3600.0 if speed > 0 else float("inf")
            _LOGGER.info(
                "%.1f of %.1f h of sound heard, %.0f times as fast as it sounded; %.1f h to go",
                self._done_s / 3600.0,
                self._total_s / 3600.0,
                speed,
                left_h,
            )

    def done(self, number: int) -> None:
        """A reel is finished, or given up."""
        self.tell(number, self._lengths_s[number])

    def end(self) -> None:
        """Nothing more is heard."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _open_bar(total_h: float, stream: TextIO) -> Any:
    try:
        import tqdm
    except ImportError:
        _LOGGER.info("no progress bar without tqdm; pip install 'soundclr-node[archive]'")
        return None
    return tqdm.tqdm(
        total=total_h,
        unit="h",
        desc="sound heard",
        file=stream,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.1f} of {total:.1f} h [{elapsed}, {remaining} to go]",
    )
