"""Raw PCM through a real pipe, from writers that behave and from those that do not."""

import io
import logging
import os
import pty
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edge.config import SourceConfig
from edge.errors import SourceError
from edge.sources import source_from_config
from edge.sources.base import EndOfSource
from edge.sources.framing import BLOCK_S
from edge.sources.stdin import StdinSource

RATE_HZ = 16000
BLOCK = int(RATE_HZ * BLOCK_S)


@pytest.fixture
def pipe():
    """A reading end for the source and a writing end for the test."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", 0) as writer:
        yield reader, writer


def _encode(samples, sample_format):
    if sample_format == "f32le":
        return samples.astype("<f4").tobytes()
    bits = int(sample_format[1:3])
    integers = np.round(samples.astype(np.float64) * 2 ** (bits - 1)).astype("<i4")
    if bits == 24:
        return integers.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    return integers.astype("<i%d" % (bits // 8)).tobytes()


def _sound(frames, channels=1):
    return np.random.RandomState(0).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)


def _source(stream, **options):
    options.setdefault("sample_rate_hz", RATE_HZ)
    return StdinSource("pipe", stream=stream, **options)


def _read_all(source):
    blocks = []
    with source:
        while True:
            try:
                block = source.read(5.0)
            except EndOfSource:
                return blocks
            assert block is not None
            blocks.append(block)


@pytest.mark.parametrize("sample_format", ["s16le", "s24le", "s32le", "f32le"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_every_format_gives_the_samples_that_were_written(sample_format, channels):
    sound = _sound(4000, channels)
    stream = io.BytesIO(_encode(sound, sample_format))
    blocks = _read_all(_source(stream, sample_format=sample_format, channels=channels))
    assert [len(block.samples) for block in blocks] == [BLOCK] * 5
    assert [block.first_sample for block in blocks] == [i * BLOCK for i in range(5)]
    heard = np.concatenate([block.samples for block in blocks])
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, sound.mean(axis=1), atol=1.0 / 32768)


def test_one_channel_of_two_can_be_heard():
    sound = _sound(BLOCK, 2)
    stream = io.BytesIO(_encode(sound, "f32le"))
    blocks = _read_all(_source(stream, sample_format="f32le", channels=2, channel=1))
    np.testing.assert_array_equal(blocks[0].samples, sound[:, 1])


def test_a_silent_writer_does_not_hold_the_reader(pipe):
    reader, writer = pipe
    with _source(reader) as source:
        writer.write(_encode(_sound(BLOCK - 300), "s16le"))
        started_s = time.monotonic()
        assert source.read(0.1) is None
        assert 0.05 < time.monotonic() - started_s < 5.0
        assert source.status == "online"
        writer.write(_encode(_sound(300), "s16le"))
        assert len(source.read(5.0).samples) == BLOCK


def test_a_slow_reader_slows_the_writer_down_and_loses_nothing(pipe):
    reader, writer = pipe
    sound = _sound(20 * RATE_HZ)  # ten times what a pipe holds
    done = threading.Event()

    def write():
        data = memoryview(_encode(sound, "s16le"))
        while len(data):
            data = data[writer.write(data) :]
        done.set()
        writer.close()

    thread = threading.Thread(target=write, name="writer", daemon=True)
    thread.start()
    assert not done.wait(0.5)
    blocks = _read_all(_source(reader))
    thread.join(10)
    heard = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(heard, sound[:, 0], atol=1.0 / 32768)


def test_a_frame_that_is_cut_at_the_end_is_dropped_and_said_to_be(caplog):
    stream = io.BytesIO(_encode(_sound(2000, 2), "s24le") + b"\1\2\3\4")
    with caplog.at_level(logging.WARNING):
        blocks = _read_all(_source(stream, sample_format="s24le", channels=2))
    assert sum(len(block.samples) for block in blocks) == 2000
    assert "4 byte" in caplog.text


def test_a_block_is_dated_by_when_it_came(pipe):
    reader, writer = pipe
    with _source(reader) as source:
        before_s = time.monotonic()
        writer.write(_encode(_sound(1600), "s16le"))
        block = source.read(5.0)
        assert before_s - BLOCK_S <= block.captured_at_s <= time.monotonic() - BLOCK_S


def test_a_sample_that_is_no_number_is_refused_with_its_place():
    sound = _sound(4000)
    sound[2000] = np.nan
    with pytest.raises(SourceError, match=r"sample 2000 \(0\.125 s\)"):
        _read_all(_source(io.BytesIO(_encode(sound, "f32le")), sample_format="f32le"))


def test_a_stream_without_one_sample_is_refused():
    with pytest.raises(SourceError, match="before its first sample"):
        _read_all(_source(io.BytesIO(b"\1")))


def test_a_terminal_is_refused():
    controlling, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "rb", 0) as stream, pytest.raises(SourceError, match="terminal"):
            _source(stream).open()
    finally:
        os.close(controlling)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz is not set"),
        ({"sample_rate_hz": 4000}, "4000 Hz"),
        ({"sample_format": "mp3"}, "'mp3'"),
        ({"channels": 0}, "channels is 0"),
        ({"channels": 2, "channel": 2}, "channel is 2"),
    ],
)
def test_a_value_out_of_its_range_is_refused(options, word):
    with pytest.raises(SourceError, match=word):
        _source(io.BytesIO(), **options)


def test_standard_input_itself_is_heard():
    program = (
        "from edge.config import SourceConfig\nfrom edge.sources import source_from_config\n"
        "from edge.sources.base import EndOfSource\n"
        "config = SourceConfig(name='in', type='stdin', sample_rate_hz=16000)\nheard = 0\n"
        "with source_from_config(config) as source:\n"
        "    try:\n"
        "        while True: heard += len(source.read(5.0).samples)\n"
        "    except EndOfSource: print(heard)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], input=_encode(_sound(5000), "s16le"), stdout=subprocess.PIPE, check=True
    )
    assert answer.stdout.strip() == b"5000"


def test_a_source_that_is_closed_has_ended():
    source = source_from_config(SourceConfig(name="in", type="stdin", sample_rate_hz=8000))
    assert source.status == "offline"
    with pytest.raises(EndOfSource):
        source.read(0.0)
