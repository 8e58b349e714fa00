"""A broker inside this process, for demonstrations and tests: amqtt on loopback, TCP and websockets.

It keeps nothing and asks nobody's name; a street node's broker is a real one elsewhere.
"""

import asyncio
import logging
import socket
import threading
from concurrent import futures
from typing import Any, Dict, Optional, Tuple, Type

from edge.errors import BrokerError

_LOGGER = logging.getLogger(__name__)
_HOST = "127.0.0.1"
_PORTS_TRIED = 200
_START_S = 20.0
_STOP_S = 10.0


class EmbeddedBroker:
    """Listens on loopback only, until closed.

    Args:
        port: for MQTT over TCP; the next free one where it is taken, any free one for 0.
        websocket_port: for MQTT over websockets, likewise.

    Raises (on `open`):
        BrokerError: amqtt is missing, or no port near is free.
    """

    def __init__(self, port: int = 1883, websocket_port: int = 9001) -> None:
        self.port = port
        self.websocket_port = websocket_port
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._broker: Any = None

    def __enter__(self) -> "EmbeddedBroker":
        return self.open()

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def open(self) -> "EmbeddedBroker":
        """Start listening; `port` and `websocket_port` then say where."""
        broker_class = _amqtt_broker_class()
        for name in ("amqtt", "transitions", "websockets"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # they tell of each client that leaves without a word
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded-broker", daemon=True)
        self._thread.start()
        try:
            for _ in range(3):  # a port that was free may be taken in between
                self.port = _free_port_from(self.port)
                self.websocket_port = _free_port_from(self.websocket_port, taken=self.port)
                if self._is_started(broker_class):
                    _LOGGER.info("embedded broker on %s:%d, websockets on %d", _HOST, self.port, self.websocket_port)
                    return self
        except BaseException:
            self.close()
            raise
        self.close()
        raise BrokerError(
            "the embedded broker cannot listen on %s:%d or %d; give other ports"
            % (_HOST, self.port, self.websocket_port)
        )

    def close(self) -> None:
        """Stop listening.  Closing twice is no error."""
        loop, thread, broker = self._loop, self._thread, self._broker
        self._loop = self._thread = self._broker = None
        if loop is None or thread is None:
            return
        if broker is not None:
            self._wait_for(loop, broker.shutdown(), _STOP_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_S)
        if not thread.is_alive():
            loop.close()

    def _is_started(self, broker_class: Any) -> bool:
        loop = self._loop
        if loop is None:
            return False

        async def start() -> Any:
            broker = broker_class(_settings(self.port, self.websocket_port))
            await broker.start()
            return broker

        self._broker = self._wait_for(loop, start(), _START_S)
        return self._broker is not None

    @staticmethod
    def _wait_for(loop: asyncio.AbstractEventLoop, work: Any, timeout_s: float) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout_s)
        except _start_errors() as error:
            future.cancel()
            _LOGGER.debug("embedded broker: %r", error)
            return None


def _amqtt_broker_class() -> Any:
    try:
        from amqtt.broker import Broker
    except ImportError as error:
        raise BrokerError(
            "the embedded broker needs the Python package amqtt and Python 3.10 or later (%s); "
            "pip install amqtt, or give the address of a broker" % error
        ) from error
    return Broker


def _start_errors() -> Tuple[Type[BaseException], ...]:
    from amqtt.errors import AMQTTError

    return AMQTTError, OSError, RuntimeError, futures.TimeoutError, futures.CancelledError


def _settings(port: int, websocket_port: int) -> Dict[str, Any]:
    return {
        "listeners": {
            "default": {"type": "tcp", "bind": "%s:%d" % (_HOST, port)},
            "websockets": {"type": "ws", "bind": "%s:%d" % (_HOST, websocket_port)},
        },
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def _free_port_from(first: int, taken: int = -1) -> int:
    if first == 0:
        return _bound_port(0)
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        if port != taken and _bound_port(port):
            return port
    raise BrokerError("no free port on %s from %d on; give another" % (_HOST, first))


def _bound_port(port: int) -> int:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker will: old links do not count
        try:
            trial.bind((_HOST, port))
        except OSError:
            return 0
        return int(trial.getsockname()[1])
