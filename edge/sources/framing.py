"""What the capture child writes to the parent: framed binary records on a pipe. Standard library only.

A record is a header and a payload. HELLO, HARDWARE and FAILURE carry one JSON object, AUDIO carries PCM.
"""

import json
import reprlib
import struct
from typing import Any, Dict, NamedTuple, Optional

HELLO = 1  # the stream runs: device, sample_rate_hz, channels, sample_format; refused_rate_hz where one was
AUDIO = 2
FAILURE = 3  # no stream: reason (a code of `edge.sources.faults`), message; the child ends after it
HARDWARE = 4  # what the stream comes through, after HELLO and whenever it changes: see `edge.sources.hardware`

# Of sound in one record. Shorter would tell sooner, but ALSA is given twice as much to hold while we are late: with
# 20 ms a busy machine lost sound every other second, with 50 ms hardly ever, and then with 100 ms never.
BLOCK_S = 0.05
SAMPLE_BYTES = {"s16le": 2, "s32le": 4}  # formats that are captured

_MAGIC = b"SCAP"
_HEADER = struct.Struct("<4sBBHQqIII")
HEADER_BYTES = _HEADER.size
_MAX_RATE_HZ, _MAX_CHANNELS = 1 << 22, 1 << 10  # a sound card that says more talks nonsense
_MAX_PAYLOAD_BYTES = 1 << 24  # a tenth of a second of 64 channels at 192 kHz is 5 MB


class FramingError(Exception):
    """The bytes are not a record: the child is not ours, or is broken."""


class Record(NamedTuple):
    """One record."""

    kind: int
    payload: bytes
    first_frame: int = 0  # AUDIO: frames that the device gave before these, since the stream opened
    captured_ns: int = 0  # AUDIO: monotonic time of the first frame; one clock for every process on Linux
    frames: int = 0  # AUDIO
    dropped_frames: int = 0  # AUDIO: given by the device directly before these, and dropped by the child
    overflow: bool = False  # AUDIO: the device lost sound before these, and nobody counted how much

    def values(self) -> Dict[str, Any]:
        """The JSON object of any that carries no PCM."""
        try:
            values = json.loads(self.payload.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise FramingError("a record of kind %d does not hold JSON (%s)" % (self.kind, error)) from None
        if not isinstance(values, dict):
            raise FramingError("a record of kind %d holds %s, expected an object" % (self.kind, reprlib.repr(values)))
        return values


class StreamFormat(NamedTuple):
    """What a HELLO says of the stream that follows."""

    device: str
    sample_format: str
    sample_rate_hz: int
    channels: int
    refused_rate_hz: int = 0  # that was asked for, where the device does not offer it

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * SAMPLE_BYTES[self.sample_format]

    def describe(self) -> str:
        """The device and its format, for people."""
        text = "%r, %s, %d Hz, %d channel(s)" % (self.device, self.sample_format, self.sample_rate_hz, self.channels)
        refused_hz = self.refused_rate_hz
        return text + (", resampled: it does not offer %d Hz" % refused_hz if refused_hz else "")


def stream_format_from_hello(record: Record) -> StreamFormat:
    """Read and check a HELLO."""
    values = record.values()
    try:
        stream = StreamFormat(
            str(values["device"]),
            str(values["sample_format"]),
            int(values["sample_rate_hz"]),
            int(values["channels"]),
            int(values.get("refused_rate_hz", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FramingError("a greeting of %s: %s" % (reprlib.repr(values), reprlib.repr(str(error)))) from None
    if stream.sample_format not in SAMPLE_BYTES or not (
        0 < stream.sample_rate_hz <= _MAX_RATE_HZ and 0 < stream.channels <= _MAX_CHANNELS
    ):
        raise FramingError("a greeting of %s" % reprlib.repr(values))
    return stream


def json_record(kind: int, **values: Any) -> Record:
    """A HELLO or FAILURE."""
    return Record(kind, json.dumps(values).encode("utf-8"))


def bytes_from_record(record: Record) -> bytes:
    """The record as it goes over the pipe."""
    return (
        _HEADER.pack(
            _MAGIC,
            record.kind,
            1 if record.overflow else 0,
            0,
            record.first_frame,
            record.captured_ns,
            record.frames,
            record.dropped_frames,
            len(record.payload),
        )
        + record.payload
    )


def take_record(buffer: bytearray) -> Optional[Record]:
    """Remove the first record from the buffer and return it; None while it is not complete.

    Raises:
        FramingError: the buffer does not begin with a record.
    """
    if buffer[:4] != _MAGIC[: len(buffer[:4])]:
        raise FramingError("expected a record, got bytes that begin with %r" % bytes(buffer[:16]))
    if len(buffer) < HEADER_BYTES:
        return None
    _, kind, flags, _, first, captured_ns, frames, dropped, length = _HEADER.unpack(bytes(buffer[:HEADER_BYTES]))
    if kind not in (HELLO, AUDIO, FAILURE, HARDWARE) or length > _MAX_PAYLOAD_BYTES:
        raise FramingError("expected a record, got one of kind %d with %d bytes" % (kind, length))
    end = HEADER_BYTES + length
    if len(buffer) < end:
        return None
    payload = bytes(buffer[HEADER_BYTES:end])
    del buffer[:end]
    return Record(kind, payload, first, captured_ns, frames, dropped, bool(flags & 1))
