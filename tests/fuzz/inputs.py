"""How many inputs each target gets, and what may come of one.

`make test` gives each some hundred; `make fuzz` spreads SOUNDCLR_FUZZ_EXAMPLES over all of them by their shares.
"""

import contextlib
import os
import signal
from typing import Any, Callable, Dict, Iterator, Tuple, Type

from hypothesis import HealthCheck, settings

_LONGEST_MESSAGE = 3000  # characters: a person reads it
_PATIENCE_S = 60.0  # for one input, on a machine that has other things to do
_SHARES = 100
counts: Dict[str, int] = {}  # of inputs, by target


def fuzzed(share: int, examples: int) -> Callable[[Any], Any]:
    """Settings of one target.

    Args:
        share: percent of the inputs of the long run.
        examples: inputs in the short one.
    """
    wanted = int(os.environ.get("SOUNDCLR_FUZZ_EXAMPLES") or 0)
    return settings(
        max_examples=-(-wanted * share // _SHARES) if wanted else examples,
        deadline=None,
        database=None,
        derandomize=not wanted,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@contextlib.contextmanager
def one_input(target: str, *clear: Type[Exception]) -> Iterator[None]:
    """Count an input.  Within, one of the `clear` errors may come, as one readable line, and nothing else; soon."""
    counts[target] = counts.get(target, 0) + 1
    previous = signal.signal(signal.SIGALRM, _complain)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    try:
        yield
    except clear as error:
        check_message(str(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def check_message(text: str) -> None:
    """See that a message is one line that a terminal and a log can show."""
    assert text.strip(), "an empty message"
    assert len(text.splitlines()) == 1, "more than one line: %r" % text[:300]
    assert len(text) <= _LONGEST_MESSAGE, "%d characters: %r..." % (len(text), text[:300])
    text.encode("utf-8")
    assert "\x1b" not in text and "\0" not in text, "control characters: %r" % text[:300]


def _complain(*_: Any) -> Tuple[()]:
    raise AssertionError("one input has taken more than %g s" % _PATIENCE_S)
