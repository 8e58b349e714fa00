"""The header of a WAV file, read by ourselves.

The standard library's `wave` refuses float and, before Python 3.12, the extensible header that most 24-bit and
multi-channel recordings have; libsndfile reads all of them, but hides that a file was cut short. So PCM and float WAV
are read the same way everywhere, with or without libsndfile.

Source: Microsoft, "Multiple Channel Audio Data and WAVE Files" (WAVEFORMATEXTENSIBLE); RFC 2361 for the format tags.
"""

import struct
from typing import BinaryIO, NamedTuple, Optional, Tuple

from edge.errors import SourceError

_TAG_PCM, _TAG_FLOAT, _TAG_EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_FORMATS = {
    (_TAG_PCM, 1): "u8",
    (_TAG_PCM, 2): "s16le",
    (_TAG_PCM, 3): "s24le",
    (_TAG_PCM, 4): "s32le",
    (_TAG_FLOAT, 4): "f32le",
    (_TAG_FLOAT, 8): "f64le",
}
_MAX_CHUNKS = 1000  # recorders write a handful; a file of zeros would hold one every eight bytes
# Writers to a pipe do not know the length: ffmpeg promises 0xFFFFFFFF bytes, sox and arecord just under 2^31.
_UNKNOWN_LENGTH_FROM = 0x7FFF0000


class WavHeader(NamedTuple):
    """Where the samples of a WAV file lie, and what they are."""

    sample_format: str  # key of pcm.BYTES_PER_SAMPLE; "" for a coding that only libsndfile reads
    sample_rate_hz: int
    channels: int
    frame_bytes: int
    data_offset_bytes: int
    frames: int  # whole ones that are there
    missing_frames: int  # promised by the header and not there


def is_wav(start: bytes) -> bool:
    """Whether the first 12 bytes of a file say that it is WAV."""
    return start[:4] == b"RIFF" and start[8:12] == b"WAVE"


def wav_header_from_file(file: BinaryIO, size_bytes: int, what: str) -> WavHeader:
    """Read the chunks up to the samples.

    Args:
        file: The WAV file, seekable, opened in binary mode.
        size_bytes: Size of the file.
        what: Opens every message: the file's name.

    Raises:
        SourceError: the header is cut off or contradicts itself.
    """
    form: Optional[Tuple[str, int, int, int]] = None
    offset = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(offset)
        chunk = file.read(8)
        if len(chunk) < 8:
            raise SourceError(
                "%s: ends inside its header after %d bytes, before any sound; copy it again" % (what, size_bytes)
            )
        kind, length = struct.unpack("<4sI", chunk)
        if kind == b"fmt ":
            form = _format_from_chunk(file.read(min(length, 40)), what)
        elif kind == b"data":
            break
        offset += 8 + length + length % 2
    else:
        raise SourceError("%s: more than %d chunks in its header, and no sound; export it anew" % (what, _MAX_CHUNKS))
    if form is None:
        raise SourceError("%s: its header does not say the format of the samples (no fmt chunk); export it anew" % what)
    sample_format, rate, channels, frame_bytes = form
    there = max(0, size_bytes - offset - 8)
    unknown = length > there and length >= _UNKNOWN_LENGTH_FROM
    frames = (there if unknown else min(length, there)) // frame_bytes
    missing = 0 if unknown else length // frame_bytes - frames
    return WavHeader(sample_format, rate, channels, frame_bytes, offset + 8, frames, missing)


def _format_from_chunk(chunk: bytes, what: str) -> Tuple[str, int, int, int]:
    if len(chunk) < 16:
        raise SourceError("%s: ends inside its header; copy it again" % what)
    tag, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _TAG_EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack("<H", chunk[24:26])[0]
    if channels < 1:
        raise SourceError("%s: has 0 channels, expected 1 or more; export it anew" % what)
    if tag not in (_TAG_PCM, _TAG_FLOAT):
        return "", rate, channels, max(1, frame_bytes)
    width = frame_bytes // channels
    if (tag, width) not in _FORMATS or frame_bytes != width * channels or bits > 8 * width:
        raise SourceError(
            "%s: its header says %d channels of %d bits in frames of %d bytes, which does not fit "
            "together; export it as 16, 24 or 32 bit PCM" % (what, channels, bits, frame_bytes)
        )
    return _FORMATS[tag, width], rate, channels, frame_bytes
