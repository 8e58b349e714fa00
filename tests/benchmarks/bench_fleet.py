"""A thousand nodes against one real mosquitto: where does one broker end?

The nodes are simulated in one process and publish as ours do; a reader in another takes everything. The rate is raised
step by step until messages are lost or come late, and the table says who was at its end: the broker, or the two
processes of this benchmark, which share the machine with it. With `--share` (root) the broker is then held to a share
of one core, so that it ends before they do. One more step is the end of an hour, when all nodes send their summaries.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator

from cpu_share import CpuShare, ShareError
from fleet_broker import find_mosquitto, memory_mb, running_mosquitto, version_of_mosquitto
from fleet_ends import End, find_end, write_ends
from fleet_load import Bench, Fleet, FleetReader, Step
from report import Report, build_parser, positive

_SHARED = "$share/bench/soundclr/#"


def main() -> int:
    """Raise the rate until something gives, and report."""
    arguments = read_arguments()
    if find_mosquitto() is None:
        print("bench_fleet: mosquitto is not installed: apt-get install mosquitto", file=sys.stderr)
        return 0
    report = Report(f"A fleet of {arguments.nodes} nodes on one mosquitto", [])
    with tempfile.TemporaryDirectory() as folder, running_mosquitto(folder, arguments.max_queued_messages) as broker:
        port, process = broker
        idle_mb = memory_mb(process.pid)
        with Fleet(port, arguments.nodes) as fleet:
            connected = fleet.hear()
            report.add_figure("connected and announced, all nodes", connected["connected_s"], "s")
            per_node_kb = 1000.0 * (memory_mb(process.pid) - idle_mb) / arguments.nodes
            report.add_figure("the broker's memory for each node", per_node_kb, "kB")
            with FleetReader(port) as reader:
                kept, bench = reader.kept, Bench(process.pid, fleet, reader)
                hour = bench.run_step(1.0, arguments.seconds, is_hour_end=True)
                steps = list(measure(bench, arguments.seconds, arguments.most))
            try:
                ends = list(measure_ends(process.pid, port, fleet, steps, arguments))
            except ShareError as error:
                print(f"bench_fleet: --share: {error}", file=sys.stderr)
                return 1
    write_steps(hour, steps, ends, connected["kinds"], as_json=arguments.json)
    retained = 3 * arguments.nodes
    report.add_figure(f"kept messages that a new reader gets at once, of {retained}", kept, "", at_least=retained)
    add_figures(report, hour, steps, ends)
    report.write(as_json=arguments.json)
    return 0


def read_arguments() -> argparse.Namespace:
    """From the command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="connections (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=8.0, help="for each rate (default: %(default)s)")
    parser.add_argument(
        "--most", type=positive, default=32.0, help="highest multiple of the rate (default: %(default)s)"
    )
    parser.add_argument(
        "--max-queued-messages",
        type=int,
        default=1000,
        help="mosquitto's, for a reader (default: its own, %(default)s)",
    )
    parser.add_argument(
        "--share",
        type=percent,
        nargs="+",
        default=[],
        metavar="PERCENT",
        help="hold the broker to these shares of one core and find where it ends; needs root (default: none)",
    )
    return parser.parse_args()


def percent(text: str) -> float:
    """Above 0 and at most 100, for options; as a part of 1."""
    value = positive(text)
    if value > 100.0:
        raise argparse.ArgumentTypeError(f"{text}; expected a percentage, at most 100")
    return value / 100.0


def measure(bench: Bench, seconds: float, most: float) -> Iterator[Step]:
    """One step after the other, each twice the rate, until one ends badly."""
    factor = 1.0
    while factor <= most:
        step = bench.run_step(factor, seconds)
        yield step
        if step.end:
            return
        factor *= 2.0


def measure_ends(pid: int, port: int, fleet: Fleet, steps: list[Step], arguments: argparse.Namespace) -> Iterator[End]:
    """Where the broker ends that has so much of one core; its reader shares a subscription."""
    per_time_hz = steps[0].rate_hz / steps[0].factor
    for share in arguments.share:
        expected = 1e6 * share / best_of(steps).cpu_us / per_time_hz
        with FleetReader(port, _SHARED) as reader, CpuShare(pid, share):
            yield find_end(Bench(pid, fleet, reader).run_step, share, expected, arguments.seconds)


def best_of(steps: list[Step]) -> Step:
    """Where a message cost the broker the least; of steps of which the kernel counted any processor time."""
    counted = [step for step in steps if step.cpu_us > 0.0]
    if not counted:
        raise SystemExit("bench_fleet: the broker took less than the 10 ms that the kernel counts; give more --seconds")
    return min(counted, key=lambda step: step.cpu_us)


def add_figures(report: Report, hour: Step, steps: list[Step], ends: list[End]) -> None:
    """What is worth remembering."""
    for name, step in (("", steps[0]), ("at an hour's end, ", hour)):
        report.add_figure(f"{name}messages a second that the fleet sends", step.rate_hz, "1/s")
        report.add_figure(f"{name}of these lost", step.lost, "", below=1)
        report.add_figure(f"{name}due to delivered, median", step.p50_ms, "ms")
        report.add_figure(f"{name}due to delivered, p99", step.p99_ms, "ms")
    cpu_us = best_of(steps).cpu_us
    report.add_figure("broker's processor time a message, in and out", cpu_us, "us")
    report.add_figure("so one core of this machine would end at about", 1e6 / cpu_us, "1/s")
    for end in ends:
        if end.longer is not None:
            name = f"delivered at the end of {100 * end.share:g} % of a core, a second"
            report.add_figure(name, end.longer.delivered_hz, "1/s")
            report.add_figure(
                "  as many for a whole core, if that is linear", end.longer.delivered_hz / end.share, "1/s"
            )
    report.add_remark(f"broker {version_of_mosquitto()}, persistence off, one reader of everything at QoS 1")
    report.add_remark("due to delivered: whole milliseconds, and the sender's own lateness is in it")


def write_steps(hour: Step, steps: list[Step], ends: list[End], kinds: list[str], *, as_json: bool) -> None:
    """The tables, or one JSON object."""
    if as_json:
        table = {"hour_end": hour._asdict(), "steps": [dict(step._asdict(), end=step.end) for step in steps]}
        shares = [
            {name: step._asdict() if isinstance(step, Step) else step for name, step in end._asdict().items()}
            for end in ends
        ]
        print(json.dumps({"kinds": kinds, **table, "shares": shares}))
        return
    print("\nEach node sends " + ", ".join(kinds) + "; at 1 times the rate as ours do.")
    print("   times      1/s     lost   p50 ms   p99 ms  broker CPU  broker MB  us/message  at its end")
    for name, step in [("1, hour", hour)] + [(f"{step.factor:g}", step) for step in steps]:
        print(
            f"{name:>8}{step.rate_hz:9.0f}{step.lost:9d}{step.p50_ms:9.0f}{step.p99_ms:9.0f}"
            f"{100 * step.broker_cpu:10.0f} %{step.broker_mb:11.1f}{step.cpu_us:12.1f}  {step.end or '-'}"
        )
    if ends:
        write_ends(ends, best_of(steps).cpu_us)


if __name__ == "__main__":
    sys.exit(main())
