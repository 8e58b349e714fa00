"""What systemd is told: ready, alive, stopping, and one line for `systemctl status`. Silent where nobody listens.

A few own lines: python-systemd needs a compiler and libsystemd's headers on the device, sdnotify has not been released
since 2017, and the protocol (sd_notify(3)) is one datagram.
"""

import logging
import os
import socket
import time
from typing import Optional

_LOGGER = logging.getLogger(__name__)
_SEND_TIMEOUT_S = 0.2  # sendto blocks while systemd has eleven datagrams unread; the next one will do
_STATUS_CHARACTERS = 300


class Notifier:
    """One service's line to systemd, by $NOTIFY_SOCKET.  May be used from several threads.

    Args:
        address: path of the socket, or `@name` of an abstract one; None takes $NOTIFY_SOCKET.
        watchdog_s: longest silence that systemd bears; None takes $WATCHDOG_USEC where that is meant for this process.
    """

    def __init__(self, address: Optional[str] = None, watchdog_s: Optional[float] = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self.watchdog_s = _watchdog_from_environment() if watchdog_s is None else watchdog_s
        self._status = ""

    def ready(self) -> bool:
        """Supervision runs; also: what was reloaded is in force."""
        return self._send("READY=1")

    def reloading(self) -> bool:
        """A new configuration is being looked at."""
        return self._send("RELOADING=1\nMONOTONIC_USEC=%d" % (time.monotonic() * 1e6))

    def stopping(self) -> bool:
        """The end has begun."""
        return self._send("STOPPING=1")

    def alive(self) -> bool:
        """Every stage makes progress, or waits as it declared."""
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for a person; sent when it has changed."""
        if text == self._status:
            return True
        self._status = text
        return self._send("STATUS=" + text.replace("\n", " ")[:_STATUS_CHARACTERS])

    def extend_start_timeout(self, seconds: float) -> bool:
        """Before `ready`: the start may take so long from now on.  To be said again in time."""
        return self._send("EXTEND_TIMEOUT_USEC=%d" % (seconds * 1e6))

    def _send(self, text: str) -> bool:
        """Whether systemd took it."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(_SEND_TIMEOUT_S)
                line.sendto(text.encode("utf-8"), address)
        except OSError as error:
            _LOGGER.debug("systemd did not take %s: %s", text.split("=")[0], error)
            return False
        return True


def _watchdog_from_environment() -> float:
    """0 where no watchdog waits for this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(0.0, int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6)
    except ValueError:
        return 0.0
