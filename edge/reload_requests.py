"""Requests to look at the configuration anew: each is followed by one `Reload`, whose outcome is told."""

import logging
import threading
from pathlib import Path
from typing import Callable, Optional

from edge.config import Config
from edge.reload import Reload
from edge.systemd_notify import Notifier
from engines.bundle import Bundle

_LOGGER = logging.getLogger(__name__)


class ReloadRequests:
    """Follows requests, one at a time; without a way to read a configuration there are none.

    Args:
        take: puts a proven configuration, with its bundle, in force.
        notifier: the line to systemd.
        state_directory: where engines are kept.
    """

    def __init__(
        self, take: Callable[[Config, Bundle], None], notifier: Notifier, state_directory: Optional[Path] = None
    ) -> None:
        self._take, self._notifier, self._state_directory = take, notifier, state_directory
        self._wanted = threading.Event()
        self._read_config: Optional[Callable[[], Config]] = None
        self._reload: Optional[Reload] = None
        self.kept_because = ""  # why the configuration in force was not replaced by the last one

    def offer(self, wanted: threading.Event, read_config: Callable[[], Config]) -> None:
        """From now on a set `wanted` is a request."""
        self._wanted, self._read_config = wanted, read_config

    def mind(self, config: Config, bundle: Bundle) -> bool:
        """Begin or conclude a look.  Returns whether one has just been concluded.

        Args:
            config, bundle: what is in force.
        """
        if self._reload is None:
            if self._read_config is not None and self._wanted.is_set():
                self._wanted.clear()
                _LOGGER.info("looking at the configuration anew")
                self._notifier.reloading()
                self._reload = Reload(self._read_config, config, bundle, self._state_directory)
            return False
        if not self._reload.is_over:
            return False
        reload, self._reload = self._reload, None
        self._conclude(reload)
        return True

    def _conclude(self, reload: Reload) -> None:
        self.kept_because = reload.complaint
        if reload.config is not None:
            self._take(reload.config, reload.bundle)
        else:
            _LOGGER.error("the configuration in force is kept: %s", reload.complaint)
        self._notifier.ready()
