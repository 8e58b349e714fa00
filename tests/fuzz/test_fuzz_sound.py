"""Sound files and the capture child's records, damaged: heard, or refused in one line."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import EdgeError
from edge.sources.base import EndOfSource
from edge.sources.file import FileSource
from edge.sources.framing import (
    AUDIO,
    FAILURE,
    HELLO,
    FramingError,
    Record,
    bytes_from_record,
    json_record,
    stream_format_from_hello,
    take_record,
)
from edge.sources.framing import HARDWARE as FRAMED_HARDWARE
from edge.sources.hardware import HardwareError, hardware_from_mapping, mapping_from_hardware
from edge.sources.start_time import FROM_FILE, start_time_of
from tests.edge.calibrators import HARDWARE
from tests.fuzz.inputs import fuzzed, one_input
from tests.fuzz.mutations import WORDS, damaged_bytes, damaged_json, nested

_MOST_BLOCKS = 50


def chunk(kind, content, length=None):
    return struct.pack("<4sI", kind, len(content) if length is None else length & 0xFFFFFFFF) + content


def wav(form, *chunks):
    content = b"WAVE" + chunk(b"fmt ", form) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def form_of(tag=1, channels=1, rate_hz=16000, frame_bytes=2, bits=16, tail=b""):
    return (
        struct.pack("<HHIIHH", tag, channels, rate_hz, (rate_hz * frame_bytes) & 0xFFFFFFFF, frame_bytes, bits) + tail
    )


SOUND = (8000 * np.sin(np.arange(2000) / 5.0)).astype("<i2").tobytes()
_GUID = struct.pack("<HHIH14s", 22, 16, 4, 3, b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71")
EXAMPLES = [
    wav(form_of(), chunk(b"data", SOUND)),
    wav(form_of(channels=2, frame_bytes=4), chunk(b"LIST", b"INFOabc"), b"\0", chunk(b"data", SOUND)),
    wav(form_of(3, 1, 48000, 4, 32), chunk(b"data", np.zeros(500, "<f4").tobytes())),
    wav(form_of(0xFFFE, 1, 44100, 3, 24, _GUID), chunk(b"data", SOUND[:3000])),
    wav(form_of(), chunk(b"bext", b"x" * 320 + b"2026-10-0112-34-56" + b"x" * 300), chunk(b"data", SOUND, 0xFFFFFFFF)),
    wav(form_of(0x55, 1, 44100, 1, 0, b"\x0c\0" + b"\0" * 12), chunk(b"data", b"\xff\xfb\x90\0" * 200)),  # MP3 in WAV
]
FIELDS = st.one_of(st.sampled_from(WORDS), st.integers(0, 0xFFFFFFFF))
WAVS = st.builds(
    lambda tag, channels, rate_hz, frame_bytes, bits, length, tail: wav(
        struct.pack("<HHIIHH", tag, channels & 0xFFFF, rate_hz, 0, frame_bytes & 0xFFFF, bits & 0xFFFF) + tail,
        chunk(b"data", SOUND, length),
    ),
    st.sampled_from([1, 3, 0xFFFE, 2, 6, 7, 0x11, 0x55, 0]),
    st.one_of(st.sampled_from([1, 2]), FIELDS),
    st.one_of(st.sampled_from([8000, 16000, 192000]), FIELDS),
    st.one_of(st.sampled_from([1, 2, 3, 4, 8]), FIELDS),
    st.one_of(st.sampled_from([8, 16, 24, 32, 64]), FIELDS),
    FIELDS,
    st.sampled_from([b"", _GUID, b"\0" * 24]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sound")


@fuzzed(share=20, examples=300)
@given(content=st.one_of(WAVS, damaged_bytes(EXAMPLES)))
def test_damaged_wav_headers(folder, content):
    path = folder / "sound.wav"
    path.write_bytes(content)
    with one_input("WAV header", EdgeError):
        hear(path)


def test_a_header_of_a_million_empty_chunks_is_given_up(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(EXAMPLES[0][:36] + b"\0" * 16000000)
    with one_input("WAV header", EdgeError), pytest.raises(EdgeError) as refused:
        hear(path)
    assert "header" in str(refused.value)


def hear(path):
    """As the daemon would, up to some seconds."""
    with FileSource("street", path, realtime=False) as source:
        for _ in range(_MOST_BLOCKS):
            try:
                block = source.read(1.0)
            except EndOfSource:
                break
            assert len(block.samples) and np.isfinite(block.samples).all() and abs(block.samples).max() <= 1.0
    start_time_of(FROM_FILE, path)


HELLO_VALUES = {
    "device": "USB",
    "sample_rate_hz": 48000,
    "channels": 1,
    "sample_format": "s16le",
    "refused_rate_hz": 0,
}
RECORDS = [
    bytes_from_record(json_record(HELLO, **HELLO_VALUES)),
    bytes_from_record(json_record(FAILURE, reason="missing", message="no microphone")),
    bytes_from_record(Record(AUDIO, SOUND, 5, 10**12, 2000, 3, True)),
]


@fuzzed(share=8, examples=200)
@given(content=damaged_bytes(RECORDS + [b"".join(RECORDS)]), rest=st.integers(1, 5000))
def test_damaged_capture_records(content, rest):
    with one_input("capture records", FramingError):
        buffer = bytearray()
        for at in range(0, len(content), rest):  # as a pipe gives it
            buffer += content[at : at + rest]
            before = len(buffer) + 1
            while len(buffer) < before:
                before = len(buffer)
                record = take_record(buffer)
                if record is not None and record.kind == HELLO:
                    assert stream_format_from_hello(record).frame_bytes > 0
                elif record is not None and record.kind == FAILURE:
                    record.values()


@fuzzed(share=5, examples=200)
@given(payload=damaged_json([mapping_from_hardware(HARDWARE)]))
def test_damaged_reports_of_hardware(payload):
    with one_input("capture hardware", FramingError, HardwareError):
        hardware = hardware_from_mapping(Record(FRAMED_HARDWARE, payload).values())
        assert hardware_from_mapping(mapping_from_hardware(hardware)) == hardware


@fuzzed(share=5, examples=200)
@given(payload=damaged_json([HELLO_VALUES]))
def test_damaged_greetings(payload):
    with one_input("capture greeting", FramingError):
        stream = stream_format_from_hello(Record(HELLO, payload))
        assert stream.frame_bytes > 0


@pytest.mark.parametrize("name", ["channels", "sample_rate_hz", "refused_rate_hz"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), nested(900), 10**30, -1, "48000", True])
def test_a_greeting_with_a_number_that_is_none(name, value):
    with one_input("capture greeting", FramingError):
        stream_format_from_hello(Record(HELLO, json.dumps(dict(HELLO_VALUES, **{name: value})).encode()))
