"""A mosquitto of a benchmark's own, and what it takes of the machine."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PATIENCE_S = 60.0


@contextlib.contextmanager
def running_mosquitto(folder: str, max_queued_messages: int) -> Iterator[tuple[int, Any]]:
    """A broker of its own on loopback."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    lines = ["allow_anonymous true", "persistence false", f"max_queued_messages {max_queued_messages}"]
    lines += [f"listener {port} 127.0.0.1"] + (["user root"] if os.geteuid() == 0 else [])
    settings = Path(folder) / "mosquitto.conf"
    settings.write_text("\n".join(lines) + "\n")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = subprocess.Popen([str(find_mosquitto()), "-c", str(settings)], stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield port, process
    finally:
        process.kill()
        process.wait()


def find_mosquitto() -> str | None:
    """The program, also where only root's PATH has it."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def version_of_mosquitto() -> str:
    """As it says itself."""
    told = subprocess.run([str(find_mosquitto()), "-h"], capture_output=True, text=True, check=False).stdout
    return told.splitlines()[0] if told else "mosquitto"


def cpu_seconds(pid: int) -> float:
    """Processor time of a process since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
