"""How log lines look: with time and level for people, with the journal's own marks where systemd reads them."""

import logging
import os
import sys
from typing import Any

_FOR_PEOPLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FOR_JOURNAL = "%(name)s: %(message)s"
# sd-daemon(3): a line's level, 3 error to 7 debug
_LEVELS = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class JournalFormatter(logging.Formatter):
    """Each line with its level as systemd reads it; the journal knows the time itself."""

    def __init__(self) -> None:
        super().__init__(_FOR_JOURNAL)

    def format(self, record: logging.LogRecord) -> str:
        """All lines of one record, also those of a traceback."""
        level = next((mark for least, mark in _LEVELS if record.levelno >= least), 7)
        return "\n".join("<%d>%s" % (level, line) for line in super().format(record).split("\n"))


def log_formatter(stream: Any = None) -> logging.Formatter:
    """The one for a stream, stderr by default: the journal's where that is what it leads to."""
    return JournalFormatter() if _is_journal(stream or sys.stderr) else logging.Formatter(_FOR_PEOPLE)


def _is_journal(stream: Any) -> bool:
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # no file behind it
        return False
    return os.environ.get("JOURNAL_STREAM") == "%d:%d" % (found.st_dev, found.st_ino)
