"""A recording, played at the pace of the street or as fast as it goes."""

import logging
import time
from pathlib import Path
from typing import Optional, Union

import numpy as np

from edge.records import AudioBlock
from edge.sources.base import EndOfSource, Source, block_samples_at, check_channel, check_sample_rate
from edge.sources.pcm import FullScaleGuard, mono_from_frames, overloaded_frames
from edge.sources.recording import Recording, open_recording

_LOGGER = logging.getLogger(__name__)


class FileSource(Source):
    """WAV, FLAC or Ogg, one block in memory at a time.

    A file that was cut short is heard up to the cut; then a warning says how much is missing.
    """

    def __init__(
        self,
        name: str,
        path: Union[str, Path],
        *,
        realtime: bool = True,
        loop: bool = False,
        channel: int = -1,
        start_monotonic_s: Optional[float] = None,
    ) -> None:
        """Describe the file; open() reads it.

        Args:
            name: The source's slug.
            path: The file.
            realtime: A block is handed out when its last sample would have been heard, counted from the start and
                not from the previous block, so that nothing drifts and a late reader catches up.
            loop: Begin again at the end, for ever. Samples are counted on.
            channel: From 0; -1 for the mean of all.
            start_monotonic_s: Monotonic time of the first sample; the moment of opening where None.
        """
        super().__init__(name)
        self._path = Path(path)
        self._realtime = realtime
        self._loop = loop
        self._channel = channel
        self._given_start_s = start_monotonic_s
        self._start_s = 0.0
        self._recording: Optional[Recording] = None
        self._guard = FullScaleGuard(str(path))
        self._pending: Optional[AudioBlock] = None
        self._next_sample = 0
        self._file_frame = 0
        self._warned = False
        self._ended = False

    def open(self) -> None:
        """Open the file at its first sample. Raises SourceError where it cannot be used."""
        self.close()
        recording = open_recording(self._path)
        try:
            check_sample_rate(recording.sample_rate_hz, str(self._path))
            check_channel(self._channel, recording.channels, str(self._path))
        except Exception:
            recording.close()
            raise
        self._recording = recording
        self.sample_rate_hz = recording.sample_rate_hz
        self._guard = FullScaleGuard(str(self._path))
        self._pending = None
        self._next_sample = self._file_frame = 0
        self._warned = self._ended = False
        self._start_s = time.monotonic() if self._given_start_s is None else self._given_start_s

    def close(self) -> None:
        """Close the file."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def read(self, timeout_s: float) -> Optional[AudioBlock]:
        """The next block, in time with the street where `realtime` is set. See Source.read."""
        if self._recording is None or self._ended:
            raise EndOfSource("%s has ended" % self._path)
        if self._pending is None:
            self._pending = self._next_block(self._recording)
        if self._realtime and not self._wait_for(self._pending, timeout_s):
            return None
        block, self._pending = self._pending, None
        return block

    def describe(self) -> str:
        """The file and its format."""
        text = "file %s" % self._path
        if self._recording is not None:
            text += ", %d Hz, %d channel(s), %.1f s" % (
                self.sample_rate_hz,
                self._recording.channels,
                self._recording.frames / float(self.sample_rate_hz),
            )
        return text + (", looped" if self._loop else "") + ("" if self._realtime else ", as fast as it goes")

    @property
    def status(self) -> str:
        """ "online" from open() to the end of the file."""
        return "offline" if self._recording is None or self._ended else "online"

    def _next_block(self, recording: Recording) -> AudioBlock:
        frames = recording.read(block_samples_at(self.sample_rate_hz))
        if not len(frames):
            frames = self._after_end(recording)
        frames = self._guard.check(frames, self._file_frame, self.sample_rate_hz)
        first = self._next_sample
        self._next_sample += len(frames)
        self._file_frame += len(frames)
        return AudioBlock(
            mono_from_frames(frames, self._channel),
            self.sample_rate_hz,
            first,
            self._start_s + first / float(self.sample_rate_hz),
            overloaded=overloaded_frames(frames, self._channel),
        )

    def _after_end(self, recording: Recording) -> np.ndarray:
        self._warn_of_shortfall(recording)
        if self._loop and self._file_frame:
            recording.rewind()
            self._file_frame = 0
            frames = recording.read(block_samples_at(self.sample_rate_hz))
            if len(frames):
                return frames
        self._ended = True
        raise EndOfSource("%s has ended" % self._path)

    def _warn_of_shortfall(self, recording: Recording) -> None:
        shortfall = "" if self._warned else recording.shortfall(self._file_frame)
        if shortfall:
            self._warned = True
            _LOGGER.warning("%s: was cut short: %s; what there is has been heard", self._path, shortfall)

    def _wait_for(self, block: AudioBlock, timeout_s: float) -> bool:
        wait_s = block.captured_at_s + len(block.samples) / float(self.sample_rate_hz) - time.monotonic()
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        return wait_s <= timeout_s
