"""A microphone, heard through a capture child that is killed and started anew whenever it fails.

A missing device is waited for; a stalled, dead or babbling child is replaced. What was lost meanwhile is counted from
the monotonic clock and announced as a Gap.
"""

import logging
import time
from typing import Dict, List, Optional, Sequence, Tuple

from edge.errors import SourceError
from edge.records import AudioBlock
from edge.sources import framing
from edge.sources.base import BLOCK_S, EndOfSource, Source, check_channel, check_sample_rate
from edge.sources.capture_process import CaptureProcess, ChildEndedError
from edge.sources.devices import CAPTURE_COMMAND
from edge.sources.framing import FramingError, Record, StreamFormat, stream_format_from_hello
from edge.sources.pcm import frames_from_pcm, mono_from_frames
from edge.sources.timeline import CaptureTimeline, FrozenWatch

_LOGGER = logging.getLogger(__name__)

_STALL_S = 3.0  # ALSA alone takes about 1 s to start
_STALL_BLOCKS = 10
_START_TIMEOUT_S = 20.0  # Python, PortAudio and its look at every device, on a busy Jetson
_BACKOFF_S = (1.0, 10.0)  # first pause before a new start, and the longest
_STEADY_S = 10.0  # sound for so long makes the next pause the first one again
_REPEAT_LOG_S = 60.0  # an unchanged trouble is said again this often
_FROZEN_S = 30.0  # the very same block for so long is not sound
_REASONS_THAT_LAST = (framing.REASON_NO_PORTAUDIO, framing.REASON_AMBIGUOUS)  # waiting does not mend them


class MicrophoneSource(Source):
    """Blocks from one microphone, for years."""

    def __init__(
        self,
        name: str,
        *,
        device: str = "",
        sample_rate_hz: int = 0,
        channels: int = 1,
        channel: int = -1,
        command: Sequence[str] = CAPTURE_COMMAND,
        stall_s: float = _STALL_S,
        backoff_s: Tuple[float, float] = _BACKOFF_S,
    ) -> None:
        """Describe the microphone.

        Args:
            name: The source's slug.
            device: Part of the device's name; the default microphone where empty.
            sample_rate_hz: 0 takes the device's own.
            channels: To open, 0 for all that the device has.
            channel: The one to hear, from 0; -1 for the mean of all.
            command: Starts the capture child; its arguments are appended.
            stall_s: Silence of the child that means it hangs; at least 10 blocks.
            backoff_s: The first pause before a new start, and the longest.

        Raises:
            SourceError: a value is out of its range.
        """
        super().__init__(name)
        what = "source %s" % name
        if sample_rate_hz:
            check_sample_rate(sample_rate_hz, what)
        if channels:
            check_channel(channel, channels, what)
        self.counters: Dict[str, int] = {
            "restarts": 0,
            "stalls": 0,
            "overflows": 0,
            "lost_samples": 0,
            "frozen_blocks": 0,
        }
        self._device = device
        self._wanted_rate_hz = sample_rate_hz
        self._wanted_channels = channels
        self._channel = channel
        self._command = list(command)
        self._stall_s = max(stall_s, _STALL_BLOCKS * BLOCK_S)
        self._backoff_s = backoff_s
        self._timeline = CaptureTimeline(self.counters)
        self._process: Optional[CaptureProcess] = None
        self._format: Optional[StreamFormat] = None
        self._is_open = False
        self._last_record_s = self._retry_at_s = self._sound_since_s = 0.0
        self._pause_s = backoff_s[0]
        self._trouble = ""
        self._trouble_said_s = 0.0
        self._frozen = FrozenWatch(int(_FROZEN_S / BLOCK_S))

    def open(self) -> None:
        """Start listening. A device that is not there now is no error: read() waits for it.

        `sample_rate_hz` is 0 until the device has been there once, unless it was given.

        Raises:
            SourceError: the name fits several devices, or PortAudio is not installed.
        """
        self.close()
        self._is_open = True
        self._retry_at_s, self._pause_s = 0.0, self._backoff_s[0]
        self.sample_rate_hz = self.sample_rate_hz or self._wanted_rate_hz
        try:
            self._start()
            while self._process is not None and self._format is None:
                self._advance(self._stall_at_s() - time.monotonic())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the child, within 2 s. A source opened again counts its samples on."""
        self._is_open = False
        if self._process is not None:
            self._drop_process("restart")

    def read(self, timeout_s: float) -> Optional[AudioBlock]:
        """The next block; None while there is no sound, whatever the reason. See Source.read."""
        if not self._is_open:
            raise EndOfSource("source %s is closed" % self.name)
        deadline_s = time.monotonic() + timeout_s
        while True:
            wait_s = deadline_s - time.monotonic()
            block = self._advance(max(0.0, wait_s))
            if block is not None or wait_s <= 0:
                return block

    def probe(self, timeout_s: float = 10.0) -> str:
        """Open, hear one block, close, and describe what was heard.

        Raises:
            SourceError: there is no sound within timeout_s; says why, and what devices there are.
        """
        with self:
            deadline_s = time.monotonic() + timeout_s
            while time.monotonic() < deadline_s:
                if self._process is None:
                    raise SourceError("source %s: %s" % (self.name, self._trouble))
                if self.read(0.1) is not None:
                    return self.describe()
            raise SourceError(
                "source %s: the %s opened, but gave no sound within %.1f s; plug it in anew"
                % (self.name, self.describe(), timeout_s)
            )

    def describe(self) -> str:
        """The device and its format."""
        if self._format is None:
            return "microphone %s, not there" % (repr(self._device) if self._device else "(default)")
        return "microphone %r, %s, %d Hz, %d channel(s)" % (
            self._format.device,
            self._format.sample_format,
            self._format.sample_rate_hz,
            self._format.channels,
        )

    @property
    def status(self) -> str:
        """ "online" while sound comes that is sound: neither nothing nor the same block for ever."""
        heard = self._is_open and self._process is not None and self._sound_since_s > 0 and not self._frozen.is_frozen
        return "online" if heard else "offline"

    def _advance(self, wait_s: float) -> Optional[AudioBlock]:
        """Take one step: a record, a stall, a death, or a new start."""
        process = self._process
        if process is None:
            time.sleep(max(0.0, min(wait_s, self._retry_at_s - time.monotonic())))
            if time.monotonic() >= self._retry_at_s:
                self._start()
            return None
        try:
            record = process.read_record(max(0.0, min(wait_s, self._stall_at_s() - time.monotonic())))
            if record is not None:
                self._last_record_s = time.monotonic()
                return self._take(record)
        except ChildEndedError:
            self._fail("restart", "the capture process died; it last said: %s" % (process.last_words() or "nothing"))
        except FramingError as error:
            self._fail("restart", "the capture process talks nonsense: %s" % error)
        else:
            if time.monotonic() >= self._stall_at_s():
                self.counters["stalls"] += 1
                self._fail(
                    "stall",
                    "%s for %.1f s; the capture process hangs and is killed"
                    % (
                        "PortAudio has not started" if self._format is None else "no sound although the stream is open",
                        time.monotonic() - self._last_record_s,
                    ),
                )
        return None

    def _take(self, record: Record) -> Optional[AudioBlock]:
        if record.kind == framing.HELLO:
            self._format = stream_format_from_hello(record)
            self.sample_rate_hz = self._format.sample_rate_hz
            if self._channel >= self._format.channels:
                self._give_up_or_wait(
                    "the microphone %r has %d channel(s), and channel %d (from 0) is to be heard"
                    % (self._format.device, self._format.channels, self._channel),
                    lasting=True,
                )
            return None
        if record.kind == framing.FAILURE:
            values = record.values()
            self._give_up_or_wait(
                str(values.get("message", "the capture process failed")),
                lasting=values.get("reason") in _REASONS_THAT_LAST,
            )
            return None
        if self._format is None:
            raise FramingError("sound before its format")
        return self._block_from(record, self._format)

    def _give_up_or_wait(self, message: str, *, lasting: bool) -> None:
        """Before the first sound a lasting trouble is a wrong configuration; afterwards nothing ends the node."""
        if lasting and not self._timeline.heard:
            raise SourceError("source %s: %s" % (self.name, message))
        self._fail("device_lost", message)

    def _block_from(self, record: Record, stream: StreamFormat) -> AudioBlock:
        if not record.frames or len(record.payload) != record.frames * stream.frame_bytes:
            raise FramingError("%d frames in %d bytes" % (record.frames, len(record.payload)))
        self._note_sound(record)
        frames = frames_from_pcm(record.payload, stream.sample_format, stream.channels)
        placement = self._timeline.place(record, stream.sample_rate_hz)
        if placement.gap is not None:
            _LOGGER.warning(
                "microphone %s: %d samples lost (%s)", self.name, placement.gap.lost_samples, placement.gap.reason
            )
        return AudioBlock(
            mono_from_frames(frames, self._channel),
            stream.sample_rate_hz,
            placement.first_sample,
            record.captured_ns * 1e-9,
            placement.gap,
        )

    def _note_sound(self, record: Record) -> None:
        now_s = time.monotonic()
        if not self._sound_since_s:
            self._sound_since_s = now_s
            self._trouble = ""
            _LOGGER.info("microphone %s: hears %s", self.name, self.describe())
        elif now_s - self._sound_since_s > _STEADY_S:
            self._pause_s = self._backoff_s[0]
        was_frozen = self._frozen.is_frozen
        self._frozen.see(record.payload)
        if self._frozen.is_frozen:
            self.counters["frozen_blocks"] += 1
            if not was_frozen:
                _LOGGER.warning(
                    "microphone %s: the same block again and again for %.0f s: muted, or broken?", self.name, _FROZEN_S
                )

    def _start(self) -> None:
        if self._retry_at_s:
            self.counters["restarts"] += 1
        try:
            self._process = CaptureProcess(self._command + self._arguments(), self.name)
        except OSError as error:
            self._fail("restart", "the capture process cannot be started: %s" % error)
        self._last_record_s = time.monotonic()

    def _arguments(self) -> List[str]:
        channels = max(self._wanted_channels, self._channel + 1) if self._wanted_channels else 0
        arguments = ["--device=" + self._device, "--channels=%d" % channels]
        if self._wanted_rate_hz:
            return arguments + ["--rate=%d" % self._wanted_rate_hz]
        return arguments + ["--prefer-rate=%d" % self.sample_rate_hz]  # as before, so that the count stays in one rate

    def _stall_at_s(self) -> float:
        return self._last_record_s + (_START_TIMEOUT_S if self._format is None else self._stall_s)

    def _fail(self, reason: str, message: str) -> None:
        self._drop_process(reason)
        now_s = time.monotonic()
        self._retry_at_s = now_s + self._pause_s
        if message != self._trouble or now_s - self._trouble_said_s >= _REPEAT_LOG_S:
            self._trouble, self._trouble_said_s = message, now_s
            _LOGGER.warning("microphone %s: %s; trying again in %.0f s and on", self.name, message, self._pause_s)
        self._pause_s = min(2 * self._pause_s, self._backoff_s[1])

    def _drop_process(self, reason: str) -> None:
        self._timeline.interrupt(reason)
        self._format = None
        self._sound_since_s = 0.0
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
