"""How many starts have failed in a row, so that the next one waits: a node never gives up, and never spins."""

import logging
import os
from pathlib import Path
from typing import Optional

from engines.whole_file import write_whole

_LOGGER = logging.getLogger(__name__)
STEADY_S = 60.0  # a start that lasts so long was a good one
_PATIENCE = 3  # so many failed starts cost no waiting: the service manager's own pause is enough
_FIRST_WAIT_S = 5.0  # doubles with each further failure
LONGEST_WAIT_S = 300.0


class StartHistory:
    """Counts starts that ended soon, in a file that outlasts the process and not the machine.

    Args:
        directory: None, as outside a service, remembers nothing.
    """

    def __init__(self, directory: Optional[Path]) -> None:
        self._path = directory / "failed-starts" if directory is not None else None
        self.failures = self._read()

    @property
    def wait_s(self) -> float:
        """How long to wait before starting."""
        if self.failures < _PATIENCE:
            return 0.0
        return min(LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self.failures - _PATIENCE, 16))

    def begin(self) -> None:
        """A start begins; it counts as failed until `succeed`."""
        self._write(self.failures + 1)

    def succeed(self) -> None:
        """The start was a good one, or ended as it was told to."""
        self.failures = 0
        if self._path is not None and self._path.exists():
            self._write(0)

    def _read(self) -> int:
        try:
            return min(1000, max(0, int(self._path.read_text("ascii")))) if self._path is not None else 0
        except (OSError, ValueError):
            return 0  # the first start since the machine's, or nonsense: no reason to wait

    def _write(self, failures: int) -> None:
        if self._path is None:
            return
        try:
            write_whole(self._path, b"%d\n" % failures)
        except OSError as error:
            _LOGGER.warning("failed starts cannot be counted in %s: %s", self._path, error)


def runtime_directory() -> Optional[Path]:
    """systemd's $RUNTIME_DIRECTORY; None outside a service."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given) if given else None
