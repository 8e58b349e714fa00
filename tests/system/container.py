"""A machine of its own: this host's system booted by a real systemd on an overlay, with nothing but loopback."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_S, _COMMAND_S = 60.0, 600.0
# what a container has no use for, or what this host runs for itself
_MASKED = (
    "alsa-restore.service",
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "getty.target",
    "mosquitto.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
)


class Container:
    """Booted on `open`; `root` is its file system as seen from here."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.root = folder, folder / "root"
        self._process: Any = None
        self._pid = 0

    def __enter__(self) -> "Container":
        try:
            self._mount()
            self._prepare()
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGRTMIN + 4)  # to systemd: power off
        if self._process is not None:
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                os.kill(self._pid or self._process.pid, signal.SIGKILL)
                self._process.wait(60)
        for path in (self.root, self._folder):
            subprocess.run(["umount", "-R", "-l", str(path)], stderr=subprocess.DEVNULL)

    def run(self, *command: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command inside; its output is in the answer."""
        found = subprocess.run(
            self._inside(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_S,
            **options,
        )
        if check and found.returncode:
            raise AssertionError("%s: status %d\n%s" % (" ".join(command), found.returncode, found.stdout))
        return found

    def output(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def start(self, *command: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Begin a command inside."""
        return subprocess.Popen(self._inside(command), stdin=subprocess.DEVNULL, **options)

    def _inside(self, command: Any) -> Any:
        return ["nsenter", "-t", str(self._pid), "-a", "/usr/bin/env", "-i", "PATH=" + _PATH, "LANG=C.UTF-8", *command]

    def _mount(self) -> None:
        self._folder.mkdir(exist_ok=True)
        _call("mount", "-t", "tmpfs", "-o", "size=3g,mode=755", "tmpfs", str(self._folder))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        layers = "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (self._folder, self._folder)
        _call("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))

    def _prepare(self) -> None:
        units = self.root / "etc" / "systemd" / "system"
        for wish in units.glob("*.wants/*"):
            wish.unlink()
        for name in _MASKED:
            _link("/dev/null", units / name)
        (units / "container.target").write_text(
            "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=dbus.service\n"
        )
        _link("container.target", units / "default.target")
        (self.root / "etc" / "fstab").write_text("")

    def _boot(self) -> None:
        with open(self._folder / "console", "wb") as console:
            self._process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "-D", str(self.root), "--private-network", "--register=no"]
                + ["--keep-unit", "--link-journal=no", "--machine=soundclr-%d" % os.getpid(), "--console=pipe"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        deadline_s = time.monotonic() + _BOOT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            time.sleep(0.1)
            children = subprocess.run(["pgrep", "-P", str(self._process.pid)], stdout=subprocess.PIPE, text=True)
            if children.stdout.split():
                self._pid = int(children.stdout.split()[0])
                if self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                    return
        said = (self._folder / "console").read_text(errors="replace")[-500:]
        pytest.skip("systemd-nspawn does not boot here: %s" % (said.strip() or "no word from it"))


def skip_where_impossible() -> None:
    """Skip with its reason where no machine can be booted inside this one."""
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    for program in ("systemd-nspawn", "nsenter", "mosquitto_sub"):
        if shutil.which(program) is None:
            pytest.skip("%s is not installed: apt-get install systemd-container mosquitto mosquitto-clients" % program)
    if not Path("/lib/systemd/systemd").exists() or not Path("/usr/bin/python3").exists():
        pytest.skip("this host's own system has no systemd, or no Python, to boot a copy of")


def _call(*command: str) -> None:
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        pytest.skip("%s is not allowed here: %s" % (" ".join(command[:3]), found.stdout.strip()))


def _link(target: str, path: Path) -> None:
    if path.exists() or path.is_symlink():
        path.unlink()
    path.symlink_to(target)
