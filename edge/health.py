"""What the process and its board bear, from /proc and /sys; None for what a system does not tell."""

import os
import re
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from edge.timing import Durations

_ROOT = Path("/")
# cooling devices that slow something down; fans and screens are no loss
_SLOWED = re.compile("cpu|gpu|processor|thrott|balanced|freq|soc|emc|powerclamp", re.IGNORECASE)
_PI_NOW = {1: "under-voltage", 2: "capped frequency", 4: "throttled", 8: "temperature limit"}  # bits of get_throttled


class ProcessUsage:
    """Processor time, memory, temperature and throttling for health messages.

    Args:
        root: where /proc and /sys are found.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self._proc, self._sys = root / "proc", root / "sys"
        self._measured_s, self._cpu_s = time.monotonic(), _cpu_s()

    def measure(self) -> Dict[str, Any]:
        """The fields of `health` that tell of process and board; `cpu_ratio` is that since the last call."""
        now_s, cpu_s = time.monotonic(), _cpu_s()
        elapsed_s = now_s - self._measured_s
        ratio = (cpu_s - self._cpu_s) / elapsed_s if elapsed_s > 0 else None
        self._measured_s, self._cpu_s = now_s, cpu_s
        throttled_by = self._throttled_by()
        return {
            "cpu_ratio": ratio,
            "memory_mb": self._resident_mb(),
            "memory_pss_mb": self._proportional_mb(),
            "file_descriptors": self._entries("self/fd"),
            "threads": self._entries("self/task"),
            "temperature_c": self._hottest_c(),
            "throttled": None if throttled_by is None else bool(throttled_by),
            "throttled_by": ", ".join(throttled_by) if throttled_by else None,
        }

    def _resident_mb(self) -> Optional[float]:
        try:
            pages = int((self._proc / "self" / "statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _proportional_mb(self) -> Optional[float]:
        """Of this process and its children, each page shared among all that have it."""
        own = self._pss_kb("self")
        return None if own is None else (own + sum(self._pss_kb(pid) or 0 for pid in self._children())) * 1024 / 1e6

    def _pss_kb(self, process: str) -> Optional[int]:
        for name in ("smaps_rollup", "smaps"):  # the first since Linux 4.14; a Nano has 4.9
            try:
                text = (self._proc / process / name).read_text()
            except OSError:
                continue
            return sum(int(found) for found in re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE))
        return None

    def _children(self) -> List[str]:
        found: List[str] = []
        for path in (self._proc / "self" / "task").glob("*/children"):
            try:
                found += path.read_text().split()
            except OSError:
                continue  # a thread that has just ended
        return found

    def _entries(self, path: str) -> Optional[int]:
        try:
            return len(os.listdir(str(self._proc / path)))
        except OSError:
            return None

    def _hottest_c(self) -> Optional[float]:
        celsius = []
        for sensor in sorted((self._sys / "class" / "thermal").glob("thermal_zone*/temp")):
            try:
                celsius.append(int(sensor.read_text()) / 1000.0)
            except (OSError, ValueError):
                continue  # a sensor that is switched off answers with an error
        return max(celsius) if celsius else None

    def _throttled_by(self) -> Optional[List[str]]:
        """What slows the board down now; None where nothing on it would tell."""
        found: Optional[List[str]] = None
        for device in sorted((self._sys / "class" / "thermal").glob("cooling_device*")):
            kind, state = _text_of(device / "type"), _text_of(device / "cur_state")
            if kind and _SLOWED.search(kind) and "fan" not in kind.lower() and state.lstrip("-").isdigit():
                found = (found or []) + ([kind] if int(state) > 0 else [])
        pi = _text_of(self._sys / "devices" / "platform" / "soc" / "soc:firmware" / "get_throttled")
        if re.match("(0x)?[0-9a-fA-F]+$", pi):
            found = (found or []) + [name for bit, name in sorted(_PI_NOW.items()) if int(pi, 16) & bit]
        return found


def timing_values(kinds: Sequence[Tuple[str, Sequence[Durations]]]) -> Dict[str, Optional[float]]:
    """`<name>_p50_ms` and `<name>_p99_ms` for each (name, durations of all sources): the slowest source's."""
    values: Dict[str, Optional[float]] = {}
    for name, of_sources in kinds:
        summaries = [durations.summary().quantiles_s for durations in of_sources]
        for quantile, label in ((0.5, "p50"), (0.99, "p99")):
            found = [summary[quantile] * 1000.0 for summary in summaries if summary]
            values["%s_%s_ms" % (name, label)] = max(found) if found else None
    return values


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
