"""Raw PCM from a pipe: `arecord ... | soundclr-edge`, `ffmpeg ... -f s16le - | soundclr-edge`."""

import logging
import os
import select
import sys
import time
from typing import BinaryIO, Optional

from edge.errors import SourceError
from edge.records import AudioBlock
from edge.sources.base import EndOfSource, Source, block_samples_at, check_channel, check_sample_rate
from edge.sources.pcm import (
    BYTES_PER_SAMPLE,
    STREAM_FORMATS,
    FullScaleGuard,
    frames_from_pcm,
    mono_from_frames,
    overloaded_frames,
)

_LOGGER = logging.getLogger(__name__)


class StdinSource(Source):
    """A stream that its writer paces. Nothing is dropped: a slow reader slows the writer down through the pipe.

    Waits with poll() on the stream's file descriptor, so a silent writer never holds the caller beyond its timeout
    and no thread is needed; what a caller had already buffered in the file object before is not seen.
    """

    def __init__(
        self,
        name: str,
        *,
        sample_rate_hz: int,
        channels: int = 1,
        channel: int = -1,
        sample_format: str = "s16le",
        stream: Optional[BinaryIO] = None,
    ) -> None:
        """Describe the stream.

        Args:
            name: The source's slug.
            sample_rate_hz: 8000 to 192000; raw PCM does not say it itself.
            channels: Interleaved channels, 1 or more.
            channel: The one to hear, from 0; -1 for the mean of all.
            sample_format: One of STREAM_FORMATS.
            stream: A binary file instead of standard input. One without a file descriptor must never block.

        Raises:
            SourceError: a value is out of its range.
        """
        super().__init__(name)
        what = "source %s" % name
        if not sample_rate_hz:
            raise SourceError("%s: sample_rate_hz is not set; raw PCM does not say its rate, set it, e.g. 44100" % what)
        check_sample_rate(sample_rate_hz, what)
        if sample_format not in STREAM_FORMATS:
            raise SourceError(
                "%s: sample_format is %r, expected one of %s" % (what, sample_format, ", ".join(STREAM_FORMATS))
            )
        if channels < 1:
            raise SourceError("%s: channels is %d, expected 1 or more" % (what, channels))
        check_channel(channel, channels, what)
        self.sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._channel = channel
        self._format = sample_format
        self._frame_bytes = channels * BYTES_PER_SAMPLE[sample_format]
        self._block_bytes = block_samples_at(sample_rate_hz) * self._frame_bytes
        self._given_stream = stream
        self._stream: Optional[BinaryIO] = None
        self._descriptor = -1
        self._guard = FullScaleGuard(what)
        self._buffer = bytearray()
        self._next_sample = 0
        self._ended = False

    def open(self) -> None:
        """Take the stream. Raises SourceError where standard input is closed or a terminal."""
        stream = self._given_stream
        if stream is None:
            if sys.stdin is None:
                raise SourceError("source %s: standard input is closed; pipe raw PCM into it" % self.name)
            stream = sys.stdin.buffer
        try:
            self._descriptor = stream.fileno()
        except (OSError, AttributeError):
            self._descriptor = -1
        if self._descriptor >= 0 and os.isatty(self._descriptor):
            raise SourceError(
                "source %s: standard input is a terminal, expected raw PCM; pipe it in: "
                "arecord -f S16_LE -r %d -t raw | ..." % (self.name, self.sample_rate_hz)
            )
        self._stream = stream
        self._guard = FullScaleGuard("source %s" % self.name)
        del self._buffer[:]
        self._next_sample = 0
        self._ended = False

    def close(self) -> None:
        """Let go of the stream. It belongs to the caller, who closes it."""
        self._stream = None

    def read(self, timeout_s: float) -> Optional[AudioBlock]:
        """The next block, as soon as its writer has written it. See Source.read."""
        deadline_s = time.monotonic() + timeout_s
        while not self._ended and len(self._buffer) < self._block_bytes:
            if self._stream is None:
                raise EndOfSource("source %s is closed" % self.name)
            if not self._fill(self._stream, deadline_s - time.monotonic()):
                return None
        if self._ended and len(self._buffer) < self._frame_bytes:
            self._finish()
        return self._take_block()

    def describe(self) -> str:
        """The stream's format."""
        return "standard input, %s, %d Hz, %d channel(s)" % (self._format, self.sample_rate_hz, self._channels)

    @property
    def status(self) -> str:
        """ "online" from open() to the end of the stream."""
        return "offline" if self._stream is None or self._ended else "online"

    def _fill(self, stream: BinaryIO, wait_s: float) -> bool:
        """Add what is there to the buffer; False where nothing came in time."""
        wanted = self._block_bytes - len(self._buffer)
        if self._descriptor < 0:
            data = stream.read(wanted)
        else:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(max(0, int(wait_s * 1000))):
                return False
            data = os.read(self._descriptor, wanted)
        self._ended = not data
        self._buffer += data
        return True

    def _take_block(self) -> AudioBlock:
        whole = min(len(self._buffer), self._block_bytes) // self._frame_bytes * self._frame_bytes
        data = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        frames = frames_from_pcm(data, self._format, self._channels)
        frames = self._guard.check(frames, self._next_sample, self.sample_rate_hz)
        first = self._next_sample
        self._next_sample += len(frames)
        return AudioBlock(
            mono_from_frames(frames, self._channel),
            self.sample_rate_hz,
            first,
            time.monotonic() - len(frames) / float(self.sample_rate_hz),
            overloaded=overloaded_frames(frames, self._channel),
        )

    def _finish(self) -> None:
        if self._buffer:
            _LOGGER.warning(
                "source %s: the stream ended inside a frame; its last %d byte(s) are dropped",
                self.name,
                len(self._buffer),
            )
            del self._buffer[:]
        if not self._next_sample:
            raise SourceError(
                "source %s: the stream ended before its first sample; see what its writer says" % self.name
            )
        raise EndOfSource("source %s has ended" % self.name)
