"""The daemon as a service runs it: signals, tight modes, a wait after failed starts, configuration from its file."""

import faulthandler
import logging
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

from edge.config import Config
from edge.daemon import Daemon
from edge.installation import read_installation_id
from edge.start_history import StartHistory, runtime_directory
from edge.storage import open_store
from edge.systemd_notify import Notifier
from engines.bundle import Bundle, load_bundle

_LOGGER = logging.getLogger(__name__)
_EXTENSION_S = 30.0
_LOOK_S = 0.5


def run_service(
    read_config: Callable[[], Config],
    state_directory: Path,
    *,
    config_path: Optional[Path] = None,
    duration_s: Optional[float] = None,
) -> int:
    """Run a node in this process until SIGTERM or SIGINT; SIGHUP takes a new configuration.

    Args:
        read_config: reads and checks the configuration; asked again at each SIGHUP.
        config_path: where it is, so that a change of it ends the wait after failed starts.

    Returns:
        The exit status.

    Raises:
        EdgeError, EngineError: the configuration, the bundle, a source or the runtime cannot be used.
    """
    _tighten()
    stop, reload = threading.Event(), threading.Event()
    notifier, history = Notifier(), StartHistory(runtime_directory())
    with _Signals({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}):
        _wait_after_failures(history, notifier, stop, reload, config_path)
        if not stop.is_set():
            history.begin()
            reload.clear()
            config = read_config()
            successor: Optional[Tuple[Config, Bundle]] = (config, load_bundle(Path(config.model.bundle)))
            while successor is not None and not stop.is_set():
                config, bundle = successor
                installation_id = read_installation_id(state_directory)
                with open_store(config.store, state_directory) as store:
                    daemon = Daemon(config, bundle, installation_id, stop, notifier, store, state_directory)
                    daemon.offer_reload(reload, read_config)
                    daemon.run(duration_s, on_steady=history.succeed)
                successor = daemon.successor
        history.succeed()
    return 0


def _tighten() -> None:
    """What this process writes is its own; what it knows is in no core dump; a fatal signal says where it struck."""
    os.umask(0o077)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable()
    except (OSError, ValueError, AttributeError) as error:  # stderr that is no file
        _LOGGER.debug("no limit on core dumps, or no report of fatal signals: %s", error)


def _wait_after_failures(
    history: StartHistory,
    notifier: Notifier,
    stop: threading.Event,
    reload: threading.Event,
    config_path: Optional[Path],
) -> None:
    until_s = time.monotonic() + history.wait_s
    if not history.wait_s:
        return
    text = "Waiting %.0f s: the last %d starts failed; see journalctl -u soundclr-edge" % (
        history.wait_s,
        history.failures,
    )
    _LOGGER.warning("%s; a changed configuration or a reload ends the wait", text)
    notifier.status(text)
    seen = _stamp(config_path)
    while time.monotonic() < until_s and not stop.is_set() and not reload.is_set() and _stamp(config_path) == seen:
        notifier.extend_start_timeout(_EXTENSION_S)
        stop.wait(_LOOK_S)


def _stamp(path: Optional[Path]) -> Any:
    try:
        return path.stat()[6:] if path is not None else None  # size and times
    except OSError:
        return None


class _Signals:
    """Signals set events for as long as this lasts."""

    def __init__(self, events: Dict[int, threading.Event]) -> None:
        self._events = events
        self._previous: Any = {}

    def __enter__(self) -> None:
        for number in self._events:
            self._previous[number] = signal.signal(number, self._note)

    def _note(self, number: int, _frame: Any) -> None:
        self._events[number].set()

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
