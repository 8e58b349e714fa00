"""What the process itself costs, from /proc and /sys; nothing where a system has neither."""

import os
import time
from pathlib import Path
from typing import Dict, Optional


class ProcessUsage:
    """Processor time, memory and temperature for health messages."""

    def __init__(self) -> None:
        self._measured_s, self._cpu_s = time.monotonic(), _cpu_s()

    def measure(self) -> Dict[str, Optional[float]]:
        """`cpu_ratio` since the last call (1 is one core busy), `memory_mb` resident, `temperature_c` of the hottest
        sensor; None for what cannot be read."""
        now_s, cpu_s = time.monotonic(), _cpu_s()
        elapsed_s = now_s - self._measured_s
        ratio = (cpu_s - self._cpu_s) / elapsed_s if elapsed_s > 0 else None
        self._measured_s, self._cpu_s = now_s, cpu_s
        return {"cpu_ratio": ratio, "memory_mb": _resident_mb(), "temperature_c": _hottest_c()}


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _resident_mb() -> Optional[float]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _hottest_c() -> Optional[float]:
    celsius = []
    for sensor in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp")):
        try:
            celsius.append(int(sensor.read_text()) / 1000.0)
        except (OSError, ValueError):
            continue  # a sensor that is switched off answers with an error
    return max(celsius) if celsius else None
