"""`soundclr-edge watch`: what any dashboard receives, over MQTT and nothing else, for a person to look at."""

import sys
import threading
import time
import uuid
from typing import Any, Callable, Optional, TextIO

from edge.config import MqttConfig
from edge.connection import Connection, Received
from edge.connection_errors import NoConnectionError, RefusedError, TlsError
from edge.watch_model import WatchModel
from edge.watch_view import event_line, plain, render, status_line

__all__ = ["WatchModel", "Watcher", "render"]

_RETRY_S = 2.0
_FRAME_S = 0.25
_STATUS_LINE_S = 5.0


class Watcher:
    """Subscribes to everything below the root and shows it.

    Args:
        output: where to; live where it is a terminal and rich is installed, else a line for each event and every 5 s.
    """

    def __init__(self, config: MqttConfig, output: Optional[TextIO] = None) -> None:
        self._config = config
        self._output = output or sys.stdout
        self.model = WatchModel(config.root)
        self._began_s = time.monotonic()
        self._first_classification_s: Optional[float] = None
        self._next_status_line_s = self._began_s + _STATUS_LINE_S
        self._notice = "connecting to %s:%d" % (config.host, config.port)

    def run(self, duration_s: Optional[float] = None, stop_event: Optional[threading.Event] = None) -> None:
        """Show until the time is over or the event is set; a broker that goes away is waited for.

        Raises NoConnectionError: the broker refuses us.  ConfigError: a file of [mqtt] cannot be read.
        """
        until_s = float("inf") if duration_s is None else time.monotonic() + duration_s

        def is_over() -> bool:
            return time.monotonic() >= until_s or (stop_event is not None and stop_event.is_set())

        self._began_s = time.monotonic()
        live = _live_view(self._output)
        if live is None:
            self._run_until(is_over, show=lambda: None, is_live=False)
            return
        with live:
            self._run_until(
                is_over, show=lambda: live.update(render(self.model, self._notice), refresh=True), is_live=True
            )

    def summary(self) -> str:
        """What was received, in a few lines."""
        model = self.model
        first = self._first_classification_s
        events = ", ".join("%d %s" % (count, plain(label)) for label, count in sorted(model.events_started.items()))
        lines = [
            "%d messages, %d classifications from %d node(s)"
            % (model.messages, model.classifications, len(model.nodes)),
            "events: %s" % (events or "none"),
            "first classification after %.1f s" % first if first is not None else "no classification came",
        ]
        if model.rubbish:
            lines.append("%d messages could not be read; the last on %s" % (model.rubbish, plain(model.last_rubbish)))
        return "\n".join(lines)

    def _run_until(self, is_over: Callable[[], bool], show: Callable[[], None], is_live: bool) -> None:
        while not is_over():
            connection = Connection(
                self._config,
                "soundclr-watch-" + uuid.uuid4().hex[:8],
                on_message=lambda received: self._take(received, is_live),
            )
            try:
                connection.open(should_stop=is_over)
                connection.subscribe(self._config.root + "/#")
                self._notice = "%s:%d" % (self._config.host, self._config.port)
                self._show_while(connection, is_over, show, is_live)
                connection.close()
            except (RefusedError, TlsError):
                raise
            except NoConnectionError as failure:
                self._wait_after(failure, is_over, show, is_live)
            finally:
                connection.abort()

    def _show_while(
        self, connection: Connection, is_over: Callable[[], bool], show: Callable[[], None], is_live: bool
    ) -> None:
        next_frame_s = 0.0
        while not is_over():
            connection.pump(_FRAME_S)
            now_s = time.monotonic()
            if now_s >= next_frame_s:
                show()
                next_frame_s = now_s + _FRAME_S
            if not is_live and now_s >= self._next_status_line_s:
                self._next_status_line_s = now_s + _STATUS_LINE_S
                for node in sorted(self.model.nodes):
                    for source in sorted(self.model.nodes[node].sources):
                        self._write(status_line(self.model, node, source))

    def _wait_after(
        self, failure: NoConnectionError, is_over: Callable[[], bool], show: Callable[[], None], is_live: bool
    ) -> None:
        if str(failure) != self._notice and not is_live and not is_over():
            self._write(str(failure))
        self._notice = str(failure)
        until_s = time.monotonic() + _RETRY_S
        while not is_over() and time.monotonic() < until_s:
            show()
            time.sleep(0.1)

    def _take(self, received: Received, is_live: bool) -> None:
        for update in self.model.feed(received.topic, received.payload, received.retained):
            if update.kind == "classification" and self._first_classification_s is None:
                self._first_classification_s = time.monotonic() - self._began_s
            if not is_live:
                line = event_line(update)
                if line:
                    self._write(line)

    def _write(self, line: str) -> None:
        self._output.write(line + "\n")
        self._output.flush()


def _live_view(output: TextIO) -> Any:
    if not output.isatty():
        return None
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        return None
    return Live(console=Console(file=output), auto_refresh=False)
