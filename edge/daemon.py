"""The daemon: sources, publisher and health under one roof, until stopped."""

import logging
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from edge.clips.keeper import ClipKeeper, clips_off
from edge.clips.opening import open_clips
from edge.clock import new_boot_id
from edge.config import Config, SourceConfig
from edge.home_assistant import Announcer
from edge.interrupted import restart_ends
from edge.levels.filtering import scipy_signal
from edge.levels.third_octaves import band_names
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.namesake import NameGuard
from edge.node_report import NodeReport
from edge.prometheus import PrometheusEndpoint
from edge.publish import Publisher
from edge.records import Message
from edge.reload import changed_sources, is_new_node
from edge.reload_requests import ReloadRequests
from edge.start_history import STEADY_S
from edge.store import MemoryStore, Store
from edge.supervision import Supervision
from edge.systemd_notify import Notifier
from engines.bundle import Bundle

_LOGGER = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 4.5  # all in all: a service manager is promised 5 s
_STORE_TIMEOUT_S = 0.7  # of it for the disk to take what was said last, so that it may be sent
_CLIPS_TIMEOUT_S = 0.8  # of it for what was heard last to become clips
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

    Raises:
        LevelsError: sound levels are wanted, and SciPy is not there.
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
        bands = band_names() if config.levels.tells_bands else ()
        if config.levels.enabled:
            scipy_signal()  # without it the node would fail at its first sound, when nobody looks any more
        self._factory = MessageFactory(
            config.mqtt.root, config.node.name, bundle.id, boot_id, bundle.labels, names, bands
        )
        self._started_s = time.monotonic()
        self._store = store if store is not None else MemoryStore()
        self._name_guard = NameGuard(
            config.mqtt.root, config.node.name, installation_id, boot_id, on_found=self._tell_of_namesake
        )
        self._announcer = Announcer(config, bundle.labels, state_directory, self._messages_of_sources)
        self._publisher = Publisher(
            config.mqtt,
            config.node.name,
            self._store,
            self._messages_on_connect,
            installation_id,
            subscriptions=dict(self._name_guard.subscriptions, **self._announcer.subscriptions),
        )
        self._clips = open_clips(
            config.clips, bundle.labels, state_directory, self._factory, self._publisher.publish, config.node.name
        )
        self._listeners = [self._new_listener(source) for source in config.source]
        self._report = NodeReport(
            config,
            bundle,
            self._factory,
            self._listeners,
            self._publisher,
            self._name_guard,
            installation_id,
            self._clips.health if self._clips is not None else clips_off,
        )
        self._endpoint = PrometheusEndpoint(config.prometheus.listen, self._report.figures)
        self._reload_requests = ReloadRequests(self._take, self._notifier, state_directory)
        self._next_status_s = 0.0
        self.successor: Optional[Tuple[Config, Bundle]] = None  # set where a reload needs a node of its own

    def offer_reload(self, wanted: threading.Event, read_config: Callable[[], Config]) -> None:
        """Look at the configuration anew whenever `wanted` is set; what proves itself is put in force."""
        self._reload_requests.offer(wanted, read_config)

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
            if self._clips is not None:
                self._clips.open()
            for listener in self._listeners:
                listener.start()
            self._notifier.ready()  # supervision runs, whether there is a microphone or a broker or not
            self._wait_until_ready()
            if not self._should_stop:
                self._publisher.open()
                self._supervision.add(self._publisher.stage)
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
            self._publish,
            threading.Event(),
            self._supervision.stage("source " + source.name),
            self._state_directory,
            lambda: self._store.keepsakes(source.name),
            self._clips.offer if isinstance(self._clips, ClipKeeper) else None,
        )

    def _publish(self, message: Message) -> None:
        self._announcer.notice(message)
        self._publisher.publish(message)

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
                self._publisher.publish(self._report.health_message())
            if self._report.has_news:
                self._publisher.publish(self._report.info_message())
            self._announce()
            if ran_s >= STEADY_S and not is_steady:
                is_steady = True
                on_steady()
            self._supervise()
            self._endpoint.mind()
            if self._reload_requests.mind(self._config, self._bundle):
                self._next_status_s = 0.0
            self._stop.wait(_POLL_S)

    def _announce(self) -> None:
        if self._publisher.connection_state != "connected" or self._publisher.was_cut_again:
            self._announcer.lose_connection()
            return
        for message in self._announcer.messages_due():
            self._publisher.publish(message)

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
        if self._clips is not None:
            facts.append(self._clips.describe())
        kept_because = self._reload_requests.kept_because
        kept = ["older configuration kept: " + kept_because] if kept_because else []
        return "; ".join(hangs + sources + facts + kept)

    def _take(self, config: Config, bundle: Bundle) -> None:
        """Put a proven configuration in force."""
        if is_new_node(self._config, config, is_same_model=bundle == self._bundle):
            _LOGGER.info("new configuration: the node begins anew with it")
            self.successor = config, bundle
            return
        names = changed_sources(self._config, config)
        self._config = self._report.config = config
        self._announcer.change(config)
        if isinstance(self._clips, ClipKeeper):
            self._clips.take_key()
        _LOGGER.info(
            "new configuration: %s", "sources %s begin anew" % ", ".join(names) if names else "nothing changed"
        )
        for index, source in enumerate(config.source):
            if source.name in names:
                self._replace_listener(index, source)

    def _replace_listener(self, index: int, source: SourceConfig) -> None:
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
        join_by_s = close_by_s - _FLUSH_TIMEOUT_S - (_CLIPS_TIMEOUT_S if self._clips is not None else 0.0)
        for listener in self._listeners:
            listener.stop()
        for listener in self._listeners:
            if not listener.join(max(0.0, join_by_s - time.monotonic())):
                _LOGGER.error("source %s did not stop in time", listener.name)
        if self._clips is not None:
            self._clips.close(_CLIPS_TIMEOUT_S)
        self._store.flush(_STORE_TIMEOUT_S)
        self._endpoint.close()
        self._supervision.dismiss(self._publisher.stage)
        self._publisher.close(close_by_s - time.monotonic())

    def _tell_of_namesake(self) -> None:
        self._publisher.publish(self._report.info_message())

    def _messages_on_connect(self) -> List[Message]:
        self._name_guard.begin_connection()
        own = [self._report.info_message()] + self._messages_of_sources() + [self._report.health_message()]
        if not self._publisher.was_cut_again:
            return own + self._announcer.messages_on_connect()
        if self._config.home_assistant.discovery:
            _LOGGER.warning("home assistant: not announced, as the broker ends connections; see what its ACL allows")
        return own

    def _messages_of_sources(self) -> List[Message]:
        return [message for listener in self._listeners for message in listener.messages_on_connect()]
