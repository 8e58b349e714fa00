"""A dashboard: reads from a broker, and comes back whenever the broker does."""

import threading
import time

from edge.connection import Connection
from edge.connection_errors import NoConnectionError

STATUS, EVENT = "soundclr/corner/status", "soundclr/corner/street/event"


class Reader:
    """Args: pause_s: time that it takes over each message; name: its client id."""

    def __init__(self, config, topic="soundclr/#", pause_s=0.0, name="reader"):
        self._config, self._topic, self._pause_s, self._name = config, topic, pause_s, name
        self._stop = threading.Event()
        self.received, self.is_subscribed = [], threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self.is_subscribed.wait(20)
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join(20)

    def numbers(self):
        return [int(message.payload) for message in list(self.received) if message.topic == EVENT]

    def payloads(self, topic=EVENT):
        return [message.payload for message in list(self.received) if message.topic == topic]

    def states(self):
        return [(message.payload, message.retained) for message in list(self.received) if message.topic == STATUS]

    def _take(self, message):
        self.received.append(message)
        time.sleep(self._pause_s)

    def _run(self):
        while not self._stop.is_set():
            connection = Connection(self._config, self._name, on_message=self._take)
            try:
                connection.open(2.0, self._stop.is_set)
                connection.subscribe(self._topic)
                self.is_subscribed.set()
                while not self._stop.is_set():
                    connection.pump(0.1)
            except NoConnectionError:
                self.is_subscribed.clear()
                time.sleep(0.02)
            finally:
                connection.abort()
