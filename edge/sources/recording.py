"""Audio files, read frame by frame from beginning to end."""

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np

from edge.errors import SourceError
from edge.sources.pcm import frames_from_pcm
from edge.sources.wav import WavHeader, is_wav, wav_header_from_file

_MAX_CHANNELS = 1024  # libsndfile's own bound; more is a broken header, and would ask for gigabytes
_MAX_OGG_PAGE_BYTES = 65307  # RFC 3533


class Recording(ABC):
    """An open audio file."""

    sample_rate_hz = 0
    channels = 0
    frames = 0  # that the file promises, where it does

    @abstractmethod
    def read(self, frames: int) -> np.ndarray:
        """Up to so many next frames, fewer only at the end.  Shape [T, channels], float32."""

    def rewind(self) -> None:
        """Go back to the first frame."""
        self.seek(0)

    @abstractmethod
    def seek(self, frame: int) -> None:
        """Go on reading at this frame, 0 to `frames`.  Raises SourceError: this file cannot do that."""

    @abstractmethod
    def shortfall(self, frames_read: int) -> str:
        """What is missing at the end of a file that was cut short; "" where nothing is."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def open_recording(path: Union[str, Path]) -> Recording:
    """Open WAV by ourselves, everything else through libsndfile.

    Raises:
        SourceError: there is no such file, or no sound in it that can be read.
    """
    path = Path(path)
    size_bytes = _size_of(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError("%s: cannot be read (%s)" % (path, error.strerror)) from None
    try:
        start = file.read(12)
        header = wav_header_from_file(file, size_bytes, str(path)) if is_wav(start) else None
    except BaseException:
        file.close()
        raise
    if header is not None and header.sample_format:
        recording: Recording = _WavRecording(file, header)
    else:
        file.close()
        recording = _SoundFileRecording(path, start)
    try:
        _check_sound(recording, path)
    except SourceError:
        recording.close()
        raise
    return recording


def _size_of(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError("%s: %s; expected a WAV, FLAC or Ogg file" % (path, error.strerror)) from None
    if stat.S_ISDIR(status.st_mode):
        raise SourceError("%s: is a folder, expected a WAV, FLAC or Ogg file; name the files in it" % path)
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("%s: is not a regular file; pipe it into a source of type stdin" % path)
    if status.st_size == 0:
        raise SourceError("%s: is empty, expected a WAV, FLAC or Ogg file; copy it again" % path)
    return status.st_size


def _check_sound(recording: Recording, path: Path) -> None:
    if recording.channels > _MAX_CHANNELS:
        raise SourceError(
            "%s: its header says %d channels, expected 1 to %d; export it anew"
            % (path, recording.channels, _MAX_CHANNELS)
        )
    if recording.frames == 0:
        raise SourceError("%s: holds a header but not one sample; record or copy it again" % path)


class _WavRecording(Recording):
    def __init__(self, file: BinaryIO, header: WavHeader) -> None:
        self.sample_rate_hz = header.sample_rate_hz
        self.channels = header.channels
        self.frames = header.frames
        self._file = file
        self._header = header
        self._next_frame = 0
        self.rewind()

    def read(self, frames: int) -> np.ndarray:
        wanted = min(frames, self.frames - self._next_frame)
        data = self._file.read(wanted * self._header.frame_bytes)
        whole = len(data) // self._header.frame_bytes
        self._next_frame += whole
        return frames_from_pcm(data[: whole * self._header.frame_bytes], self._header.sample_format, self.channels)

    def seek(self, frame: int) -> None:
        self._next_frame = frame
        self._file.seek(self._header.data_offset_bytes + frame * self._header.frame_bytes)

    def shortfall(self, frames_read: int) -> str:
        missing = self._header.missing_frames + self.frames - frames_read
        if missing <= 0:
            return ""
        return "%d of %d samples (%.3f s) that its header promises are missing" % (
            missing,
            missing + frames_read,
            missing / float(self.sample_rate_hz),
        )

    def close(self) -> None:
        self._file.close()


class _SoundFileRecording(Recording):
    def __init__(self, path: Path, start: bytes) -> None:
        try:
            import soundfile
        except (ImportError, OSError):  # OSError: the package is there, libsndfile is not
            raise SourceError(
                "%s: %s; without the package soundfile only PCM and float WAV can be read; "
                "pip install soundfile, or convert it to WAV" % (path, _kind_of(start))
            ) from None
        self._path = path
        self._ogg = start[:4] == b"OggS"
        try:
            self._file: Any = soundfile.SoundFile(str(path))
        except RuntimeError as error:
            raise SourceError(
                "%s: %s (%s); expected WAV, FLAC or Ogg" % (path, _kind_of(start), _reason(error))
            ) from None
        self.sample_rate_hz = self._file.samplerate
        self.channels = self._file.channels
        self.frames = self._file.frames
        self._frames_read = 0

    def read(self, frames: int) -> np.ndarray:
        try:
            found = self._file.read(frames, dtype="float32", always_2d=True)
        except RuntimeError as error:  # a FLAC that was cut short ends so
            if not self._frames_read:
                raise SourceError(
                    "%s: cannot be decoded (%s); copy or export it anew" % (self._path, _reason(error))
                ) from None
            return np.zeros((0, self.channels), np.float32)
        self._frames_read += len(found)
        return found

    def seek(self, frame: int) -> None:
        try:
            self._file.seek(frame)
        except RuntimeError as error:
            raise SourceError("%s: cannot be rewound (%s); convert it to WAV" % (self._path, _reason(error))) from None

    def shortfall(self, frames_read: int) -> str:
        missing = self.frames - frames_read
        if missing > 0:
            return "%d of %d samples (%.3f s) that its header promises are missing or damaged" % (
                missing,
                self.frames,
                missing / float(self.sample_rate_hz),
            )
        return "its last page is missing, and nobody knows how much with it" if self._lacks_last_page() else ""

    def close(self) -> None:
        self._file.close()

    def _lacks_last_page(self) -> bool:
        """An Ogg header promises no length: only a flag on the last page says that it is the last one."""
        if not self._ogg:
            return False
        with self._path.open("rb") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(0, size_bytes - _MAX_OGG_PAGE_BYTES))
            tail = file.read()
        page = tail.rfind(b"OggS\0")
        return page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4


def _kind_of(start: bytes) -> str:
    if start[:4] in (b"fLaC", b"OggS"):
        return "is FLAC" if start[:4] == b"fLaC" else "is Ogg"
    return "is WAV in a rare coding" if is_wav(start) else "is not a sound file that we know"


def _reason(error: Exception) -> str:
    return str(error).split(": ")[-1].strip().rstrip(".")
