"""The daemon: sources, publisher and health under one roof, until stopped."""

import logging
import platform
import signal
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from edge import __version__
from edge.clock import SourceClock, new_boot_id
from edge.config import Config
from edge.health import ProcessUsage
from edge.installation import read_installation_id
from edge.interrupted import restart_ends
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.namesake import NameGuard
from edge.publish import Publisher
from edge.records import Message
from edge.storage import open_store
from edge.store import MemoryStore, Store
from edge.supervision import Supervision
from edge.systemd_notify import Notifier
from engines.bundle import Bundle, load_bundle

_LOGGER = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 4.5  # all in all: a service manager is promised 5 s
_STORE_TIMEOUT_S = 0.7  # of it for the disk to take what was said last, so that it may be sent
_FLUSH_TIMEOUT_S = 2.0  # of it, at least, for the broker
_POLL_S = 0.2


class Daemon:
    """One node.

    Args:
        installation_id: tells this installation from a copy of its card (`edge.installation`).
        stop: set it to end `run`.
        store: owned by the caller, who closes it afterwards; one in memory where None.
        state_directory: where engines are kept; None: this node hears on the processor.
        notifier: the line to systemd; $NOTIFY_SOCKET's where None.
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        installation_id: str,
        stop: threading.Event,
        notifier: Optional[Notifier] = None,
        store: Optional[Store] = None,
        state_directory: Optional[Path] = None,
    ) -> None:
        self._config, self._bundle, self._stop = config, bundle, stop
        self._notifier = notifier or Notifier()
        self._supervision = Supervision(self._notifier)
        boot_id = new_boot_id()
        names = [source.name for source in config.source]
        self._factory = MessageFactory(config.mqtt.root, config.node.name, bundle.id, boot_id, bundle.labels, names)
        self._clock = SourceClock()
        self._started = self._clock.utc_now()
        self._started_s = time.monotonic()
        self._usage = ProcessUsage()
        self._told_runtime = ""
        self._store = store if store is not None else MemoryStore()
        self._installation_id = installation_id
        self._name_guard = NameGuard(
            config.mqtt.root, config.node.name, installation_id, boot_id, on_found=self._tell_of_namesake
        )
        self._publisher = Publisher(
            config.mqtt,
            config.node.name,
            self._store,
            self._messages_on_connect,
            installation_id,
            subscriptions=self._name_guard.subscriptions,
        )
        self._listeners = [
            Listener(
                config,
                source,
                bundle,
                self._factory,
                boot_id,
                self._publisher.publish,
                stop,
                self._supervision.stage("source " + source.name),
                state_directory,
            )
            for source in config.source
        ]

    def run(self, duration_s: Optional[float] = None) -> None:
        """Hear and publish until stopped, until `duration_s` is over, or until every source has ended.

        Raises:
            EdgeError, EngineError: a source, the bundle or the runtime cannot be used.
            Exception: whatever a source's thread died of.
        """
        for message in restart_ends(self._store, self._factory):
            self._publisher.publish(message)
        try:
            for listener in self._listeners:
                listener.start()
            self._notifier.ready()  # supervision runs, whether there is a microphone or a broker or not
            self._wait_until_ready()
            if not self._stop.is_set():
                self._publisher.open()
            self._watch_over(duration_s)
        finally:
            self._close()
        for listener in self._listeners:
            if listener.failure is not None:
                raise listener.failure

    def _wait_until_ready(self) -> None:
        while not self._stop.is_set() and not all(listener.ready.is_set() for listener in self._listeners):
            self._supervise()
            self._stop.wait(0.02)

    def _watch_over(self, duration_s: Optional[float]) -> None:
        next_health_s = self._started_s + self._config.publish.health_interval_s  # the first goes with the connection
        while not self._stop.is_set() and not all(listener.is_finished for listener in self._listeners):
            now_s = time.monotonic()
            if duration_s is not None and now_s - self._started_s >= duration_s:
                return
            if now_s >= next_health_s:
                next_health_s = now_s + self._config.publish.health_interval_s
                self._publisher.publish(self._health_message())
            if self._runtime() != self._told_runtime:  # the GPU has taken over, or has failed
                self._publisher.publish(self._info_message())
            self._supervise()
            self._stop.wait(_POLL_S)

    def _supervise(self) -> None:
        for listener in self._listeners:
            if listener.is_finished:
                self._supervision.dismiss(listener.stage)
        self._supervision.watch()

    def _close(self) -> None:
        self._stop.set()
        self._notifier.stopping()
        close_by_s = time.monotonic() + _CLOSE_TIMEOUT_S
        join_by_s = close_by_s - _FLUSH_TIMEOUT_S
        for listener in self._listeners:
            if not listener.join(max(0.0, join_by_s - time.monotonic())):
                _LOGGER.error("source %s did not stop in time", listener.name)
        self._store.flush(_STORE_TIMEOUT_S)
        self._publisher.close(close_by_s - time.monotonic())

    def _tell_of_namesake(self) -> None:
        self._publisher.publish(self._info_message())

    def _messages_on_connect(self) -> List[Message]:
        self._name_guard.begin_connection()
        of_sources = [message for listener in self._listeners for message in listener.messages_on_connect()]
        return [self._info_message()] + of_sources + [self._health_message()]

    def _info_message(self) -> Message:
        node = self._config.node
        self._told_runtime = self._runtime()
        return self._factory.build(
            "info",
            self._clock.utc_now(),
            {
                "version": __version__,
                "python": platform.python_version(),
                "machine": platform.platform(),
                "runtime": self._told_runtime,
                "started": self._started,
                "labels": list(self._bundle.labels),
                "sources": [listener.name for listener in self._listeners],
                "window_s": self._bundle.frontend.window_s,
                "hop_s": self._config.model.hop_s,
                "site": node.site or None,
                "latitude_deg": node.latitude_deg,
                "longitude_deg": node.longitude_deg,
                "model_sha256": self._bundle.digests["model.onnx"],
                "installation": self._installation_id,
                "namesake": self._name_guard.namesake,
            },
        )

    def _runtime(self) -> str:
        return "; ".join(sorted({listener.runtime for listener in self._listeners if listener.runtime}))

    def _health_message(self) -> Message:
        counts = [listener.counts for listener in self._listeners]
        values: Dict[str, Any] = {
            "uptime_s": time.monotonic() - self._started_s,
            "sources_online": sum(listener.status == "online" for listener in self._listeners),
            "sources_configured": len(self._listeners),
            "windows": sum(c.windows for c in counts),
            "gaps": sum(c.gaps for c in counts),
            "lost_s": sum(c.lost_s for c in counts),
        }
        for listener in self._listeners:
            values.update(listener.health())
        values.update(self._publisher.health())
        values.update(self._usage.measure())
        return self._factory.build("health", self._clock.utc_now(), values)


def run_daemon(config: Config, state_directory: Path, *, duration_s: Optional[float] = None) -> int:
    """Run a node in this process until SIGTERM or SIGINT.  Returns the exit status."""
    stop = threading.Event()
    installation_id = read_installation_id(state_directory)
    bundle = load_bundle(Path(config.model.bundle))
    with _StopSignals(stop), open_store(config.store, state_directory) as store:
        Daemon(config, bundle, installation_id, stop, store=store, state_directory=state_directory).run(duration_s)
    return 0


class _StopSignals:
    """SIGTERM and SIGINT set an event for as long as this lasts."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._previous: Any = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, lambda *_: self._stop.set())

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
