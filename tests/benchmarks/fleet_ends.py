"""Where a broker that is held to a share of one core ends, measured: the rate from which on messages queue ever longer.

The rate is raised from half of what the processor time of a message lets expect, until messages come later and later
or are lost. The same rate for twice as long then shows whether that goes on: the delay of a queue that grows doubles.
"""

from collections.abc import Callable
from typing import NamedTuple

from fleet_load import Step

GROWS = 0.05  # 50 ms of delay a second: a twentieth more is sent than delivered
_RAISE = 1.25
_TRIALS = 20  # to 35 times what is expected; the simulated nodes end before


class End(NamedTuple):
    """Of one share of a core."""

    share: float
    held: Step | None  # the highest rate that the broker kept up with; None where the first was too much
    ended: Step | None  # the first that it did not; None where the simulated nodes ended before
    longer: Step | None  # that rate again, for twice as long

    @property
    def is_bounded(self) -> bool:
        """Whether the delay did not go on growing: then this is no end."""
        return self.ended is None or self.longer is None or not (self.longer.lost or self.longer.growth > GROWS)


def find_end(run_step: Callable[[float, float], Step], share: float, expected: float, seconds: float) -> End:
    """Raise the rate until it is too much.

    Args:
        run_step: sends at a multiple of the nodes' rate for some seconds.
        expected: multiple at which the end ought to be.
    """
    held, factor = None, 0.5 * expected
    for _ in range(_TRIALS):
        step = run_step(factor, seconds)
        if step.sender_late_p99_s > 0.5:
            break
        if step.lost or step.growth > GROWS:
            return End(share, held, step, run_step(factor, 2.0 * seconds))
        held, factor = step, factor * _RAISE
    return End(share, held, None, None)


def write_ends(ends: list[End], free_cpu_us: float) -> None:
    """The table; `free_cpu_us` is a message's processor time of the broker that nobody held."""
    print(f"\nHeld to a share of one core; computed: from {free_cpu_us:.1f} us a message, measured without that;")
    print("again: the same rate for twice as long; growth: of the delay, seconds a second.")
    print(
        "          held     ended  delivered  computed    used      us/  p99 ms    at the             growth"
        "          messages behind\n share      1/s    at 1/s       1/s       1/s          message    held"
        "       end   again     end again     end   again"
    )
    for end in ends:
        held, step, longer = end.held, end.ended, end.longer
        head = f"{100 * end.share:4g} %{held.rate_hz if held else 0:9.0f}"
        if step is None or longer is None:
            print(f"{head}  no end found: the simulated nodes ended first")
            continue
        print(
            f"{head}{step.rate_hz:10.0f}{step.delivered_hz:10.0f}{1e6 * end.share / free_cpu_us:10.0f}"
            f"{100 * step.broker_cpu:6.1f} %{step.cpu_us:9.1f}{held.p99_ms if held else float('nan'):8.0f}"
            f"{step.p99_ms:10.0f}{longer.p99_ms:8.0f}{step.growth:8.2f}{longer.growth:6.2f}"
            f"{step.behind:8d}{longer.behind:8d}{'  lost ' + str(step.lost) if step.lost else ''}"
            f"{'  BOUNDED: no end' if end.is_bounded else ''}"
        )
