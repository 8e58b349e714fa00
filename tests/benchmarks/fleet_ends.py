"""Where a broker that is held to a share of one core ends, measured: the rate from which on messages queue ever longer.

The rate is raised from half of what the processor time of a message lets expect, until messages come later and later
or are lost. The same rate for twice as long must show it again: near its end the broker takes a message the cheaper the
more of them wait, and now and then catches up.
"""

from collections.abc import Callable
from typing import NamedTuple

from fleet_load import LATE_MS, Step

GROWS = 0.05  # 50 ms of delay a second: a twentieth more is sent than delivered
_RAISE = 1.25
_TRIALS = 20  # to 35 times what is expected; the simulated nodes end before


class End(NamedTuple):
    """Of one share of a core."""

    share: float
    held: Step | None  # the highest rate that was not late (99 % within a second); None where the first was
    ended: Step | None  # the first that it did not; None where the simulated nodes ended before
    longer: Step | None  # that rate again, for twice as long


def find_end(run_step: Callable[[float, float], Step], share: float, expected: float, seconds: float) -> End:
    """Raise the rate until it is too much.

    Args:
        run_step: sends at a multiple of the nodes' rate for some seconds.
        expected: multiple at which the end ought to be.
    """
    held: Step | None = None
    factor = 0.5 * expected
    for _ in range(_TRIALS):
        steps = [run_step(factor, seconds)]
        if _is_too_much(steps[0]):
            steps.append(run_step(factor, 2.0 * seconds))
        if any(step.sender_late_p99_s > 0.5 for step in steps):
            break
        if _is_too_much(steps[-1]):
            return End(share, held, *steps)
        held, factor = steps[-1] if steps[-1].p99_ms <= LATE_MS else held, factor * _RAISE
    return End(share, held, None, None)


def write_ends(ends: list[End], free_cpu_us: float) -> None:
    """The table; `free_cpu_us` is a message's processor time of the broker that nobody held."""
    print("\nHeld to a share of one core; held: the highest rate with 99 % within a second;")
    print(f"computed: from {free_cpu_us:.1f} us a message, measured without that;")
    print("again: the same rate for twice as long, as are delivered, used and us/message; growth: of the delay, s/s.")
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
            f"{head}{step.rate_hz:10.0f}{longer.delivered_hz:10.0f}{1e6 * end.share / free_cpu_us:10.0f}"
            f"{100 * longer.broker_cpu:6.1f} %{longer.cpu_us:9.1f}{held.p99_ms if held else float('nan'):8.0f}"
            f"{step.p99_ms:10.0f}{longer.p99_ms:8.0f}{step.growth:8.2f}{longer.growth:6.2f}"
            f"{step.behind:8d}{longer.behind:8d}{f'  lost {step.lost}' if step.lost else ''}"
        )


def _is_too_much(step: Step) -> bool:
    return step.lost > 0 or step.growth > GROWS
