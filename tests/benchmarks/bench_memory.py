"""Memory of the daemon on the CPU path: how much, with its capture child, and whether it grows.

How much: the daemon hears a microphone (a virtual ALSA device through the real PortAudio where gcc, libasound2-dev
and PortAudio are there, else a stand-in for the capture child, which is then said) and sends to a broker.
Whether it grows: it hears the street over and over, as fast as it goes, and each message says how far it has come;
after the warm-up a straight line is laid through the samples.

PSS counts a page that n processes share as 1/n page. Strangers on the machine that run the same Python make it
smaller, and it moves as they come and go, so RSS, which counts shared pages in full, stands beside it as the bound
from above, and its slope is the one that is judged. A leak is anonymous memory, which nobody shares.
"""

import argparse
import json
import queue
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from node_processes import children_of, memory_mb, running_broker, running_node, subscription
from report import Report, build_parser, positive, quantile
from street import STREET

_PATIENCE_S = 60.0
_SAMPLES_S = 20.0  # of listening to the microphone, after the first message
_HOUR_S = 3600.0
_DAY_S = 86400.0
_MICROPHONE = 'type = "microphone"'
_PLUGIN_SOURCE = Path(__file__).parents[1] / "system" / "pcm_vmic.c"
_RATE_HZ = 48000


class Sample(NamedTuple):
    """Memory at one moment of the simulated time."""

    at_s: float
    pss_mb: float
    rss_mb: float
    anonymous_mb: float


class Slope(NamedTuple):
    """Of a straight line, by least squares."""

    per_s: float
    error_per_s: float  # standard error, as if the samples did not depend on each other


def main() -> None:
    """Measure both and report."""
    parser = build_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--hours", type=positive, default=6.0, help="simulated hours (default: %(default)s)")
    parser.add_argument(
        "--warm-up-hours", type=positive, default=1.0, help="of them not counted (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.warm_up_hours >= arguments.hours:
        parser.error("--warm-up-hours must be less than --hours")
    report = Report("Memory of the daemon, CPU path", ["numpy", "onnxruntime", "paho-mqtt"])
    measure_size(report)
    measure_growth(report, arguments.hours * _HOUR_S, arguments.warm_up_hours * _HOUR_S)
    report.write(as_json=arguments.json)


def measure_size(report: Report) -> None:
    """The daemon and its capture child while they listen."""
    with tempfile.TemporaryDirectory() as name, running_broker() as port:
        with virtual_microphone(Path(name)) as missing:
            received: queue.Queue = queue.Queue()
            environment = None if missing else {"HOME": name}
            source = _MICROPHONE if missing else _MICROPHONE + '\ndevice = "street_vmic"'
            with (
                subscription(port, "soundclr/bench/street/classification", received, time.monotonic),
                running_node(Path(name), port, source, environment=environment, stand_in_child=bool(missing)) as node,
            ):
                received.get(timeout=_PATIENCE_S)
                sizes = sizes_over(node.pid, _SAMPLES_S)
    for who, kinds in sizes.items():
        for kind, values in kinds.items():
            report.add_row(f"{who}, {kind.upper()}", values, "MB")
    both = [sum(values) for values in zip(*(kinds["Pss"] for kinds in sizes.values()), strict=True)]
    report.add_figure("daemon and capture child, PSS", quantile(both, 0.5), "MB", below=150.0)
    report.add_figure(
        "the same in RSS, all shared pages twice", sum(quantile(kinds["Rss"], 0.5) for kinds in sizes.values()), "MB"
    )
    if missing:
        report.add_remark(f"the capture child is a stand-in without PortAudio: {missing}")


def sizes_over(pid: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Pss and Rss of a daemon and of its one child, twice a second."""
    sizes: dict[str, dict[str, list[float]]] = {}
    for _ in range(int(seconds * 2)):
        (child,) = children_of(pid)
        for who, one in (("daemon", pid), ("capture child", child)):
            memory = memory_mb(one)
            for kind in ("Pss", "Rss"):
                sizes.setdefault(who, {}).setdefault(kind, []).append(memory[kind])
        time.sleep(0.5)
    return sizes


def measure_growth(report: Report, simulated_s: float, warm_up_s: float) -> None:
    """The daemon on a recording without end."""
    with tempfile.TemporaryDirectory() as name, running_broker() as port:
        received: queue.Queue = queue.Queue()
        source = f'type = "file"\npath = "{STREET}"\nrealtime = false\nloop = true'
        with (
            subscription(port, "soundclr/bench/street/classification", received, time.monotonic),
            running_node(Path(name), port, source) as node,
        ):
            began_s = time.monotonic()
            samples = list(samples_over(node.pid, received, simulated_s))
            took_s = time.monotonic() - began_s
    counted = [sample for sample in samples if sample.at_s >= warm_up_s]
    for what, values in (
        ("PSS", [sample.pss_mb for sample in counted]),
        ("RSS", [sample.rss_mb for sample in counted]),
        ("anonymous", [sample.anonymous_mb for sample in counted]),
    ):
        report.add_row(f"daemon alone after the warm-up, {what}", values, "MB")
    for what, values, goal in (
        ("RSS", [sample.rss_mb for sample in counted], 1.0),
        ("PSS", [sample.pss_mb for sample in counted], None),
        ("anonymous memory", [sample.anonymous_mb for sample in counted], None),
    ):
        slope = least_squares([sample.at_s for sample in counted], values)
        report.add_figure(f"slope of {what}", slope.per_s * _DAY_S, "MB/day", below=goal)
        report.add_figure(f"  standard error of {what}", slope.error_per_s * _DAY_S, "MB/day")
    report.add_remark(
        f"{samples[-1].at_s / _HOUR_S:.2f} h of street in {took_s:.0f} s, {len(samples)} samples, the "
        f"first {warm_up_s / _HOUR_S:g} h not counted"
    )


def samples_over(pid: int, received: queue.Queue, simulated_s: float) -> Iterator[Sample]:
    """Memory each simulated minute, until so much has been heard."""
    start_ms = None
    at_s = next_s = 0.0
    while at_s < simulated_s:
        _, payload = received.get(timeout=_PATIENCE_S)
        time_ms = json.loads(payload)["ts_ms"]
        start_ms = time_ms if start_ms is None else start_ms
        at_s = (time_ms - start_ms) / 1000.0
        if at_s >= next_s:
            next_s = at_s + 60.0
            memory = memory_mb(pid)
            yield Sample(at_s, memory["Pss"], memory["Rss"], memory["Pss_Anon"])


def least_squares(x: list[float], y: list[float]) -> Slope:
    """The line through the points.  Needs three or more."""
    if len(x) < 3:
        raise SystemExit(f"{len(x)} samples after the warm-up; a slope needs 3: give more --hours")
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - mean_x) ** 2 for one in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    rest = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return Slope(slope, (rest / (len(x) - 2) / spread) ** 0.5)


@contextmanager
def virtual_microphone(home: Path) -> Iterator[str]:
    """A microphone called street_vmic for every process with this HOME.  Gives what is missing, if anything."""
    missing = _missing_for_microphone()
    if not missing:
        import soundfile

        plugin = home / "libasound_module_pcm_vmic.so"
        subprocess.run(
            ["gcc", "-O1", "-shared", "-fPIC", "-DPIC", "-o", plugin, _PLUGIN_SOURCE, "-lasound"], check=True
        )
        samples, _ = soundfile.read(STREET, dtype="int16", always_2d=True)
        (home / "audio.raw").write_bytes(samples[:, 0].tobytes())
        (home / "control").write_text("")
        (home / ".asoundrc").write_text(
            f'pcm_type.vmic {{ lib "{plugin}" }}\npcm.street_vmic {{ type vmic  file "{home}/audio.raw"  '
            f'ctl_file "{home}/control"  rate {_RATE_HZ} }}\n'
        )
    yield missing


def _missing_for_microphone() -> str:
    from edge.sources.devices import has_portaudio

    if not shutil.which("gcc") or not Path("/usr/include/alsa/asoundlib.h").exists():
        return "gcc or libasound2-dev is not installed"
    return has_portaudio() or ""


if __name__ == "__main__":
    main()
