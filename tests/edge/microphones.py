"""Microphones whose capture child is the fake one."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

from edge.sources.microphone import MicrophoneSource

FAKE = Path(__file__).with_name("fake_capture.py")
GUARD_S = 30.0  # hang guard


@contextmanager
def make_microphone(folder):
    """Gives what makes microphones whose child behaves in one way; closes them."""
    made = []

    def make(mode, **options):
        options.setdefault("backoff_s", (0.1, 0.4))
        options.setdefault("stall_s", 1.0)
        command = [sys.executable, str(FAKE), mode, str(folder / "starts")]
        source = MicrophoneSource("corner", command=command, **options)
        made.append(source)
        return source

    try:
        yield make
    finally:
        for source in made:
            source.close()


def starts(folder):
    """The arguments of each start of the child."""
    return (folder / "starts").read_text().splitlines()


def next_block(source, condition=lambda _: True):
    """The next block for which condition holds."""
    deadline_s = time.monotonic() + GUARD_S
    while time.monotonic() < deadline_s:
        block = source.read(0.2)
        if block is not None and condition(block):
            return block
    raise AssertionError("no such block within %.0f s" % GUARD_S)


def blocks_until_gap(source):
    """All blocks up to the first with a gap, which comes last."""
    blocks = [next_block(source)]
    while blocks[-1].gap is None:
        blocks.append(next_block(source))
    return blocks


def read_until(source, condition):
    """Read until condition holds; the blocks that came."""
    blocks, deadline_s = [], time.monotonic() + GUARD_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen within %.0f s" % GUARD_S
        block = source.read(0.05)
        if block is not None:
            blocks.append(block)
    return blocks
