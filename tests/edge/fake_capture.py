"""A capture child without PortAudio: a program of its own that speaks the framing, and misbehaves on demand.

Run as `fake_capture.py MODE STATE_FILE ...`; STATE_FILE counts the starts, so that a later start can behave.
"""

import os
import sys
import time

from edge.sources import framing

RATE_HZ = 16000
FRAMES = 1600


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


def _sound(blocks=10**9, first=0, pause_s=0.01, dropped=0, value=None):
    for index in range(first, first + blocks):
        low, high = (index % 128, index % 100) if value is None else (value, 0)
        payload = bytes(bytearray([low, high])) * FRAMES
        _write(
            framing.bytes_from_record(
                framing.Record(
                    framing.AUDIO, payload, index * FRAMES + dropped, int(time.monotonic() * 1e9), FRAMES, dropped
                )
            )
        )
        time.sleep(pause_s)


def _misbehave_at_once(mode):
    if mode == "garbage_first":
        _write(b"Cannot connect to server socket\n" * 100)
        time.sleep(600)
    if mode == "bad_hello":
        _hello(sample_format="mp3")


def _die():
    sys.stderr.write("the end is near\n")
    sys.exit(3)


def _babble():
    _write(b"\0garbage" * 1000)
    time.sleep(600)


def _break_off():
    _write(framing.bytes_from_record(framing.Record(framing.AUDIO, b"\0" * 3200, 0, 0, FRAMES))[:1000])
    sys.exit(0)


def _flood():
    line = b"ALSA lib pcm.c:8545:(snd_pcm_recover) no such device\n" * 1000
    while True:
        os.write(2, line)


AFTER_FIVE_BLOCKS = {
    "stall": lambda: time.sleep(600),
    "death": _die,
    "other_rate": _die,
    "garbage": _babble,
    "half": _break_off,
    "wrong_size": lambda: _write(framing.bytes_from_record(framing.Record(framing.AUDIO, b"\0" * 10, 0, 0, FRAMES))),
    "flood": _flood,
    "drops": lambda: _sound(5, first=5, dropped=777),
}


def _count_start(state):
    with open(state, "a") as file:
        file.write(" ".join(sys.argv[3:]) + "\n")
    with open(state) as file:
        return len(file.readlines())


def main():
    mode, state = sys.argv[1:3]
    start = _count_start(state)
    if mode == "missing" and start < 3:
        _fail(framing.REASON_MISSING, "no microphone is called 'x'; there is: 'y'")
    if mode in (framing.REASON_AMBIGUOUS, framing.REASON_NO_PORTAUDIO):
        _fail(mode, "it is %s" % mode)
    if start == 1:
        _misbehave_at_once(mode)
    _hello(48000 if mode == "other_rate" and start > 1 else RATE_HZ)
    if mode == "mute":
        time.sleep(600)
    if mode in AFTER_FIVE_BLOCKS and start == 1:
        _sound(5)
        AFTER_FIVE_BLOCKS[mode]()
    if mode == "frozen":
        _sound(pause_s=0.001, value=0)
    _sound()


if __name__ == "__main__":
    main()
