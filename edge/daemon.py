"""The daemon: sources, publisher and health under one roof, until stopped."""

import logging
import platform
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from edge import __version__
from edge.clock import SourceClock, new_boot_id
from edge.config import Config, SourceConfig
from edge.health import ProcessUsage, timing_values
from edge.interrupted import restart_ends
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.namesake import NameGuard
from edge.prometheus import Figures, PrometheusEndpoint
from edge.publish import Publisher
from edge.records import Message
from edge.reload import Reload, changed_sources, is_new_node
from edge.start_history import STEADY_S
from edge.store import MemoryStore, Store
from edge.supervision import Supervision
from edge.systemd_notify import Notifier
from edge.timing import Durations
from engines.bundle import Bundle

_LOGGER = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 4.5  # all in all: a service manager is promised 5 s
_STORE_TIMEOUT_S = 0.7  # of it for the disk to take what was said last, so that it may be sent
_FLUSH_TIMEOUT_S = 2.0  # of it, at least, for the broker
_REPLACE_TIMEOUT_S = 5.0
_STATUS_INTERVAL_S = 10.0
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
        self._config, self._bundle, self._stop, self._state_directory = config, bundle, stop, state_directory
        self._notifier = notifier or Notifier()
        self._supervision = Supervision(self._notifier)
        self._boot_id = boot_id = new_boot_id()
        names = [source.name for source in config.source]
        self._factory = MessageFactory(config.mqtt.root, config.node.name, bundle.id, boot_id, bundle.labels, names)
        self._clock = SourceClock()
        self._started = self._clock.utc_now()
        self._started_s = time.monotonic()
        self._usage, self._scrape_usage = ProcessUsage(), ProcessUsage()  # each counts from its own last look
        self._endpoint = PrometheusEndpoint(config.prometheus.listen, self._figures)
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
        self._listeners = [self._new_listener(source) for source in config.source]
        self._wants_reload = threading.Event()
        self._read_config: Optional[Callable[[], Config]] = None
        self._reload: Optional[Reload] = None
        self._kept_because = ""
        self._next_status_s = 0.0
        self.successor: Optional[Tuple[Config, Bundle]] = None  # set where a reload needs a node of its own

    def offer_reload(self, wanted: threading.Event, read_config: Callable[[], Config]) -> None:
        """Look at the configuration anew whenever `wanted` is set; what proves itself is put in force."""
        self._wants_reload, self._read_config = wanted, read_config

    def run(self, duration_s: Optional[float] = None, on_steady: Callable[[], None] = lambda: None) -> None:
        """Hear and publish until stopped, until `duration_s` is over, until every source has ended, or until a new
        configuration needs a successor.

        Args:
            on_steady: called once, when the node has run for a while.

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
            if not self._should_stop:
                self._publisher.open()
            self._watch_over(duration_s, on_steady)
        finally:
            self._close()
        for listener in self._listeners:
            if listener.failure is not None:
                raise listener.failure

    def _new_listener(self, source: SourceConfig) -> Listener:
        return Listener(
            self._config,
            source,
            self._bundle,
            self._factory,
            self._boot_id,
            self._publisher.publish,
            threading.Event(),
            self._supervision.stage("source " + source.name),
            self._state_directory,
        )

    @property
    def _should_stop(self) -> bool:
        return self._stop.is_set() or any(listener.failure is not None for listener in self._listeners)

    @property
    def _is_over(self) -> bool:
        return self._should_stop or all(listener.is_finished for listener in self._listeners)

    def _wait_until_ready(self) -> None:
        while not self._should_stop and not all(listener.ready.is_set() for listener in self._listeners):
            self._supervise()
            self._stop.wait(0.02)

    def _watch_over(self, duration_s: Optional[float], on_steady: Callable[[], None]) -> None:
        next_health_s = self._started_s + self._config.publish.health_interval_s  # the first goes with the connection
        is_steady = False
        while not self._is_over and self.successor is None:
            ran_s = time.monotonic() - self._started_s
            if duration_s is not None and ran_s >= duration_s:
                return
            if time.monotonic() >= next_health_s:
                next_health_s = time.monotonic() + self._config.publish.health_interval_s
                self._publisher.publish(self._health_message())
            if self._runtime() != self._told_runtime:  # the GPU has taken over, or has failed
                self._publisher.publish(self._info_message())
            if ran_s >= STEADY_S and not is_steady:
                is_steady = True
                on_steady()
            self._supervise()
            self._endpoint.mind()
            self._mind_reload()
            self._stop.wait(_POLL_S)

    def _supervise(self) -> None:
        for listener in self._listeners:
            if listener.is_finished:
                self._supervision.dismiss(listener.stage)
        self._supervision.watch()
        if time.monotonic() >= self._next_status_s:
            self._next_status_s = time.monotonic() + _STATUS_INTERVAL_S
            self._notifier.status(self._status_line())

    def _status_line(self) -> str:
        """How the node fares, for a person at `systemctl status`."""
        hangs = ["%s hangs" % stage.name for stage in self._supervision.overdue()]
        sources = [
            "%s %s%s" % (one.name, one.status, " (%s)" % one.trouble if one.trouble else "") for one in self._listeners
        ]
        counts = [listener.counts for listener in self._listeners]
        facts = [
            "broker " + self._publisher.connection_state,
            "%d windows" % sum(c.windows for c in counts),
            "%d gaps" % sum(c.gaps for c in counts),
            "%d messages wait" % self._store.counts().waiting,
        ]
        kept = ["older configuration kept: " + self._kept_because] if self._kept_because else []
        return "; ".join(hangs + sources + facts + kept)

    def _mind_reload(self) -> None:
        if self._reload is None:
            if self._read_config is not None and self._wants_reload.is_set():
                self._wants_reload.clear()
                _LOGGER.info("looking at the configuration anew")
                self._notifier.reloading()
                self._reload = Reload(self._read_config, self._config, self._bundle, self._state_directory)
            return
        if self._reload.is_over:
            reload, self._reload = self._reload, None
            self._kept_because = reload.complaint
            if reload.config is not None:
                self._take(reload.config, reload.bundle)
            else:
                _LOGGER.error("the configuration in force is kept: %s", reload.complaint)
            self._next_status_s = 0.0
            self._notifier.ready()

    def _take(self, config: Config, bundle: Bundle) -> None:
        """Put a proven configuration in force."""
        if is_new_node(self._config, config, is_same_model=bundle == self._bundle):
            _LOGGER.info("new configuration: the node begins anew with it")
            self.successor = config, bundle
            return
        names = changed_sources(self._config, config)
        self._config = config
        _LOGGER.info(
            "new configuration: %s", "sources %s begin anew" % ", ".join(names) if names else "nothing changed"
        )
        for index, source in enumerate(config.source):
            if source.name in names:
                old = self._listeners[index]
                old.stop()
                if not old.join(_REPLACE_TIMEOUT_S):
                    _LOGGER.error("source %s did not stop in time; left behind", old.name)
                self._supervision.dismiss(old.stage)
                self._listeners[index] = self._new_listener(source)
                self._listeners[index].inherit(old)
                self._listeners[index].start()

    def _close(self) -> None:
        if self.successor is None:
            self._notifier.stopping()
        close_by_s = time.monotonic() + _CLOSE_TIMEOUT_S
        join_by_s = close_by_s - _FLUSH_TIMEOUT_S
        for listener in self._listeners:
            listener.stop()
        for listener in self._listeners:
            if not listener.join(max(0.0, join_by_s - time.monotonic())):
                _LOGGER.error("source %s did not stop in time", listener.name)
        self._store.flush(_STORE_TIMEOUT_S)
        self._endpoint.close()
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
        return self._factory.build("health", self._clock.utc_now(), self._health_values(self._usage))

    def _health_values(self, usage: ProcessUsage) -> Dict[str, Any]:
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
        values.update(usage.measure())
        values.update(timing_values([(name, list(found.values())) for name, found in self._durations().items()]))
        return values

    def _durations(self) -> Dict[str, Dict[str, Durations]]:
        return {
            "inference": {listener.name: listener.durations for listener in self._listeners},
            "latency": {listener.name: listener.latencies for listener in self._listeners},
        }

    def _figures(self) -> Figures:
        """For one scrape."""
        durations = {
            name: {source: one.summary() for source, one in found.items()} for name, found in self._durations().items()
        }
        labels = {"node": self._config.node.name, "version": __version__, "bundle": self._bundle.id}
        names = [listener.name for listener in self._listeners]
        return Figures(self._health_values(self._scrape_usage), durations, names, labels)
