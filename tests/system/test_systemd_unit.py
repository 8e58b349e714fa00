"""The unit as systemd reads it: clean, little exposed, and without what systemd 237 would misread."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "soundclr-edge.service"
BOARD = SYSTEMD / "install-board.sh"
SOUND = ("audio", "")
JETSON = ("audio video render", "/dev/nvmap /dev/nvhost-ctrl /dev/nvhost-gpu")
# Known to 237 (man pages of that release), as far as this unit may want them.
KNOWN_TO_237 = frozenset(
    [
        "AmbientCapabilities",
        "CPUWeight",
        "CacheDirectory",
        "CacheDirectoryMode",
        "CapabilityBoundingSet",
        "DeviceAllow",
        "DevicePolicy",
        "Environment",
        "ExecReload",
        "ExecStart",
        "Group",
        "KeyringMode",
        "KillMode",
        "LimitCORE",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "MemoryMax",
        "NoNewPrivileges",
        "NotifyAccess",
        "PrivateDevices",
        "PrivateTmp",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectSystem",
        "RemoveIPC",
        "Restart",
        "RestartSec",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
        "RuntimeDirectoryPreserve",
        "StateDirectory",
        "StateDirectoryMode",
        "SupplementaryGroups",
        "SyslogIdentifier",
        "SystemCallArchitectures",
        "SystemCallErrorNumber",
        "SystemCallFilter",
        "TasksMax",
        "TimeoutStartSec",
        "TimeoutStopSec",
        "Type",
        "UMask",
        "User",
        "WatchdogSec",
        "WorkingDirectory",
    ]
)
# Younger ones that 237 ignores with a warning, and that are no loss there.
IGNORED_BY_237 = frozenset(
    [
        "LogRateLimitBurst",
        "LogRateLimitIntervalSec",
        "OOMPolicy",
        "PrivateMounts",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectProc",
        "RestrictSUIDSGID",
    ]
)
# systemd 237, src/shared/seccomp-util.c
GROUPS_OF_237 = frozenset(
    [
        "@default",
        "@aio",
        "@basic-io",
        "@chown",
        "@clock",
        "@cpu-emulation",
        "@debug",
        "@file-system",
        "@io-event",
        "@ipc",
        "@keyring",
        "@memlock",
        "@module",
        "@mount",
        "@network-io",
        "@obsolete",
        "@privileged",
        "@process",
        "@raw-io",
        "@reboot",
        "@resources",
        "@setuid",
        "@signal",
        "@swap",
        "@sync",
        "@timer",
    ]
)


@pytest.fixture(scope="module", autouse=True)
def _systemd():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")


def settings():
    """(section, key, value) of every line of the unit."""
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            yield section, key, value


def drop_in(groups, nodes, python="Python 3.11"):
    """What the installer writes for such a board."""
    script = '. "%s"; board=x groups=" %s" device_nodes="%s" has_gpu=%s python_version="%s"; device_drop_in' % (
        BOARD,
        groups,
        nodes,
        "yes" if nodes else "no",
        python,
    )
    return subprocess.run(["bash", "-euc", script], check=True, stdout=subprocess.PIPE, text=True).stdout


def unit_with(tmp_path, extra):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = re.sub("ExecStart=\\S+", "ExecStart=%s" % program, UNIT.read_text())
    for line in extra.splitlines():  # what the drop-in says replaces what the unit says, but for lists
        if "=" in line and not line.startswith(("#", "DeviceAllow", "SupplementaryGroups")):
            text = re.sub("(?m)^%s=.*\n" % line.split("=")[0], "", text)
    path = tmp_path / "soundclr-edge.service"
    path.write_text(text.replace("[Install]", extra.replace("[Service]", "") + "\n[Install]"))
    return path


@pytest.mark.parametrize("board", [("", ""), SOUND, JETSON])
def test_systemd_has_nothing_to_say_against_it(tmp_path, board):
    path = unit_with(tmp_path, drop_in(*board))
    found = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # verify exits with 0 even for keys that it does not know
    assert [line for line in found.stdout.splitlines() if path.name in line or str(path) in line] == []


@pytest.mark.parametrize("board", [SOUND, JETSON])
def test_little_is_exposed(tmp_path, board):
    path = unit_with(tmp_path, drop_in(*board))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if "unrecognized option" in found.stdout:
        pytest.skip("this systemd does not judge units that are not loaded")
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", found.stdout)
    assert level is not None, found.stdout
    assert float(level.group(1)) <= 2.0, found.stdout


def test_systemd_237_misreads_nothing():
    for section, key, value in settings():
        if section != "Service":
            continue
        assert key in KNOWN_TO_237 | IGNORED_BY_237, key
        if key == "SystemCallFilter":
            assert {word.lstrip("~") for word in value.split() if "@" in word} <= GROUPS_OF_237
    units = {(section, key): value for section, key, value in settings()}
    assert units["Unit", "StartLimitIntervalSec"] == "0" and units["Service", "Restart"] == "always"


def test_every_board_s_sound_card_is_allowed_and_no_board_s_debugger():
    text = drop_in(*JETSON)
    assert "DeviceAllow=char-alsa rw" in text and "DeviceAllow=/dev/nvmap rw" in text
    assert "PrivateDevices=no" in text and "MemoryDenyWriteExecute=no" in text
    assert "MemoryDenyWriteExecute" not in drop_in(*SOUND)
    assert "MemoryDenyWriteExecute=no" in drop_in(*SOUND, python="Python 3.6")
