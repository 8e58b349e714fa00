"""The figures of the health messages for Prometheus, by prometheus-client, asked for and answered at each scrape.

Names follow Prometheus' conventions: prefix, base units, `_total` for what only grows. They are derived from the
fields of `health`, so whatever a health message gains is here too.
"""

import logging
import re
import socket
import socketserver
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from edge.config import address_from_listen
from edge.errors import ConfigError
from edge.message_fields import Field
from edge.message_types import MESSAGE_TYPES
from edge.timing import DurationSummary

_LOGGER = logging.getLogger(__name__)
_RETRY_S = 60.0
_CLIENT_TIMEOUT_S = 5.0
_CLIENTS = 8  # at a time; more are turned away
# Only grow, and begin anew with the daemon. Of a family, the name before `_<source>`.
_COUNTERS = re.compile(
    "windows|gaps|lost_s|mqtt_(reconnects|sent|dropped)|store_(dropped|expired|set_aside)|restarts|stalls|overflows|"
    "skips|drifts|withheld_s|clips_(written|freed|withheld_[a-z]+)"
)
_OTHERWISE = re.compile(r"(inference|latency)_p\d+_ms|cpu_ratio|uptime_s")  # summaries, and process_*, tell these
_UNITS = (
    ("_mb", "_bytes", 1e6),
    ("_ms", "_seconds", 1e-3),
    ("_s", "_seconds", 1.0),
    ("_c", "_celsius", 1.0),
    ("_hz", "_hertz", 1.0),
)


class Figures(NamedTuple):
    """What is told at one scrape."""

    health: Mapping[str, Any]  # values of a health message, by field
    durations: Mapping[str, Mapping[str, DurationSummary]]  # "inference" and "latency", by source
    sources: Sequence[str]
    labels: Mapping[str, str]  # node, version, bundle


class PrometheusEndpoint:
    """An HTTP endpoint for Prometheus, while it is open; nothing where `listen` is empty.

    A port that is taken is tried again by `mind`: no figures are a lesser evil than no node.

    Args:
        listen: as in the configuration.
        figures: called at each scrape, in a thread of this endpoint's.
    """

    def __init__(self, listen: str, figures: Callable[[], Figures]) -> None:
        self._address, self._figures = address_from_listen(listen) if listen else None, figures
        self._server: Optional[WSGIServer] = None
        self._thread: Optional[threading.Thread] = None
        self._retry_at_s = 0.0

    @property
    def port(self) -> int:
        """Where it listens; 0 where it does not."""
        return self._server.server_port if self._server is not None else 0

    def mind(self) -> None:
        """Open what should be open and is not.  Raises ConfigError: prometheus-client is not installed."""
        if self._address is None or self._server is not None or time.monotonic() < self._retry_at_s:
            return
        application = _application_from(self._figures)
        try:
            self._server = make_server(
                self._address[0], self._address[1], application, _server_for(self._address[0]), _Handler
            )
        except (OSError, OverflowError) as error:
            self._retry_at_s = time.monotonic() + _RETRY_S
            _LOGGER.error(
                "Prometheus: %s:%d cannot be listened at: %s; trying again in %.0f s", *self._address, error, _RETRY_S
            )
            return
        self._thread = threading.Thread(target=self._server.serve_forever, name="prometheus", daemon=True)
        self._thread.start()
        _LOGGER.info("Prometheus: http://%s:%d/metrics", self._address[0], self.port)

    def close(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join(_CLIENT_TIMEOUT_S)
            server.server_close()


def metric_name(field: str) -> Tuple[str, float]:
    """Name without prefix and `_total`, in base units, and what to multiply values with."""
    for suffix, unit, factor in _UNITS:
        if field.endswith(suffix):
            return field[: -len(suffix)] + unit, factor
    return field, 1.0


def _application_from(figures: Callable[[], Figures]) -> Any:
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
    except ImportError as error:
        raise ConfigError(
            "[prometheus] listen is set, and the Python package prometheus-client is missing (%s); install it: "
            "pip install prometheus-client" % error
        ) from error
    registry = CollectorRegistry()
    collector: Any = _Collector(figures)  # quacks like prometheus_client's, which is not there at import
    registry.register(collector)
    ProcessCollector(registry=registry)
    return make_wsgi_app(registry)


class _Collector:
    """Asks for the figures at each scrape."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> List[Any]:
        """Nothing beforehand: asking would need the figures now."""
        return []

    def collect(self) -> Iterator[Any]:
        """All metrics."""
        figures = self._figures()
        yield _info(figures.labels)
        for field in MESSAGE_TYPES["health"].fields:
            yield from _metrics_of(field, figures)
        for name, of_sources in figures.durations.items():
            yield _summary(name, of_sources)


def _info(labels: Mapping[str, str]) -> Any:
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily("soundclr", "What the node is", dict(labels))


def _metrics_of(field: Field, figures: Figures) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    stem = field.name.replace("_<source>", "")
    is_family = stem != field.name
    found: Dict[str, Any] = {"": figures.health.get(field.name)}
    if is_family:
        found = {source: figures.health.get("%s_%s" % (stem, source)) for source in figures.sources}
    if _OTHERWISE.fullmatch(stem):
        return
    name, factor = metric_name(stem)
    name = ("soundclr_source_" if is_family else "soundclr_") + name
    is_text = field.kind == "text"
    labels = (["source"] if is_family else []) + ([stem] if is_text else [])
    kind = CounterMetricFamily if _COUNTERS.fullmatch(stem) else GaugeMetricFamily
    family = kind(name, field.description.capitalize(), labels=labels)
    for source, value in sorted(found.items()):
        if value is not None:
            leading = [source] if is_family else []
            family.add_metric(leading + ([value] if is_text else []), 1.0 if is_text else float(value) * factor)
    yield family


def _summary(name: str, of_sources: Mapping[str, DurationSummary]) -> Any:
    from prometheus_client.core import SummaryMetricFamily

    words = {
        "inference": "Work of a hop: resampling, log-mel, network, decision",
        "latency": "From a window's end to its message",
    }
    family = SummaryMetricFamily("soundclr_%s_seconds" % name, words.get(name, name), labels=["source"])
    for source, summary in of_sources.items():
        for quantile, seconds in sorted(summary.quantiles_s.items()):
            family.add_sample(family.name, {"source": source, "quantile": "%g" % quantile}, seconds)
        family.add_metric([source], summary.entries, summary.total_s)
    return family


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name for it
        _LOGGER.debug("Prometheus: %s: %s", self.client_address[0], format % arguments)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers each client in a thread of its own, a few at a time, so that one that hangs keeps nobody waiting."""

    daemon_threads = True
    request_queue_size = _CLIENTS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._places = threading.BoundedSemaphore(_CLIENTS)
        super().__init__(*arguments, **options)

    def server_bind(self) -> None:
        # not the base's: it asks the resolver for this host's name, which may take long where there is no network
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Server6(_Server):
    address_family = socket.AF_INET6


def _server_for(host: str) -> Type[_Server]:
    return _Server6 if ":" in host else _Server
