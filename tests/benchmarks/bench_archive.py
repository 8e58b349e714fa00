"""Many recordings by `classify --output`, against the loop that one would write oneself: files an hour and process.

Three ways over the same files: a shell's loop (`classify --json FILE` for each: the model is opened each time), one
`classify --json FILE...` for all, and `classify --output` by one process and by as many as there are cores.
"""

import datetime as dt
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from report import Report, build_parser, positive
from street import load_street

_RATE_HZ = 48000
_ROOT = Path(__file__).resolve().parent.parent.parent


class Spent(NamedTuple):
    """What a way took."""

    wall_s: float
    processor_s: float


def main() -> None:
    """Run each way once and report."""
    parser = build_parser(__doc__)
    parser.add_argument("--files", type=int, default=40, help="recordings (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=60.0, help="length of each (default: %(default)s)")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    report = Report(
        f"{arguments.files} recordings of {arguments.seconds:g} s, {_RATE_HZ} Hz, mono, shipped model",
        ["numpy", "onnxruntime", "soxr", "scipy"],
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder) / "site", arguments.files, arguments.seconds)
        few = paths[: max(2, len(paths) // 8)]
        loop = Spent(
            *(sum(each) * len(paths) / len(few) for each in zip(*(run("--json", str(p)) for p in few), strict=True))
        )
        ways = {
            "a loop in the shell, one process a file": (loop, 1),
            "classify --json, all files": (run("--json", *map(str, paths)), 1),
        }
        for processes in sorted({1, cores}):
            output = Path(folder) / f"out-{processes}"
            options = ["--start-time", "file", "--output", str(output), "--processes", str(processes)]
            ways[f"classify --output, {processes} process(es)"] = run(str(paths[0].parent), *options), processes
            again = run(str(paths[0].parent), *options)
            shutil.rmtree(output)
        for name, (spent, processes) in ways.items():
            add_way(report, name, spent, loop, processes, len(paths), arguments.seconds)
        report.add_figure("the same once more, nothing left to hear", again.wall_s, "s")
    report.add_remark(f"the shell's loop was run over {len(few)} of the files; --output makes all its default tables")
    report.write(as_json=arguments.json)


def add_way(report: Report, name: str, spent: Spent, loop: Spent, processes: int, files: int, length_s: float) -> None:
    """One way's figures."""
    report.add_figure(f"{name}: files an hour and process", 3600 * files / spent.wall_s / processes, "files")
    report.add_figure(f"{name}: time taken of the sound's own", 100 * spent.wall_s / files / length_s, "%")
    report.add_figure(f"{name}: processor time of it", 100 * spent.processor_s / files / length_s, "%")
    report.add_figure(
        f"{name}: processor time, the loop's is this many times as much", loop.processor_s / spent.processor_s, ""
    )


def write_files(folder: Path, count: int, length_s: float) -> list[Path]:
    """The street, cut into files of one recorder."""
    folder.mkdir(parents=True)
    street, samples = load_street(_RATE_HZ), int(length_s * _RATE_HZ)
    begin, paths = dt.datetime(2026, 10, 1), []
    for number in range(count):
        name = (begin + dt.timedelta(seconds=number * length_s)).strftime("street-%Y%m%d_%H%M%S.wav")
        part = np.take(street, np.arange(number * samples, (number + 1) * samples), mode="wrap")
        paths.append(folder / name)
        soundfile.write(str(paths[-1]), part, _RATE_HZ, subtype="PCM_16")
    return paths


def run(*arguments: str) -> Spent:
    """What the command took."""
    began_s, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "edge", "--log-level", "error", "classify", *arguments],
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # with what its own processes took
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.perf_counter() - began_s, processor_s)


if __name__ == "__main__":
    main()
