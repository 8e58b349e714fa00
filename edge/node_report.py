"""What a node tells of itself: `info`, `health`, and the figures for one scrape."""

import platform
import time
from typing import Any, Callable, Dict, Sequence

from edge import __version__
from edge.clips.keeper import clips_off
from edge.clock import SourceClock
from edge.config import Config
from edge.health import ProcessUsage, timing_values
from edge.listener import Listener
from edge.messages import MessageFactory
from edge.namesake import NameGuard
from edge.prometheus import Figures
from edge.publish import Publisher
from edge.records import JsonObject, Message
from edge.timing import Durations
from engines.bundle import Bundle


class NodeReport:
    """Asks every part how it fares, at the moment of the question.

    Args:
        config: in force; its owner sets `config` when another one is.
        listeners: those of now; their owner may replace them in it.
        installation_id: tells this installation from a copy of its card (`edge.installation`).
        clips_health: the fields of `health` that tell of clips.
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        factory: MessageFactory,
        listeners: Sequence[Listener],
        publisher: Publisher,
        name_guard: NameGuard,
        installation_id: str,
        clips_health: Callable[[], JsonObject] = clips_off,
    ) -> None:
        self.config = config
        self._bundle, self._factory, self._listeners, self._publisher = bundle, factory, listeners, publisher
        self._name_guard, self._installation_id, self._clips_health = name_guard, installation_id, clips_health
        self._clock = SourceClock()
        self._started = self._clock.utc_now()
        self._started_s = time.monotonic()
        self._usage, self._scrape_usage = ProcessUsage(), ProcessUsage()  # each counts from its own last look
        self._told_runtime = ""

    @property
    def has_news(self) -> bool:
        """Whether `info` would say of another runtime: the GPU has taken over, or has failed.

        The first `info` goes with the connection.
        """
        return self._told_runtime not in ("", self._runtime())

    def info_message(self) -> Message:
        """What the node is: versions, model, place."""
        node = self.config.node
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
                "hop_s": self.config.model.hop_s,
                "site": node.site or None,
                "latitude_deg": node.latitude_deg,
                "longitude_deg": node.longitude_deg,
                "model_sha256": self._bundle.digests["model.onnx"],
                "installation": self._installation_id,
                "namesake": self._name_guard.namesake,
            },
        )

    def health_message(self) -> Message:
        """How the node fares."""
        return self._factory.build("health", self._clock.utc_now(), self._health_values(self._usage))

    def figures(self) -> Figures:
        """For one scrape."""
        durations = {
            name: {source: one.summary() for source, one in found.items()} for name, found in self._durations().items()
        }
        labels = {"node": self.config.node.name, "version": __version__, "bundle": self._bundle.id}
        names = [listener.name for listener in self._listeners]
        return Figures(self._health_values(self._scrape_usage), durations, names, labels)

    def _runtime(self) -> str:
        return "; ".join(sorted({listener.runtime for listener in self._listeners if listener.runtime}))

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
        values.update(self._clips_health())
        values.update(usage.measure())
        values.update(timing_values([(name, list(found.values())) for name, found in self._durations().items()]))
        return values

    def _durations(self) -> Dict[str, Dict[str, Durations]]:
        return {
            "inference": {listener.name: listener.durations for listener in self._listeners},
            "latency": {listener.name: listener.latencies for listener in self._listeners},
        }
