"""Raw PCM to float samples, many channels to one."""

import logging
from typing import Optional, Tuple

import numpy as np

from edge.errors import SourceError
from edge.levels.overload import find_full_scale

_LOGGER = logging.getLogger(__name__)

BYTES_PER_SAMPLE = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
_LOSSY_OVERSHOOT = 2.0  # decoders of loud Ogg or MP3 exceed full scale; only more than that is a mistake of the writer
STREAM_FORMATS = ("s16le", "s24le", "s32le", "f32le")  # what a raw stream may be; the others only occur in files


def frames_from_pcm(data: bytes, sample_format: str, channels: int) -> np.ndarray:
    """Decode interleaved little-endian PCM.

    Args:
        data: Whole frames.
        sample_format: A key of BYTES_PER_SAMPLE.
        channels: Samples in a frame, 1 or more.

    Returns:
        Samples, integers scaled so that full scale is 1.  Shape [T, channels], float32, fresh array.
    """
    return _decode(data, sample_format).reshape(-1, channels)


def mono_from_frames(frames: np.ndarray, channel: int) -> np.ndarray:
    """One channel of [T, C], or the mean of all where channel is -1.  Shape [T], float32, contiguous."""
    if channel >= 0:
        return np.ascontiguousarray(frames[:, channel])
    if frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, 0])
    return frames.mean(axis=1, dtype=np.float64).astype(np.float32)


def overloaded_frames(frames: np.ndarray, channel: int) -> Optional[np.ndarray]:
    """Which frames have a heard channel at full scale, where the mean of several would hide it.

    Returns:
        Their indices, rising; None where there is none, or one channel alone is heard and shows it by itself.
    """
    if channel >= 0 or frames.shape[1] == 1 or frames.size == 0:
        return None
    at_full_scale = find_full_scale(frames)
    return None if at_full_scale is None else np.flatnonzero(at_full_scale.any(axis=1))


class FullScaleGuard:
    """Holds the promise that samples are finite and within [-1, 1]."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._warned = False

    def check(self, frames: np.ndarray, first_frame: int, sample_rate_hz: int) -> np.ndarray:
        """The frames themselves, clipped to [-1, 1], with one warning where they go far beyond.

        Args:
            frames: Shape [T, C], float32.
            first_frame: Index of frames[0] in the input, for the message.
            sample_rate_hz: The input's rate, for the message.

        Raises:
            SourceError: a sample is NaN or infinite; names where.
        """
        if frames.size == 0:
            return frames
        low, high = float(frames.min()), float(frames.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            frame, channel = self._first_bad(frames)
            raise SourceError(
                "%s: sample %d (%.3f s), channel %d is %s, expected a finite number; export it anew"
                % (
                    self._what,
                    first_frame + frame,
                    (first_frame + frame) / float(sample_rate_hz),
                    channel,
                    frames[frame, channel],
                )
            )
        if low >= -1.0 and high <= 1.0:
            return frames
        if not self._warned and max(-low, high) > _LOSSY_OVERSHOOT:
            self._warned = True
            _LOGGER.warning(
                "%s: samples reach %.4g, beyond full scale 1.0; they are clipped", self._what, max(-low, high)
            )
        return np.clip(frames, -1.0, 1.0)

    @staticmethod
    def _first_bad(frames: np.ndarray) -> Tuple[int, int]:
        frame, channel = np.argwhere(~np.isfinite(frames))[0]
        return int(frame), int(channel)


def _decode(data: bytes, sample_format: str) -> np.ndarray:
    if sample_format == "s16le":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(1 << 15)
    if sample_format == "s24le":
        padded = np.zeros((len(data) // 3, 4), np.uint8)  # 24 bits as the upper ones of 32
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return padded.reshape(-1).view("<i4").astype(np.float32) / np.float32(1 << 31)
    if sample_format == "s32le":
        return np.frombuffer(data, "<i4").astype(np.float32) / np.float32(1 << 31)
    if sample_format == "f32le":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if sample_format == "f64le":
        with np.errstate(over="ignore"):  # becomes infinite and is refused as such
            return np.frombuffer(data, "<f8").astype(np.float32)
    if sample_format == "u8":
        return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    raise SourceError("sample_format is %r, expected one of %s" % (sample_format, ", ".join(STREAM_FORMATS)))
