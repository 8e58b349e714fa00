"""Archives of recordings for tests, and the command that makes tables of them."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent.parent
RATE_HZ = 16000
HANG_S = 300


def low_and_high(duration_s, seed=0):
    """Noise in which the tiny bundle hears "low" and "high" come and go.  Shape [T], float32."""
    random = np.random.RandomState(seed)
    samples = 0.0005 * random.standard_normal(int(duration_s * RATE_HZ))
    at_s = 0.0
    while at_s < duration_s:
        length_s, pause_s = random.uniform(1.5, 4.0), random.uniform(2.0, 6.0)
        begin, end = int(at_s * RATE_HZ), min(len(samples), int((at_s + length_s) * RATE_HZ))
        pitch_hz = random.choice([440.0, 5000.0])
        samples[begin:end] += 0.1 * np.sin(2 * np.pi * pitch_hz * np.arange(end - begin) / RATE_HZ)
        at_s += length_s + pause_s
    return samples.astype(np.float32)


def write_recordings(folder, count, duration_s, first="2026-10-01T01:59:00", seed=0):
    """So many files of one recorder, one after the other.  Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = low_and_high(count * duration_s, seed)
    begin = np.datetime64(first)
    paths = []
    for number in range(count):
        name = str(begin + np.timedelta64(int(number * duration_s), "s")).replace("-", "").replace(":", "")
        part = samples[int(number * duration_s * RATE_HZ) : int((number + 1) * duration_s * RATE_HZ)]
        paths.append(folder / ("street-%s.wav" % name))
        soundfile.write(str(paths[-1]), part, RATE_HZ)
    return paths


def _heed_interrupts():
    """As in a terminal; a shell's background job, which the tests may be, hands on that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_classify(*arguments, **options):
    """The command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge", "classify"] + [str(argument) for argument in arguments],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        **dict({"preexec_fn": _heed_interrupts}, **options),
    )


def classify(*arguments, **options):
    """Run the command.  Returns exit status, stdout, stderr."""
    process = start_classify(*arguments, **options)
    out, err = process.communicate(timeout=HANG_S)
    return process.returncode, out, err


def read_csv(path):
    """Rows of a table."""
    with open(str(path), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json_lines(path):
    """Rows of a table."""
    return [json.loads(line) for line in Path(str(path)).read_text("utf-8").splitlines()]


def tables_of(folder):
    """Every table's text, by its file's name."""
    return {
        path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".jsonl")
    }


def parts_of(folder):
    """What is finished."""
    return sorted(folder.glob("parts/*/*.jsonl.gz"))
