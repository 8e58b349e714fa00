"""From the end of a hop's sound to its message at a subscriber: daemon, broker and subscriber as separate processes.

The daemon plays the street at its own pace. `end` in a classification says when the last sample of its window
sounded; the subscriber notes when the message comes. Two clocks would differ, so all run on one machine.

The node hears in blocks, and the resampler keeps some milliseconds back, so that a window can be answered only some
time after its last sample. That wait is fixed by the recording and is computed here by sending the same blocks
through the same resampler; what is over it is the time that node, broker and network take.
"""

import datetime as dt
import json
import queue
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from node_processes import running_broker, running_node, subscription
from report import Report, build_parser
from street import load_street

from edge.config import SHIPPED_BUNDLE
from edge.resample import StreamResampler
from edge.sources.base import block_samples_at
from engines.bundle import load_bundle
from engines.frontend import FrontendSpec

_PATIENCE_S = 60.0


def main() -> None:
    """Listen for so many hops and report."""
    parser = build_parser(__doc__)
    parser.add_argument(
        "--hops", type=int, default=90, help="messages to wait for, one a second (default: %(default)s)"
    )
    parser.add_argument("--rate-hz", type=int, default=48000, help="rate of the source (default: %(default)s)")
    arguments = parser.parse_args()
    report = Report(
        f"End of a hop's sound to the message at a subscriber, {arguments.rate_hz} Hz source",
        ["numpy", "onnxruntime", "paho-mqtt", "amqtt"],
    )
    messages = receive_hops(arguments.rate_hz, arguments.hops)
    delay_s = [received_s - end_s for received_s, _, end_s in messages]
    ready_s = ready_times_s(arguments.rate_hz, messages)
    work_s = [received_s - ready for (received_s, _, _), ready in zip(messages, ready_s, strict=True)]
    wait_s = [total - work for total, work in zip(delay_s, work_s, strict=True)]
    report.add_row("from the last sample's sound", delay_s, "ms", 1e3)
    report.add_row("of it, until its block is there and resampled", wait_s, "ms", 1e3)
    report.add_row("of it, node, broker and subscriber", work_s, "ms", 1e3)
    report.add_figure("p99 of node, broker and subscriber", 1e3 * float(np.quantile(work_s, 0.99)), "ms", below=50.0)
    report.add_figure("p99 from the last sample's sound", 1e3 * float(np.quantile(delay_s, 0.99)), "ms")
    report.add_remark(f"blocks of {1e3 * block_samples_at(arguments.rate_hz) / arguments.rate_hz:g} ms")
    report.add_remark("times in messages are whole milliseconds")
    report.write(as_json=arguments.json)


def receive_hops(rate_hz: int, hops: int) -> list[tuple[float, float, float]]:
    """The first classifications: when each was received, and its window's start and end; seconds since the epoch."""
    received: queue.Queue = queue.Queue()
    with tempfile.TemporaryDirectory() as name, running_broker() as port:
        path = Path(name) / "street.wav"
        soundfile.write(path, load_street(rate_hz), rate_hz)
        source = f'type = "file"\npath = "{path}"\nrealtime = true\nloop = true'
        with (
            subscription(port, "soundclr/bench/street/classification", received, time.time),
            running_node(Path(name), port, source),
        ):
            messages = []
            for _ in range(hops):
                received_s, payload = received.get(timeout=_PATIENCE_S)
                values = json.loads(payload)
                if not messages and values["seq"] != 0:
                    raise SystemExit("the first window's message was lost; is the machine too busy?")
                messages.append((received_s, _epoch_s(values["start"]), _epoch_s(values["end"])))
    return messages


def ready_times_s(rate_hz: int, messages: list[tuple[float, float, float]]) -> list[float]:
    """When the last sample of each message's window has come out of the resampler, if that took no time.

    Seconds since the epoch.
    """
    spec = load_bundle(SHIPPED_BUNDLE).frontend
    start_s = messages[0][1]  # the first window begins with the first sample
    block = np.zeros(block_samples_at(rate_hz), np.float32)
    resampler = StreamResampler(rate_hz, spec.sample_rate_hz)
    ready_s: list[float] = []
    blocks = resampled = 0
    for _, _, end_s in messages:
        while resampled < _window_end(spec, end_s - start_s):
            blocks += 1
            resampled += len(resampler.push(block))
        ready_s.append(start_s + blocks * len(block) / rate_hz)
    return ready_s


def _window_end(spec: FrontendSpec, end_s: float) -> int:
    """The sample, at the bundle's rate, that ends the window of which a message says the end in milliseconds."""
    frames = round((end_s * spec.sample_rate_hz - spec.window_samples) / spec.hop_length)
    return spec.window_samples + frames * spec.hop_length


def _epoch_s(time_utc: str) -> float:
    return dt.datetime.fromisoformat(time_utc.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    main()
