"""A capture child without PortAudio: a program of its own that speaks the framing, and misbehaves on demand.

Run as `fake_capture.py MODE STATE_FILE ...`; STATE_FILE counts the starts, so that a later start can behave.
Its sound comes at the pace of the street, 10 ms at a time, and no two blocks are alike.
"""

import math
import os
import struct
import sys
import threading
import time

from edge.sources import faults, framing
from edge.sources.capture_queue import CaptureQueue

RATE_HZ = 16000
FRAMES = 160
BLOCK_S = FRAMES / float(RATE_HZ)


def _write(data):
    view = memoryview(data)
    while len(view):
        view = view[os.write(1, view) :]


def _hello(rate_hz=RATE_HZ, **other):
    values = {"device": "fake", "sample_rate_hz": rate_hz, "channels": 1, "sample_format": "s16le"}
    values.update(other)
    _write(framing.bytes_from_record(framing.json_record(framing.HELLO, **values)))


def _fail(reason, message):
    _write(framing.bytes_from_record(framing.json_record(framing.FAILURE, reason=reason, message=message)))
    sys.exit(1)


def _hardware(volume):
    """What `tests.edge.calibrators` calls HARDWARE, with its volume turned."""
    from edge.sources.hardware import bytes_from_hardware
    from tests.edge.calibrators import HARDWARE, VOLUME

    controls = (VOLUME._replace(values=(volume, volume)),) + HARDWARE.controls[1:]
    hardware = HARDWARE._replace(controls=controls, sample_rate_hz=RATE_HZ)
    _write(framing.bytes_from_record(framing.Record(framing.HARDWARE, bytes_from_hardware(hardware))))


def _give_with_hardware(mode, device):
    """Its hardware before the first sound; "turned" after ten blocks, and "turned_back" after ten more."""
    _hardware(8)
    device.give(10)
    if mode != "hardware":
        _hardware(3)
        device.give(10)
    if mode == "turned_back":
        _hardware(8)
    device.give()


def _noise(index):
    return (b"%08d" % index) * (2 * FRAMES // 8)


def _tone(index):
    """440 Hz, a fifth of full scale, with a little noise: no two blocks are alike."""
    at = range(index * FRAMES, (index + 1) * FRAMES)
    noise = index % 7
    tone = [int(6553 * math.sin(2 * math.pi * 440 * i / RATE_HZ)) + i * 7919 % 61 + noise for i in at]
    return struct.pack("<%dh" % FRAMES, *tone)


def _zeros(_index):
    return b"\0" * (2 * FRAMES)


def _ring(index):
    return _noise(index % 7)


class _Device:
    """Gives blocks in time; a `speed` other than 1 is a clock that lies, `pace` 0 makes time fly."""

    def __init__(self):
        self._index = 0
        self._start_s = self._now_s = time.monotonic()

    def give(self, blocks=10**9, payload_of=_noise, dropped=0, speed=1.0, pace=1.0):
        for _ in range(blocks):
            record = framing.Record(
                framing.AUDIO,
                payload_of(self._index),
                self._index * FRAMES + dropped,
                int(self._now_s * 1e9),
                FRAMES,
                dropped,
            )
            self._index += 1
            self._now_s += BLOCK_S / speed
            time.sleep(max(0.0, pace * (self._now_s - time.monotonic())))
            _write(framing.bytes_from_record(record))


def _misbehave_at_once(mode):
    if mode == "garbage_first":
        _write(b"Cannot connect to server socket\n" * 100)
        time.sleep(600)
    if mode == "bad_hello":
        _hello(sample_format="mp3")
    if mode == "hangs_at_start":
        time.sleep(600)


def _die():
    sys.stderr.write("the end is near\n")
    sys.exit(3)


def _babble():
    _write(b"\0garbage" * 1000)
    time.sleep(600)


def _break_off():
    _write(framing.bytes_from_record(framing.Record(framing.AUDIO, b"\0" * 2 * FRAMES, 0, 0, FRAMES))[:200])
    sys.exit(0)


def _turn_for_ever():
    """Controls that never rest, and no sound."""
    for turn in range(10**9):
        _hardware(turn % 16)
        time.sleep(0.05)


def _flood():
    line = b"ALSA lib pcm.c:8545:(snd_pcm_recover) no such device\n" * 1000
    while True:
        os.write(2, line)


AFTER_FIVE_BLOCKS = {
    "stall": lambda: time.sleep(600),
    "death": _die,
    "gone_once": _die,
    "other_rate": _die,
    "garbage": _babble,
    "half": _break_off,
    "wrong_size": lambda: _write(framing.bytes_from_record(framing.Record(framing.AUDIO, b"\0" * 10, 0, 0, FRAMES))),
    "flood": _flood,
    "restless": _turn_for_ever,
}


def _sound_that_is_none(mode, device, start):
    """Five blocks of sound, then something else; a later start gives a little of that, and sound again."""
    if start == 1:
        device.give(5)
    if mode == "muted":
        device.give(10**9 if start == 1 else 20, payload_of=_zeros, pace=0.0 if start == 1 else 1.0)
    if mode == "stuck":
        device.give(10**9 if start == 1 else 20, payload_of=_ring, pace=0.0 if start == 1 else 1.0)
    if mode in ("fast", "lossy"):
        device.give(10**9 if start == 1 else 20, speed=1.05 if mode == "fast" else 0.95, pace=0.0)
        device.give(int(12.0 / BLOCK_S), pace=0.0)
    if mode == "drops":
        device.give(5, dropped=777)
    device.give()


def _count_start(state):
    with open(state, "a") as file:
        file.write(" ".join(sys.argv[3:]) + "\n")
    with open(state) as file:
        return len(file.readlines())


def _capture_through_queue():
    """The real child's queue between a device in time and a pipe that its reader empties as fast as it can."""
    queue = CaptureQueue(RATE_HZ, 2, capacity_blocks=int(1.0 / BLOCK_S))

    def give_in_time():
        start_s = time.monotonic()
        for index in range(10**9):
            time.sleep(max(0.0, start_s + (index + 1) * BLOCK_S - time.monotonic()))
            queue.put(_noise(index), 0)

    threading.Thread(target=give_in_time, daemon=True).start()
    while True:
        record = queue.get(1.0)
        if record is not None:
            _write(framing.bytes_from_record(record))


def main():
    mode, state = sys.argv[1:3]
    start = _count_start(state)
    if mode == "missing" and start < 3:
        _fail(faults.MISSING, "no microphone is called 'x'; there is: 'y'")
    if (mode == "gone_once" and start == 2) or (mode == "day" and 2 <= start <= 6):
        _fail(faults.MISSING, "no microphone is called 'x'; there is: 'y'")
    if mode in (faults.AMBIGUOUS, faults.NO_PORTAUDIO):
        _fail(mode, "it is %s" % mode)
    if mode in (faults.BUSY, faults.DENIED, faults.REFUSED) and start < 3:
        _fail(mode, "it is %s" % mode)
    if start == 1:
        _misbehave_at_once(mode)
    if mode in ("hardware", "turned", "turned_back", "restless"):
        import tests.edge.calibrators  # noqa: F401 - takes a while, and must not after the greeting
    rate_hz = 48000 if mode == "other_rate" and start > 1 else RATE_HZ
    _hello(rate_hz, refused_rate_hz=11025 if mode == "refused_rate" else 0)
    if mode == "mute":
        time.sleep(600)
    if mode == "queue":
        _capture_through_queue()
    device = _Device()
    if mode in ("hardware", "turned", "turned_back"):
        _give_with_hardware(mode, device)
    if mode == "bad_hardware" and start == 1:
        _write(framing.bytes_from_record(framing.json_record(framing.HARDWARE, card="none")))
    if mode == "day" and start == 1:
        device.give(300, payload_of=_tone)
        _die()
    if mode in AFTER_FIVE_BLOCKS and start == 1:
        device.give(5)
        AFTER_FIVE_BLOCKS[mode]()
    if mode in ("muted", "stuck", "fast", "lossy", "drops"):
        _sound_that_is_none(mode, device, start)
    device.give(payload_of=_tone if mode == "day" else _noise)


if __name__ == "__main__":
    main()
