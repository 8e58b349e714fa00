"""A way to the broker that fails on command: it stops passing bytes on, or passes few, and never says so."""

import select
import socket
import threading
import time
from typing import Any

_CHUNK_BYTES = 2048


class LinkProxy:
    """Passes TCP on to a port of loopback.

    While it is `frozen` it takes no bytes and ends no connection, as a link does whose other end has lost its power;
    the kernels on both sides see nothing but silence.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.frozen = False
        self.bytes_per_s = 0.0  # from the node to the broker; 0: no limit
        self.passed_bytes = 0  # from the node to the broker
        self.connections = 0
        self._stop = threading.Event()
        self._links: Any = []
        self._listener = socket.socket()
        # a small window, so that bytes wait on the node's side and not here
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(5)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="link-proxy", daemon=True).start()

    def __enter__(self) -> "LinkProxy":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stop.set()
        self._listener.close()
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                readable, _, _ = select.select([self._listener], [], [], 0.1)
                if not readable:
                    continue
                near, _ = self._listener.accept()
            except (OSError, ValueError):
                return  # closed
            else:
                self.connections += 1
                threading.Thread(target=self._serve, args=(near,), name="link-proxy-link", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = None
        try:
            while self.frozen and not self._stop.is_set():
                time.sleep(0.01)
            far = socket.create_connection(("127.0.0.1", self._target_port), 5)
            self._links += [near, far]
            while not self._stop.is_set() and self._pass_on((near, far)):
                pass
        except (OSError, ValueError):
            pass  # one side has gone, or this proxy has
        finally:
            near.close()
            if far is not None:
                far.close()

    def _pass_on(self, pair: Any) -> bool:
        near, far = pair
        if self.frozen:
            time.sleep(0.01)
            return True
        readable, _, _ = select.select(pair, [], [], 0.05)
        for link in readable:
            if self.frozen:
                return True
            content = link.recv(_CHUNK_BYTES)
            if not content:
                return False
            if link is near:
                if self.bytes_per_s:
                    time.sleep(len(content) / self.bytes_per_s)
                self.passed_bytes += len(content)
                far.sendall(content)
            else:
                near.sendall(content)
        return True
