"""What every benchmark says at its end: the machine, a table of times or sizes, and figures against their goals.

A figure that misses its goal is printed as such and fails nothing: a benchmark measures, a person judges.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One thing that was measured many times."""

    name: str
    median: float
    p99: float
    unit: str
    samples: int


class Figure(NamedTuple):
    """One number that is worth remembering, and what it should be."""

    name: str
    value: float
    unit: str
    goal: str = ""  # for people; empty where there is none
    met: bool | None = None


class Report:
    """Collects rows, figures and remarks, and prints them once.

    Args:
        title: What was measured.
        packages: Distributions whose versions matter.
    """

    def __init__(self, title: str, packages: list[str]) -> None:
        self.title = title
        self._packages = packages
        self._load_before = os.getloadavg()[0]
        self._rows: list[Row] = []
        self._figures: list[Figure] = []
        self._remarks: list[str] = []

    def add_row(self, name: str, values: list[float], unit: str, scale: float = 1.0) -> None:
        """Median and 99th percentile of `values`, each times `scale`."""
        self._rows.append(Row(name, quantile(values, 0.5) * scale, quantile(values, 0.99) * scale, unit, len(values)))

    def add_figure(
        self, name: str, value: float, unit: str, *, at_least: float | None = None, below: float | None = None
    ) -> None:
        """One number, with at most one bound."""
        if at_least is not None:
            self._figures.append(Figure(name, value, unit, f"at least {at_least:g}", value >= at_least))
        elif below is not None:
            self._figures.append(Figure(name, value, unit, f"below {below:g}", value < below))
        else:
            self._figures.append(Figure(name, value, unit))

    def add_remark(self, text: str) -> None:
        """What a reader must know to read the numbers rightly."""
        self._remarks.append(text)

    def write(self, *, as_json: bool) -> None:
        """Print everything on stdout."""
        machine = _machine(self._packages, self._load_before)
        if as_json:
            print(
                json.dumps(
                    {
                        "benchmark": self.title,
                        "machine": machine,
                        "rows": [row._asdict() for row in self._rows],
                        "figures": [figure._asdict() for figure in self._figures],
                        "remarks": self._remarks,
                    }
                )
            )
            return
        print(f"\n{self.title}")
        print(
            f"{machine['date']}; {machine['cpu']}, {machine['cores']} cores, load {machine['load_before']:.1f} before "
            f"and {machine['load_after']:.1f} after; {machine['system']}"
        )
        print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
        width = max([len(entry.name) for entry in [*self._rows, *self._figures]], default=0) + 2
        if self._rows:
            print(f"{'':{width}}{'median':>10}{'p99':>10}  unit     n")
        for row in self._rows:
            print(f"{row.name:{width}}{row.median:10.4g}{row.p99:10.4g}  {row.unit:6}{row.samples:6}")
        for figure in self._figures:
            verdict = f"   goal: {figure.goal}, {'met' if figure.met else 'MISSED'}" if figure.goal else ""
            print(f"{figure.name:{width}}{figure.value:10.4g}  {figure.unit}{verdict}")
        for remark in self._remarks:
            print(f"- {remark}")


def quantile(values: list[float], share: float) -> float:
    """The value that this share of all values does not exceed, by linear interpolation."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def positive(text: str) -> float:
    """A number above 0, for options."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; expected a number above 0")
    return value


def _machine(packages: list[str], load_before: float) -> dict:
    versions = {"Python": platform.python_version()}
    versions.update((name, importlib.metadata.version(name)) for name in packages)
    return {
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "versions": versions,
    }


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith(("model name", "hardware"))]
    return names[0] if names else platform.processor() or "unknown processor"
