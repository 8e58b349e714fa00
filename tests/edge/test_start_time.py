"""When a recording began."""

import datetime as dt
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError
from edge.rfc3339 import epoch_s_from_rfc3339, rfc3339_from_epoch
from edge.sources.start_time import FROM_FILE, start_time_of

NOON = 1790856896.0  # 2026-10-01T12:14:56Z


@pytest.mark.parametrize(
    ("text", "epoch_s"),
    [
        ("2026-10-01T12:14:56Z", NOON),
        ("2026-10-01T12:14:56.250Z", NOON + 0.25),
        ("2026-10-01 12:14:56z", NOON),
        ("2026-10-01T14:14:56+02:00", NOON),
        ("2026-10-01T02:44:56-09:30", NOON),
        ("1970-01-01T00:00:00Z", 0.0),
    ],
)
def test_a_time_with_its_offset_is_understood(text, epoch_s):
    assert epoch_s_from_rfc3339(text) == epoch_s


@pytest.mark.parametrize(
    "text",
    ["now", "2026-10-01", "2026-10-01T12:14:56", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "12:14"]
    + ["2026-10-01T25:00:00Z", "2026-10-01T12:14:56+25:00", "2026-10-01T12:14:56Zulu", "0000-01-01T00:00:00Z"],
)
def test_what_leaves_a_doubt_is_refused_with_an_example(text):
    with pytest.raises(SourceError, match="2026-10-01T12:34:56Z|Z or an offset") as caught:
        start_time_of(text, "a.wav")
    assert "\n" not in str(caught.value)


@given(st.floats(0, 4e9))
def test_what_messages_say_is_read_back(epoch_s):
    assert epoch_s_from_rfc3339(rfc3339_from_epoch(epoch_s)) == pytest.approx(epoch_s, abs=6e-4)


@pytest.mark.parametrize(
    "name",
    [
        "20261001_121456.WAV",
        "2026-10-01T12-14-56Z.flac",
        "20261001T121456Z.wav",
        "corner-2026-10-01_12-14-56.wav",
        "mic1_20261001_121456_gain30.ogg",
        "2026-10-01 12.14.56.wav",
    ],
)
def test_the_usual_names_of_recorders_tell(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    assert start_time_of(FROM_FILE, tmp_path / name) == NOON


def write_wav(path, chunk):
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + b"fmt " + struct.pack("<I", 16) + b"\0" * 16 + chunk + b"data\0\0\0\0")
    return path


def test_a_broadcast_wave_tells(tmp_path):
    body = b"A street".ljust(320, b"\0") + b"2026-10-0112:14:56" + b"\0" * 8
    path = write_wav(tmp_path / "street.wav", b"bext" + struct.pack("<I", len(body)) + body)
    assert start_time_of(FROM_FILE, path) == NOON


@pytest.mark.parametrize(
    ("zone", "hour"), [(b"UTC", 12), (b"UTC+2", 14), (b"UTC-3", 9), (b"UTC+5:30", 17), (b"UTC-9:30", 2)]
)
def test_an_audiomoth_tells(tmp_path, zone, hour):
    minute = 14 if b":" not in zone else 44
    text = b"Recorded at %02d:%02d:56 01/10/2026 (%s) by AudioMoth 24E144" % (hour, minute, zone)
    path = write_wav(tmp_path / "street.wav", b"LIST" + struct.pack("<I", len(text)) + text)
    assert start_time_of(FROM_FILE, path) == NOON


@pytest.mark.parametrize("name", ["street.wav", "track-12.wav", "100032-A-0.ogg", "123456789012345.wav"])
def test_a_file_that_does_not_tell_is_refused(tmp_path, name):
    write_wav(tmp_path / name, b"")
    with pytest.raises(SourceError, match="say it, as 2026"):
        start_time_of(FROM_FILE, tmp_path / name)


@pytest.mark.parametrize("name", ["20261399_121456.wav", "gone/street.wav"])
def test_a_time_or_a_file_that_does_not_exist_is_one_line(tmp_path, name):
    with pytest.raises(SourceError) as caught:
        start_time_of(FROM_FILE, tmp_path / name)
    assert name.split("/")[-1] in str(caught.value)


def test_nothing_said_is_now():
    assert start_time_of("", "street.wav") is None
    assert dt.datetime(1970, 1, 1) + dt.timedelta(seconds=NOON) == dt.datetime(2026, 10, 1, 12, 14, 56)
