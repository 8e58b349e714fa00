"""Recordings of every kind that works, and of every kind that does not."""

import logging
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from edge.config import SourceConfig
from edge.errors import SourceError
from edge.sources import source_from_config
from edge.sources.base import EndOfSource
from edge.sources.file import FileSource
from edge.sources.framing import BLOCK_S

FORMATS = [
    ("wav", "PCM_U8", 2.0 / 256),
    ("wav", "PCM_16", 2.0 / 65536),
    ("wav", "PCM_24", 2.0 / 2**24),
    ("wav", "PCM_32", 1e-7),
    ("wav", "FLOAT", 1e-7),
    ("wav", "DOUBLE", 1e-7),
    ("wavex", "PCM_24", 2.0 / 2**24),
    ("wavex", "FLOAT", 1e-7),
    ("wav", "ULAW", 0.05),
    ("flac", "PCM_16", 2.0 / 65536),
    ("flac", "PCM_24", 2.0 / 2**24),
]


def _sound(seconds=0.35, rate_hz=16000, channels=1, seed=0):
    shape = (int(seconds * rate_hz), channels)
    return np.random.RandomState(seed).uniform(-0.9, 0.9, shape).astype(np.float32)


def _write(path, sound, rate_hz=16000, **options):
    soundfile.write(str(path), sound, rate_hz, **options)
    return path


def _read_all(path, **options):
    options.setdefault("realtime", False)
    with FileSource("tape", path, **options) as source:
        return _rest_of(source)


def _rest_of(source):
    blocks = []
    while True:
        try:
            block = source.read(5.0)
        except EndOfSource:
            return blocks
        assert block is not None
        blocks.append(block)


def _joined(blocks):
    return np.concatenate([block.samples for block in blocks])


def _refusal(path, **options):
    with pytest.raises(SourceError) as caught:
        _read_all(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("form", "subtype", "step"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_format_gives_the_samples_that_were_written(tmp_path, form, subtype, step, channels):
    sound = _sound(channels=channels)
    path = _write(tmp_path / "a.sound", sound, format=form.upper(), subtype=subtype)
    blocks = _read_all(path)
    heard = _joined(blocks)
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, sound.mean(axis=1), atol=step)


def test_ogg_is_heard(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    heard = _joined(_read_all(_write(tmp_path / "a.ogg", tone, 44100, format="OGG", subtype="VORBIS")))
    assert len(heard) == 44100
    np.testing.assert_allclose(heard[4410:-4410], tone[4410:-4410], atol=0.05)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_blocks_are_equally_short_and_follow_each_other(tmp_path, rate_hz):
    sound = _sound(0.35, rate_hz)
    path = _write(tmp_path / "a.wav", sound, rate_hz)
    with FileSource("tape", path, realtime=False, start_monotonic_s=1000.0) as source:
        assert source.sample_rate_hz == rate_hz
        blocks = _rest_of(source)
    assert [len(block.samples) for block in blocks[:3]] == [int(rate_hz * BLOCK_S)] * 3
    position = 0
    for block in blocks:
        assert block.first_sample == position
        assert block.sample_rate_hz == rate_hz
        assert block.captured_at_s == pytest.approx(1000.0 + position / float(rate_hz))
        assert block.gap is None
        position += len(block.samples)
    assert position == len(sound)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_of_many_can_be_heard(tmp_path, channel):
    sound = _sound(channels=3)
    path = _write(tmp_path / "a.wav", sound, subtype="FLOAT")
    np.testing.assert_array_equal(_joined(_read_all(path, channel=channel)), sound[:, channel])


def test_24_bit_values_come_out_bit_for_bit(tmp_path):
    values = [0, 1, -1, 0x7FFFFF, -0x800000, 0x123456, -0x123456]
    data = b"".join(struct.pack("<i", value)[:3] for value in values)
    path = tmp_path / "a.wav"
    path.write_bytes(_wav_header(len(data), bits=24) + data)
    np.testing.assert_array_equal(_joined(_read_all(path)) * 2**23, values)


def _wav_header(data_bytes, *, channels=1, rate_hz=16000, bits=16, tag=1, riff_bytes=None):
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame, frame, bits)
    return (
        b"RIFF"
        + struct.pack("<I", (36 + data_bytes if riff_bytes is None else riff_bytes) & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", len(form))
        + form
        + b"data"
        + struct.pack("<I", data_bytes)
    )


def test_chunks_before_the_sound_are_skipped(tmp_path):
    data = _wav_header(4)
    path = tmp_path / "a.wav"
    path.write_bytes(data[:12] + b"LIST\x03\0\0\0abc\0" + data[12:] + struct.pack("<hh", 16384, -16384))
    np.testing.assert_array_equal(_joined(_read_all(path)), [0.5, -0.5])


@pytest.mark.parametrize("promise", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFD0])
def test_a_wav_from_a_pipe_that_did_not_know_its_length_is_whole(tmp_path, caplog, promise):
    path = tmp_path / "a.wav"
    path.write_bytes(_wav_header(promise) + b"\0\x40" * 5000)
    with caplog.at_level(logging.WARNING):
        assert len(_joined(_read_all(path))) == 5000
    assert not caplog.records


def test_a_loop_counts_on_without_a_gap(tmp_path):
    sound = _sound(0.25)
    path = _write(tmp_path / "a.wav", sound, subtype="FLOAT")
    with FileSource("tape", path, realtime=False, loop=True, start_monotonic_s=0.0) as source:
        blocks = [source.read(1.0) for _ in range(15)]
    np.testing.assert_array_equal(_joined(blocks), np.tile(sound[:, 0], 3))
    assert blocks[-1].first_sample + len(blocks[-1].samples) == 3 * len(sound)
    assert blocks[5].captured_at_s == pytest.approx(0.25)


def test_realtime_hands_a_block_out_when_it_would_have_been_heard(tmp_path):
    path = _write(tmp_path / "a.wav", _sound(0.5))
    with FileSource("tape", path) as source:
        blocks, empty = [], 0
        while len(blocks) < 10:
            block = source.read(0.02)
            if block is None:
                empty += 1
                continue
            assert time.monotonic() >= block.captured_at_s + BLOCK_S - 1e-6
            blocks.append(block)
    assert empty > 5


def test_a_late_reader_catches_up(tmp_path):
    path = _write(tmp_path / "a.wav", _sound(1.0))
    with FileSource("tape", path, start_monotonic_s=time.monotonic() - 60) as source:
        assert all(source.read(0.0) is not None for _ in range(10))


def test_a_file_opened_again_begins_again(tmp_path):
    sound = _sound()
    source = FileSource("tape", _write(tmp_path / "a.wav", sound, subtype="FLOAT"), realtime=False)
    for _ in range(2):
        with source:
            assert source.status == "online"
            blocks = _rest_of(source)
            assert source.status == "offline"
        np.testing.assert_array_equal(_joined(blocks), sound[:, 0])
    with pytest.raises(EndOfSource):
        source.read(0.0)


def test_hours_are_not_loaded_into_memory(tmp_path):
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(_wav_header(1 << 30))
        file.truncate(44 + (1 << 30))  # nine hours of silence that take no room on the disk
    program = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))\n"
        "from edge.sources.file import FileSource\n"
        "with FileSource('tape', sys.argv[1], realtime=False) as s:\n"
        "    for _ in range(100): s.read(0)\nprint('heard')"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, check=True)
    assert answer.stdout.strip() == b"heard"


def test_a_file_that_was_cut_short_is_heard_to_the_cut_and_said_to_be(tmp_path, caplog):
    sound = _sound(1.0)
    path = _write(tmp_path / "a.wav", sound, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[: 44 + 2 * 6000 + 1])
    with caplog.at_level(logging.WARNING):
        heard = _joined(_read_all(path))
    np.testing.assert_allclose(heard, sound[:6000, 0], atol=1e-4)
    assert len(caplog.records) == 1
    assert "10000 of 16000 samples" in caplog.text


@pytest.mark.parametrize(("form", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_other_formats_cut_short_are_heard_and_said_to_be_too(tmp_path, caplog, form, subtype):
    path = _write(tmp_path / "a.sound", _sound(4.0), format=form, subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        heard = _joined(_read_all(path))
    assert 16000 < len(heard) < 64000
    assert "cut short" in caplog.text


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_a_whole_file_is_not_said_to_be_cut(tmp_path, caplog, form, subtype):
    path = _write(tmp_path / "a.sound", _sound(1.3), format=form, subtype=subtype)
    with caplog.at_level(logging.DEBUG):
        _read_all(path)
    assert not caplog.records


@pytest.mark.parametrize("size", [1, 4, 11, 12, 20, 35, 36, 43])
def test_a_file_cut_inside_its_header_is_refused(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(_write(tmp_path / "whole.wav", _sound()).read_bytes()[:size])
    _refusal(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["WAV", "AIFF"])
def test_a_sample_that_is_no_number_is_refused_with_its_place(tmp_path, bad, form):
    sound = _sound(1.0, channels=2)
    sound[8000, 1] = bad
    message = _refusal(_write(tmp_path / "a.sound", sound, format=form, subtype="FLOAT"))
    assert "sample 8000 (0.500 s), channel 1" in message


def test_samples_far_beyond_full_scale_are_clipped_with_one_warning(tmp_path, caplog):
    path = _write(tmp_path / "a.wav", 3 * np.ones((8000, 1), np.float32), subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        assert _joined(_read_all(path)).max() == 1.0
    assert len(caplog.records) == 1


def test_a_flac_that_was_cut_short_can_be_looped(tmp_path):
    path = _write(tmp_path / "a.flac", _sound(4.0))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with FileSource("tape", path, realtime=False, loop=True) as source:
        blocks = [source.read(0.0) for _ in range(60)]
    assert blocks[-1].first_sample + len(blocks[-1].samples) == sum(len(block.samples) for block in blocks)


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in _refusal(tmp_path / "none.wav")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    assert "empty" in _refusal(tmp_path / "a.wav")


def test_a_folder_is_refused(tmp_path):
    assert "folder" in _refusal(tmp_path)


def test_a_picture_called_wav_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20)
    assert "not a sound file" in _refusal(tmp_path / "a.wav")


def test_a_header_without_sound_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(_wav_header(0))
    assert "not one sample" in _refusal(tmp_path / "a.wav")


def test_a_flac_without_sound_is_refused(tmp_path):
    _refusal(_write(tmp_path / "a.flac", np.zeros((0, 1), np.float32)))


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({"channels": 0}, "0 channels"),
        ({"channels": 5000}, "5000 channels"),
        ({"rate_hz": 4000}, "4000 Hz"),
        ({"rate_hz": 384000}, "384000 Hz"),
        ({"rate_hz": 0}, "0 Hz"),
        ({"bits": 56}, "56 bits"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, header, word):
    (tmp_path / "a.wav").write_bytes(_wav_header(40000, **header) + bytes(40000))
    assert word in _refusal(tmp_path / "a.wav")


def test_a_channel_that_is_not_there_is_refused(tmp_path):
    assert "channel is 2" in _refusal(_write(tmp_path / "a.wav", _sound(channels=2)), channel=2)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_gives_one_line_or_sound_but_no_traceback(tmp_path, seed):
    random = np.random.RandomState(seed)
    path = _write(tmp_path / "a.sound", _sound(1.0, channels=2), format=["WAV", "FLAC", "OGG", "WAVEX"][seed % 4])
    data = bytearray(path.read_bytes())
    for _ in range(8):
        data[random.randint(0, 60 if seed % 2 else len(data))] = random.randint(0, 256)
    path.write_bytes(bytes(data))
    try:
        blocks = _read_all(path)
    except SourceError as error:
        blocks, message = [], str(error)
    else:
        message = ""
    assert "\n" not in message
    assert all(np.isfinite(block.samples).all() for block in blocks)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_wav_is_heard_without_soundfile(tmp_path, monkeypatch, subtype):
    sound = _sound(channels=2)
    path = _write(tmp_path / "a.wav", sound, subtype=subtype)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    np.testing.assert_allclose(_joined(_read_all(path)), sound.mean(axis=1), atol=1e-4)


def test_flac_without_soundfile_says_what_to_install(tmp_path, monkeypatch):
    path = _write(tmp_path / "a.flac", _sound())
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert "pip install soundfile" in _refusal(path)


def test_a_source_table_of_type_file_makes_a_file_source(tmp_path):
    sound = _sound(channels=2)
    path = _write(tmp_path / "a.wav", sound, subtype="FLOAT")
    config = SourceConfig(name="tape", type="file", path=str(path), realtime=False, channel=1)
    with source_from_config(config, start_monotonic_s=5.0) as source:
        block = source.read(0.0)
    assert source.name == "tape"
    assert block.captured_at_s == 5.0
    np.testing.assert_array_equal(block.samples, sound[: len(block.samples), 1])


def test_a_source_table_of_an_unknown_type_is_refused():
    with pytest.raises(SourceError, match=r"'radio'.*microphone, file or stdin"):
        source_from_config(SourceConfig(name="x", type="radio"))
