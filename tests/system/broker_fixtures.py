"""A real mosquitto: password file, ACL, TLS with certificates made here; killed, stopped and started again.

Python 3.6 imports this too, through conftest.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Sequence  # noqa: UP035 - Python 3.6 imports this too, through conftest

import pytest

from edge.config import MqttConfig
from tests.edge.socket_broker import wait_until
from tests.system.certificates import make_certificates

PASSWORDS = {"corner": "s3cret", "deaf": "s3cret", "viewer": "viewpw"}
_ACL = """
user corner
topic readwrite soundclr/corner/#
user deaf
topic read soundclr/#
user viewer
topic readwrite soundclr/#
"""


class Mosquitto:
    """One broker in a folder of its own, on free ports of loopback.

    Users: `corner` may write and read its own topics; `deaf` is let in and its messages are swallowed; `viewer` reads
    and writes all.
    """

    def __init__(self, folder: Path, prefix: Sequence[str] = (), bind: str = "127.0.0.1") -> None:
        """Args: prefix: a command that runs another, as `ip netns exec NAME`; bind: the address to listen at."""
        self.folder = folder
        self._prefix, self._bind = list(prefix), bind
        self.host = bind  # where it is found
        self.port, self.tls_port, self.mutual_port, self.unused_port = free_ports(4)
        self.awaited_ports = [self.port, self.tls_port]  # `start` returns once these answer
        self.server_certificate = "server"
        self._process: Any = None
        for user, password in PASSWORDS.items():
            self.password_file(user).write_text(password + "\n")
            self.password_file(user).chmod(0o600)
        make_certificates(folder)
        self.write_settings()

    def __enter__(self) -> "Mosquitto":
        return self.start()

    def __exit__(self, *exception: Any) -> None:
        self.hang(False)
        self.stop(signal.SIGKILL)

    def password_file(self, user: str) -> Path:
        return self.folder / ("password-" + user)

    def config(self, user: str = "corner", **changes: Any) -> MqttConfig:
        values = dict(host=self.host, port=self.port, username=user, password_file=str(self.password_file(user)))
        values.update(changes)
        return MqttConfig(**values)

    def tls_config(self, user: str = "corner", **changes: Any) -> MqttConfig:
        return self.config(
            user,
            **dict(
                dict(host="localhost", port=self.tls_port, tls=True, ca_file=str(self.folder / "ca.crt")), **changes
            ),
        )

    def mutual_config(self, certificate: str = "corner", **changes: Any) -> MqttConfig:
        """Known by a certificate instead of a password."""
        own = dict(
            certificate_file=str(self.folder / (certificate + ".crt")),
            key_file=str(self.folder / (certificate + ".key")),
        )
        return self.tls_config(**dict(dict(own, port=self.mutual_port, username="", password_file=""), **changes))

    def set_password(self, user: str, password: str) -> None:
        """Change it at the broker, which reads its files again."""
        subprocess.check_call(["mosquitto_passwd", "-b", str(self.folder / "passwords"), user, password])
        self.reload()

    def reload(self) -> None:
        """Let a running broker read its users and rules again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> "Mosquitto":
        with open(str(self.folder / "log"), "ab") as log:
            self._process = subprocess.Popen(
                self._prefix + [str(find_mosquitto()), "-c", str(self.folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )
        assert wait_until(lambda: all(_answers(self.host, port) for port in self.awaited_ports)), (
            self.folder / "log"
        ).read_text()
        return self

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(20)
            self._process = None

    def hang(self, is_hanging: bool) -> None:
        """Take no bytes any more, with all links open; or take them again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if is_hanging else signal.SIGCONT)

    def write_settings(self, acl: str = _ACL, options: Sequence[str] = (), **replaced: str) -> None:
        """The broker's files, read at its next start.

        Args:
            options: more lines of its configuration.
            replaced: values that stand instead of the tests' own, by option.
        """
        folder = self.folder
        (folder / "acl").write_text(acl)
        (folder / "acl").chmod(0o600)
        (folder / "passwords").write_text("")
        (folder / "passwords").chmod(0o600)
        for user, password in PASSWORDS.items():
            subprocess.check_call(["mosquitto_passwd", "-b", str(folder / "passwords"), user, password])
        lines = [
            "allow_anonymous false",
            "password_file %s/passwords" % folder,
            "acl_file %s/acl" % folder,
            "persistence %s" % replaced.get("persistence", "false"),
            # by default it drops what a reader is 1000 behind with
            "max_queued_messages %s" % replaced.get("max_queued_messages", "100000"),
        ]
        lines += list(options)
        lines.append("listener %d %s" % (self.port, self._bind))
        encryption = [
            "cafile %s/ca.crt" % folder,
            "certfile %s/%s.crt" % (folder, self.server_certificate),
            "keyfile %s/%s.key" % (folder, self.server_certificate),
        ]
        lines += ["listener %d %s" % (self.tls_port, self._bind)] + encryption
        lines += ["listener %d %s" % (self.mutual_port, self._bind)] + encryption
        lines += ["require_certificate true", "use_identity_as_username true"]
        if os.geteuid() == 0:
            lines.insert(0, "user root")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")


def skip_without_mosquitto():
    if find_mosquitto() is None or shutil.which("openssl") is None:
        pytest.skip("mosquitto or openssl is not installed: apt-get install mosquitto openssl")


@pytest.fixture
def mosquitto(tmp_path):
    skip_without_mosquitto()
    with Mosquitto(tmp_path) as broker:
        yield broker


def find_mosquitto():
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_ports(count):
    trials = [socket.socket() for _ in range(count)]
    try:
        for trial in trials:
            trial.bind(("127.0.0.1", 0))
        return [trial.getsockname()[1] for trial in trials]
    finally:
        for trial in trials:
            trial.close()


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True
