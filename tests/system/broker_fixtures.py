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
from typing import Any

import pytest

from edge.config import MqttConfig
from tests.edge.socket_broker import wait_until

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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = _free_ports(2)
        self._process: Any = None
        for user, password in PASSWORDS.items():
            self.password_file(user).write_text(password + "\n")
            self.password_file(user).chmod(0o600)
        _make_certificates(folder)
        self._write_settings()

    def __enter__(self) -> "Mosquitto":
        return self.start()

    def __exit__(self, *exception: Any) -> None:
        self.hang(False)
        self.stop(signal.SIGKILL)

    def password_file(self, user: str) -> Path:
        return self.folder / ("password-" + user)

    def config(self, user: str = "corner", **changes: Any) -> MqttConfig:
        values = dict(port=self.port, username=user, password_file=str(self.password_file(user)))
        values.update(changes)
        return MqttConfig(**values)

    def tls_config(self, user: str = "corner", **changes: Any) -> MqttConfig:
        return self.config(
            user,
            **dict(
                dict(host="localhost", port=self.tls_port, tls=True, ca_file=str(self.folder / "ca.crt")), **changes
            ),
        )

    def start(self) -> "Mosquitto":
        with open(str(self.folder / "log"), "ab") as log:
            self._process = subprocess.Popen(
                [_mosquitto(), "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        assert wait_until(lambda: _answers(self.port) and _answers(self.tls_port)), (self.folder / "log").read_text()
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

    def _write_settings(self) -> None:
        folder = self.folder
        (folder / "acl").write_text(_ACL)
        (folder / "acl").chmod(0o600)
        (folder / "passwords").write_text("")
        (folder / "passwords").chmod(0o600)
        for user, password in PASSWORDS.items():
            subprocess.check_call(["mosquitto_passwd", "-b", str(folder / "passwords"), user, password])
        lines = [
            "allow_anonymous false",
            "password_file %s/passwords" % folder,
            "acl_file %s/acl" % folder,
            "persistence false",
            "max_queued_messages 100000",  # by default it drops what a reader is 1000 behind with
            "listener %d 127.0.0.1" % self.port,
            "listener %d 127.0.0.1" % self.tls_port,
            "cafile %s/ca.crt" % folder,
            "certfile %s/server.crt" % folder,
            "keyfile %s/server.key" % folder,
        ]
        if os.geteuid() == 0:
            lines.insert(0, "user root")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")


@pytest.fixture
def mosquitto(tmp_path):
    if _mosquitto() is None or shutil.which("openssl") is None:
        pytest.skip("mosquitto or openssl is not installed: apt-get install mosquitto openssl")
    with Mosquitto(tmp_path) as broker:
        yield broker


def _mosquitto():
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _make_certificates(folder: Path) -> None:
    """An authority, a server certificate for `localhost` alone, and an authority that has signed nothing."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other-ca"):
        _openssl(
            folder,
            "req",
            "-x509",
            *key,
            "-days",
            "30",
            "-subj",
            "/CN=" + name,
            "-keyout",
            name + ".key",
            "-out",
            name + ".crt",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )
    _openssl(folder, "req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (folder / "server.ext").write_text("subjectAltName=DNS:localhost\n")
    _openssl(
        folder,
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        "server.ext",
        "-out",
        "server.crt",
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.check_output(["openssl"] + list(arguments), cwd=str(folder), stderr=subprocess.STDOUT)


def _free_ports(count):
    trials = [socket.socket() for _ in range(count)]
    try:
        for trial in trials:
            trial.bind(("127.0.0.1", 0))
        return [trial.getsockname()[1] for trial in trials]
    finally:
        for trial in trials:
            trial.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True
