"""What is kept of a minute gives it back; what is no keepsake is refused and never believed."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.levels import keepsakes
from edge.levels.keepsakes import (
    KeepsakeError,
    KeptMark,
    keepsake_of_mark,
    keepsake_of_minute,
    kept_from_bytes,
)
from edge.levels.period import Period, SoundingTimes
from edge.levels.totals import Condition
from edge.records import Calibration, Dating
from tests.edge.level_frames import RATE_HZ, street_of

START_S = 1793534400.0
CONDITION = Condition(Calibration(118.37, "2026-10-01", "data_sheet"), 16000.0, -91.5)


def minute_of(frames, condition=CONDITION):
    minute = Period(START_S, START_S + 60.0)
    for frame in frames:
        minute.totals_under(condition).add(frame, RATE_HZ, condition.noise_floor_dbfs)
    minute.sounding = SoundingTimes({"siren": 12.25, "dog_bark": 0.5}, {"siren": 2})
    return minute


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(0, 999), st.sampled_from([None, Dating("f00", 1234.5)]))
def test_a_minute_is_given_back(seconds, seed, dating):
    minute = minute_of(street_of(seconds, seed))
    minute.totals_under(Condition()).merge(minute_of(street_of(3.0, 7)).parts[CONDITION])
    kept = kept_from_bytes(keepsake_of_minute(minute, dating))
    assert kept.dating == dating and set(kept.minute.parts) == set(minute.parts)
    before, after = minute.values(("siren", "dog_bark")), kept.minute.values(("siren", "dog_bark"))
    assert set(before) == set(after)
    for name, value in before.items():
        assert after[name] == (pytest.approx(value, abs=0.00501) if isinstance(value, float) else value)
    assert after["laeq_dbfs"] == pytest.approx(before["laeq_dbfs"], abs=1e-6)


def test_the_shortest_part_of_a_minute_is_given_back():
    minute = Period(START_S, START_S + 0.0002)
    kept = kept_from_bytes(keepsake_of_minute(minute, Dating("f00", 1234.5)))
    assert kept.minute.start_s == START_S and 0.0 < kept.minute.end_s - START_S < 0.01


def test_a_mark_is_given_back():
    mark = KeptMark("summary_hour", START_S)
    assert kept_from_bytes(keepsake_of_mark(mark)) == mark


def test_a_minute_of_a_busy_street_takes_some_hundred_bytes():
    assert len(keepsake_of_minute(minute_of(street_of(60.0)), None)) < 300


SOUND = keepsake_of_minute(minute_of(street_of(20.0)), Dating("f00", 1234.5))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_keepsake_is_refused(at, change, is_cut):
    damaged = SOUND[:at] if is_cut else SOUND[:at] + bytes([SOUND[at] ^ change]) + SOUND[at + 1 :]
    try:
        kept = kept_from_bytes(damaged)
    except KeepsakeError:
        return
    assert kept.minute.heard_s == pytest.approx(20.0)  # the change was in what says how it is packed


def packed(**changes):
    values = json.loads(zlib.decompressobj(zdict=keepsakes._DICTIONARY).decompress(SOUND).decode())
    values.update(changes)
    return keepsakes._packed(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": None},
        {"minute": [0.0]},
        {"minute": [1000.0 * START_S, 0]},
        {"minute": [1000.0 * START_S, 1e10]},
        {"minute": ["a", "b"]},
        {"minute": [1e300, 1e301]},
        {"parts": 7},
        {"parts": [[]]},
        {"parts": [[[None, None, None], []]]},
        {"parts": [[[None, None, None], [-1.0] + [0.0] * 5 + [None] * 4 + [0, ""]]]},
        {"parts": [[[None, None, None], [0.0] * 6 + [None] * 4 + [10**9, "1"]]]},
        {"parts": [[[None, None, None], [0.0] * 6 + [None] * 4 + [0, "1.5"]]]},
        {"parts": [[[None, None, None], [0.0] * 6 + [None] * 4 + [0, [1]]]]},
        {"parts": [[[None, None, None], [0.0] * 6 + [None] * 4 + [0, "(12"]]]},
        {"parts": [[[["x", 1, 2], None, None], [0.0] * 6 + [None] * 4 + [0, ""]]]},
        {"seconds": {"siren": -1.0}},
        {"began": {"siren": True}},
        {"dating": [1, 2]},
        {"told": ["summary", START_S]},
        {"told": ["summary_hour", "noon"]},
    ],
)
def test_what_is_packed_and_is_no_keepsake_is_refused(changes):
    with pytest.raises(KeepsakeError):
        kept_from_bytes(packed(**changes))


@pytest.mark.parametrize(
    "content", [b"", b"[]", zlib.compress(b"[]"), zlib.compress(b"[" * 60000), zlib.compress(b"0" * 10**7)]
)
def test_what_is_no_object_is_refused(content):
    with pytest.raises(KeepsakeError):
        kept_from_bytes(content)
