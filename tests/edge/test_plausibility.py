"""What no room can sound like: one value for ever, and one buffer round and round."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources.faults import MUTED, STUCK
from edge.sources.plausibility import SoundWatch

BLOCK_S = 0.05
SAMPLES = 800


def noise(seed):
    return random.Random(seed).getrandbits(16 * SAMPLES).to_bytes(2 * SAMPLES, "little")


def feed(watch, payloads, frame_bytes=2):
    for payload in payloads:
        watch.see(payload, frame_bytes, BLOCK_S)
    return watch.fault


@pytest.mark.parametrize("frame", [b"\0\0", b"\xff\xff", b"\x34\x12"])
def test_one_value_for_half_a_minute_is_a_muted_microphone(frame):
    watch = SoundWatch()
    assert feed(watch, [frame * SAMPLES] * 599) is None
    assert feed(watch, [frame * SAMPLES]) == MUTED
    assert feed(watch, [noise(1)]) is None


def test_two_channels_that_differ_and_never_change_are_muted_too():
    assert feed(SoundWatch(), [b"\0\0\x01\0" * SAMPLES] * 600, frame_bytes=4) == MUTED


def test_a_pause_of_digital_silence_is_no_fault():
    watch = SoundWatch()
    for seed in range(20):
        assert feed(watch, [b"\0\0" * SAMPLES] * 400 + [noise(seed)]) is None


@pytest.mark.parametrize("ring_samples", [800, 1600, 2400, 1024, 4096, 6000])
def test_a_ring_of_any_length_that_nobody_fills_is_found(ring_samples):
    ring = b"".join(noise(seed) for seed in range(8))[: 2 * ring_samples]
    endless = ring * (400 * SAMPLES // ring_samples)
    payloads = [endless[at : at + 2 * SAMPLES] for at in range(0, len(endless) - 2 * SAMPLES, 2 * SAMPLES)]
    watch = SoundWatch()
    assert feed(watch, payloads[: int(2.9 / BLOCK_S)]) is None
    assert feed(watch, payloads[int(2.9 / BLOCK_S) :]) == STUCK
    assert feed(watch, [noise(1000 + seed) for seed in range(19)]) == STUCK
    assert feed(watch, [noise(2000 + seed) for seed in range(2)]) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), max_size=60))
def test_what_sounds_is_never_taken_for_a_fault(seed, repeats):
    """A sound in the street may come back, as long as it does not go round and round."""
    watch, samples = SoundWatch(), [noise(seed + i) for i in range(31)]
    for index, repeat in enumerate(repeats):
        assert feed(watch, [noise(seed + 100 + index), samples[repeat]]) is None


def test_a_device_that_begins_again_with_the_same_sound_is_not_stuck():
    watch, start = SoundWatch(), [noise(seed) for seed in range(100)]
    for _ in range(5):
        watch.begin_stream()
        assert feed(watch, start) is None
