"""A microphone, heard through a capture child that is killed and started anew whenever it fails.

A missing device is waited for; a stalled, dead or babbling child is replaced. What comes and cannot be sound (one
value for ever, one buffer round and round, far more samples than promised) is withheld. What was lost meanwhile is
counted from the monotonic clock and announced as a Gap.
"""

import logging
import time
from typing import Callable, List, Optional, Sequence, Tuple

from edge.errors import SourceError
from edge.records import AudioBlock
from edge.sources import devices, faults, framing
from edge.sources.base import EndOfSource, Source, check_channel, check_sample_rate
from edge.sources.capture_process import CaptureProcess, ChildEndedError
from edge.sources.devices import sound_cards
from edge.sources.fault_record import FaultRecord
from edge.sources.faults import FAULTS, Fault
from edge.sources.framing import BLOCK_S, FramingError, Record, StreamFormat, stream_format_from_hello
from edge.sources.hardware import Hardware, HardwareError, hardware_from_mapping
from edge.sources.pcm import frames_from_pcm, mono_from_frames, overloaded_frames
from edge.sources.plausibility import SoundWatch
from edge.sources.restart_wait import RestartWait
from edge.sources.timeline import CaptureTimeline

_LOGGER = logging.getLogger(__name__)

_STALL_S = 3.0  # ALSA alone takes about 1 s to start
_STALL_BLOCKS = 10
_START_TIMEOUT_S = 20.0  # Python, PortAudio and its look at every device, on a busy Jetson
_BACKOFF_S = (0.5, 5.0)  # first pause before a new start, and the longest: with the start itself well below 10 s
_STEADY_S = 10.0  # sound for so long makes the next pause the first one again
_REOPEN_S = 60.0  # a device whose sound is none is opened anew this often: some come to their senses
_FAULTS_THAT_LAST = (faults.NO_PORTAUDIO, faults.AMBIGUOUS)  # waiting does not mend them


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
        command: Optional[Sequence[str]] = None,
        settings_file: str = "",
        stall_s: float = _STALL_S,
        backoff_s: Tuple[float, float] = _BACKOFF_S,
        cards: Callable[[], str] = sound_cards,
    ) -> None:
        """Describe the microphone.

        Args:
            name: The source's slug.
            device: Part of the device's name; the default microphone where empty.
            sample_rate_hz: To ask for; 0 for the best for levels (`rates_to_try`). After a refusal another is taken.
            channels: To open, 0 for all that the device has.
            channel: The one to hear, from 0; -1 for the mean of all.
            command: Starts the capture child, `devices.CAPTURE_COMMAND` unless given; its arguments are appended.
            settings_file: A calibration's record: the controls in it are restored at each start, and kept.
            stall_s: Silence of the child that means it hangs; at least 10 blocks.
            backoff_s: The first pause before a new start, and the longest.
            cards: What sound devices the machine has; where that changes, a new start is tried at once.

        Raises:
            SourceError: a value is out of its range.
        """
        super().__init__(name)
        what = "source %s" % name
        if sample_rate_hz:
            check_sample_rate(sample_rate_hz, what)
        if channels:
            check_channel(channel, channels, what)
        names = ("restarts", "stalls", "overflows", "skips", "drifts", "lost_samples", "withheld_samples")
        self.counters = dict.fromkeys(names, 0)
        self._device = device
        self._wanted_rate_hz = sample_rate_hz
        self._wanted_channels = channels
        self._channel = channel
        self._command = list(devices.CAPTURE_COMMAND if command is None else command)
        self._settings_file = settings_file
        self.hardware: Optional[Hardware] = None  # what the sound comes through, once that is known; None without sound
        self._stall_s = max(stall_s, _STALL_BLOCKS * BLOCK_S)
        self._restart_wait = RestartWait(backoff_s, cards)
        self._timeline = CaptureTimeline(self.counters)
        self._process: Optional[CaptureProcess] = None
        self._format: Optional[StreamFormat] = None
        self._is_open = False
        self._last_record_s = self._sound_since_s = 0.0
        self._fault_record = FaultRecord(name)
        self._reopened_s = -float("inf")
        self._sound_watch = SoundWatch()

    def open(self) -> None:
        """Start listening. A device that is not there now is no error: read() waits for it.

        `sample_rate_hz` is 0 until the device has been there once, unless it was given.

        Raises:
            SourceError: the name fits several devices, or PortAudio is not installed.
        """
        self.close()
        self._is_open = True
        self._restart_wait.begin()
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
                    raise SourceError("source %s: %s" % (self.name, self.fault.message if self.fault else "no sound"))
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
        return "microphone " + self._format.describe()

    @property
    def stream(self) -> Optional[StreamFormat]:
        """The open stream's format; None while there is none."""
        return self._format

    @property
    def status(self) -> str:
        """ "online" while sound comes that is sound: neither nothing nor the same for ever."""
        heard = self._is_open and self._process is not None and self._sound_since_s > 0 and self.fault is None
        return "online" if heard else "offline"

    @property
    def fault(self) -> Optional[Fault]:
        """What keeps it from giving sound; None while it does, and while it starts for the first time."""
        return self._fault_record.fault

    def _advance(self, wait_s: float) -> Optional[AudioBlock]:
        """Take one step: a record, a stall, a death, or a new start."""
        process = self._process
        if process is None:
            if self._restart_wait.wait(wait_s):
                self._start()
            return None
        try:
            record = process.read_record(max(0.0, min(wait_s, self._stall_at_s() - time.monotonic())))
            if record is not None:
                if record.kind != framing.HARDWARE:  # controls may change as often as they like while no sound comes
                    self._last_record_s = time.monotonic()
                return self._take(record)
        except ChildEndedError:
            words = process.last_words() or "nothing"
            self._fail("restart", Fault(faults.DIED, "the capture process died; it last said: %s" % words))
        except FramingError as error:
            self._fail("restart", Fault(faults.GARBLED, "the capture process talks nonsense: %s" % error))
        else:
            if time.monotonic() >= self._stall_at_s():
                self._fail("stall", self._stalled())
        return None

    def _stalled(self) -> Fault:
        self.counters["stalls"] += 1
        code, what = faults.STALL, "no sound although the stream is open"
        if self._format is None:
            code, what = faults.NO_START, "PortAudio has not started"
        waited_s = time.monotonic() - self._last_record_s
        return Fault(code, "%s for %.1f s; the capture process hangs and is killed" % (what, waited_s))

    def _take(self, record: Record) -> Optional[AudioBlock]:
        if record.kind == framing.HELLO:
            self._format = stream_format_from_hello(record)
            self.sample_rate_hz = self._format.sample_rate_hz
            if self._channel >= self._format.channels:
                message = "the microphone %r has %d channel(s), and channel %d (from 0) is to be heard"
                given = (self._format.device, self._format.channels, self._channel)
                self._give_up_or_wait(Fault(faults.REFUSED, message % given), lasting=True)
            return None
        if record.kind == framing.FAILURE:
            values = record.values()
            code = str(values.get("reason"))
            fault = Fault(code if code in FAULTS else faults.DIED, str(values.get("message", "no reason given")))
            self._give_up_or_wait(fault, lasting=code in _FAULTS_THAT_LAST)
            return None
        if self._format is None:
            raise FramingError("sound before its format")
        if record.kind == framing.HARDWARE:
            self._note_hardware(record)
            return None
        return self._block_from(record, self._format)

    def _give_up_or_wait(self, fault: Fault, *, lasting: bool) -> None:
        """Before the first sound a lasting trouble is a wrong configuration; afterwards nothing ends the node."""
        if lasting and not self._timeline.heard:
            raise SourceError("source %s: %s" % (self.name, fault.message))
        self._fail("device_lost", fault)

    def _block_from(self, record: Record, stream: StreamFormat) -> Optional[AudioBlock]:
        if not record.frames or len(record.payload) != record.frames * stream.frame_bytes:
            raise FramingError("%d frames in %d bytes" % (record.frames, len(record.payload)))
        self._note_sound()
        if self._is_implausible(record, stream):
            return None
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
            overloaded_frames(frames, self._channel),
        )

    def _note_hardware(self, record: Record) -> None:
        try:
            self.hardware = hardware_from_mapping(record.values())
        except HardwareError as error:  # no reason to be deaf
            _LOGGER.warning("microphone %s: its hardware is not known: %s", self.name, error)
            self.hardware = None
            return
        for what in self.hardware.restored:
            _LOGGER.warning("microphone %s: put right as calibrated: control %s", self.name, what)

    def _note_sound(self) -> None:
        now_s = time.monotonic()
        if not self._sound_since_s:
            self._sound_since_s = now_s
            _LOGGER.info("microphone %s: hears %s", self.name, self.describe())
        elif now_s - self._sound_since_s > _STEADY_S:
            self._restart_wait.note_steady()

    def _is_implausible(self, record: Record, stream: StreamFormat) -> bool:
        """Whether what comes is no sound, and withheld; says so, and opens the device anew from time to time."""
        self._sound_watch.see(record.payload, stream.frame_bytes, record.frames / float(stream.sample_rate_hz))
        self._timeline.watch(record, stream.sample_rate_hz)
        code = self._sound_watch.fault or (faults.DRIFT if self._timeline.is_drifting else None)
        if code is None:
            self._fault_record.clear()
            return False
        self.counters["withheld_samples"] += record.frames
        fault = Fault(code, "%r gives what is no sound: %s" % (stream.device, FAULTS[code]))
        now_s = time.monotonic()
        if now_s - self._reopened_s >= _REOPEN_S:
            self._reopened_s = now_s
            self._fail(code, fault)
        else:
            self._timeline.interrupt(code)
            self._fault_record.note(fault)
        return True

    def _start(self) -> None:
        if self._restart_wait.has_failed:
            self.counters["restarts"] += 1
        try:
            self._process = CaptureProcess(self._command + self._arguments(), self.name)
        except OSError as error:
            self._fail("restart", Fault(faults.DIED, "the capture process cannot be started: %s" % error))
            return
        self._timeline.begin_stream()
        self._sound_watch.begin_stream()
        self._restart_wait.note_start()
        self._last_record_s = time.monotonic()

    def _arguments(self) -> List[str]:
        channels = max(self._wanted_channels, self._channel + 1) if self._wanted_channels else 0
        arguments = ["--device=" + self._device, "--channels=%d" % channels]
        if self._settings_file:
            arguments.append("--settings=" + self._settings_file)
        if self._wanted_rate_hz:
            return arguments + ["--rate=%d" % self._wanted_rate_hz]
        return arguments + ["--prefer-rate=%d" % self.sample_rate_hz]  # as before, so that the count stays in one rate

    def _stall_at_s(self) -> float:
        return self._last_record_s + (_START_TIMEOUT_S if self._format is None else self._stall_s)

    def _fail(self, reason: str, fault: Fault) -> None:
        self._drop_process(reason)
        self._restart_wait.note_failure()
        self._fault_record.note(fault)

    def _drop_process(self, reason: str) -> None:
        self._timeline.interrupt(reason)
        self._format = self.hardware = None
        self._sound_since_s = 0.0
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
