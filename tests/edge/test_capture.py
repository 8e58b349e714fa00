"""The capture child's own order of things, without PortAudio: what it says when, while a card's controls hang."""

import os

import pytest

from edge.sources import capture, framing
from edge.sources.capture_queue import CaptureQueue
from edge.sources.devices import DeviceInfo
from tests.edge.calibrators import HARDWARE

DEVICE = DeviceInfo(0, "Card: Mic (hw:3,0)", 1, 48000, "ALSA", True)
FRAMES = 2400


class _Stream:
    """One that has stopped once its sound is taken."""

    def is_active(self):
        """As PortAudio says it."""
        return False


@pytest.fixture
def capture_with(monkeypatch):
    """Runs the child's loop over three buffers of sound; gives the kinds of its records, and what was out before."""

    def run(first_report):
        out_end, in_end = os.pipe()
        os.set_blocking(out_end, False)
        said_before = []

        class Keeper:
            """A card whose controls answer with this, or not in time."""

            def __init__(self, *_arguments, **_places):
                self._is_first = True

            def take_report(self, timeout_s=0.0):
                """The first is waited for."""
                if not self._is_first:
                    return None
                self._is_first = False
                assert timeout_s > 0.0
                try:
                    said_before.append(os.read(out_end, 1 << 16))
                except BlockingIOError:
                    said_before.append(b"")
                return first_report

        queue = CaptureQueue(48000, 2)
        for _ in range(3):
            queue.put(b"\1\0" * FRAMES, 0)
        hello = framing.json_record(
            framing.HELLO, device=DEVICE.name, sample_rate_hz=48000, channels=1, sample_format="s16le"
        )
        monkeypatch.setattr(capture, "_LOOK_S", 0.01)
        monkeypatch.setattr(capture, "SettingsKeeper", Keeper)
        monkeypatch.setattr(capture, "_open_portaudio", lambda: None)
        monkeypatch.setattr(capture, "_devices_of", lambda _audio: [DEVICE])
        monkeypatch.setattr(capture, "_open_stream", lambda *_given: (_Stream(), hello, queue))
        assert capture._capture(capture.build_parser().parse_args([]), in_end) == 1
        os.close(in_end)
        buffer, kinds = bytearray(), []
        while True:
            data = os.read(out_end, 1 << 16)
            if not data:
                break
            buffer += data
        os.close(out_end)
        while buffer:
            kinds.append(framing.take_record(buffer).kind)
        return kinds, b"".join(said_before)

    return run


def test_a_card_whose_controls_do_not_answer_is_heard_and_not_taken_for_one_that_stalls(capture_with):
    kinds, said_before = capture_with(None)
    assert said_before == b""  # after its greeting the parent counts the time without sound
    assert kinds == [framing.HELLO, framing.AUDIO, framing.AUDIO, framing.AUDIO, framing.FAILURE]


def test_what_the_sound_comes_through_is_told_before_the_first_of_it(capture_with):
    kinds, _ = capture_with(HARDWARE)
    assert kinds == [framing.HELLO, framing.HARDWARE] + 3 * [framing.AUDIO] + [framing.FAILURE]


def test_sound_of_before_its_controls_were_put_right_is_forgotten(capture_with):
    kinds, _ = capture_with(HARDWARE._replace(restored=("'Mic' from 3 to 8",)))
    assert kinds == [framing.HELLO, framing.HARDWARE, framing.FAILURE]
