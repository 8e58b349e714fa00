"""What is wrong with a microphone now, said in the log when it is news and from time to time while it lasts."""

import logging
import time
from typing import Optional

from edge.sources.faults import Fault

_LOGGER = logging.getLogger(__name__)
_REPEAT_LOG_S = 60.0  # an unchanged trouble is said again this often


class FaultRecord:
    """The present fault of the source of that name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said_s = -float("inf")
        self.fault: Optional[Fault] = None

    def note(self, fault: Fault) -> None:
        """This is wrong now."""
        now_s = time.monotonic()
        is_new = self.fault is None or self.fault.code != fault.code
        if is_new or now_s - self._said_s >= _REPEAT_LOG_S:
            self._said_s = now_s
            _LOGGER.warning("microphone %s: %s (%s); trying again", self._name, fault.message, fault.code)
        self.fault = fault

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.fault = None
