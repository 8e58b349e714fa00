"""A process held to a share of one core by the kernel (a control group of its own), as on a smaller machine.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max) and Documentation/scheduler/sched-bwc.rst
(cpu.cfs_quota_us of version 1).
"""

import contextlib
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_LEAST_QUOTA_US = 2000  # the kernel takes 1000 at least; a longer one lets messages wait longer for the next period
_LEAST_PERIOD_US, _LONGEST_PERIOD_US = 10_000, 1_000_000


class ShareError(Exception):
    """The kernel does not let this user hold a process to a share."""


class CpuShare:
    """Lets a process have so much of one core, from `open` to `close`.

    Args:
        share: above 0, at most 1.
        groups: where control groups are mounted.
    """

    def __init__(self, pid: int, share: float, groups: Path = _GROUPS) -> None:
        self._pid, self._limits_us, self._groups = pid, limits_us(share), groups
        self._group: Path | None = None
        self._home: Path | None = None

    def open(self) -> None:
        """Raises ShareError: there are no control groups for processors here, or this user may not make one."""
        parent, is_v2 = self._find_parent()
        quota_us, period_us = self._limits_us
        group = parent / f"soundclr-bench-{os.getpid()}"
        try:
            self._home = parent / self._path_of_now(is_v2=is_v2) / "cgroup.procs"
            group.mkdir()
            self._group = group
            if is_v2:
                (group / "cpu.max").write_text(f"{quota_us} {period_us}\n")
            else:
                (group / "cpu.cfs_period_us").write_text(f"{period_us}\n")
                (group / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
            (group / "cgroup.procs").write_text(f"{self._pid}\n")
        except OSError as error:
            self.close()
            raise ShareError(
                f"control group {group}: {error.strerror}; expected to run as root, with CPU quotas"
            ) from None

    def close(self) -> None:
        """The process goes back to where it was, if it is still there."""
        group, self._group = self._group, None
        if group is None or self._home is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._home.write_text(f"{self._pid}\n")
        group.rmdir()

    def __enter__(self) -> "CpuShare":
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _find_parent(self) -> tuple[Path, bool]:
        """Where a group can be made, and whether that is version 2."""
        enabled = self._groups / "cgroup.subtree_control"
        if enabled.is_file() and "cpu" in enabled.read_text().split():
            return self._groups, True
        if (self._groups / "cpu" / "cgroup.procs").is_file():
            return self._groups / "cpu", False
        raise ShareError(f"no control groups with the cpu controller below {self._groups}")

    def _path_of_now(self, *, is_v2: bool) -> str:
        for line in Path(f"/proc/{self._pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" if is_v2 else "cpu" in controllers.split(","):
                return path.lstrip("/")
        return ""


def limits_us(share: float) -> tuple[int, int]:
    """Processor time, and the period in which a process may use it, microseconds."""
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share {share:g}; expected above 0 and at most 1")
    period_us = round(min(max(_LEAST_QUOTA_US / share, _LEAST_PERIOD_US), _LONGEST_PERIOD_US))
    return round(share * period_us), period_us
