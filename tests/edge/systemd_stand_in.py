"""What systemd would hear: a datagram socket in the place of its own."""

import select
import socket
import threading


class SystemdStandIn:
    """Receives notifications; `address` is what $NOTIFY_SOCKET would say.

    Args:
        reads: False leaves everything unread, as a systemd that has no time does.
    """

    def __init__(self, address, reads=True):
        self.address = str(address)
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind("\0" + self.address[1:] if self.address[0] == "@" else self.address)
        self._line.setblocking(False)
        self._heard = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="systemd")
        if reads:
            self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._over.set()
        if self._reader.ident is not None:
            self._reader.join()
        self._line.close()

    def texts(self):
        """Everything said so far."""
        with self._lock:
            while True:
                try:
                    self._heard.append(self._line.recv(4096).decode("utf-8"))
                except BlockingIOError:
                    return list(self._heard)

    def count(self, text):
        """How often this was said."""
        return self.texts().count(text)

    def statuses(self):
        """The lines for `systemctl status`."""
        return [text[len("STATUS=") :] for text in self.texts() if text.startswith("STATUS=")]

    def _read(self):
        while not self._over.is_set():
            if select.select([self._line], [], [], 0.05)[0]:
                self.texts()
