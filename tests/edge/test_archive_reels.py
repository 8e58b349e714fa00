"""How files become reels: by their own times alone."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.archive.chronicle import place_of
from edge.archive.reels import (
    LEAD_S,
    REEL_S,
    Reel,
    Take,
    mapping_from_reel,
    overlaps_of,
    recorder_of,
    reel_from_mapping,
    reel_key,
    reels_of,
)

BEGIN_S = 1790812800.0  # 2026-10-01T00:00:00Z, where a reel begins
RATE_HZ = 16000


def take(start_s, duration_s=600.0, recorder="/a/street", rate_hz=RATE_HZ):
    start_epoch_s = None if start_s is None else BEGIN_S + start_s
    path = "%s-%s.wav" % (recorder, start_s)
    return Take(path, 1000, 5, rate_hz, 1, int(duration_s * rate_hz), start_epoch_s, recorder)


def owners(reels):
    return [[one.path for one in reel.own] for reel in reels]


def test_files_that_follow_each_other_are_one_stream_cut_at_two_hours():
    takes = [take(600.0 * i) for i in range(24)]
    reels = reels_of(takes)
    assert [len(reel.own) for reel in reels] == [12, 12]
    assert reels[0].lead == () and reels[1].tail == ()
    assert reels[0].tail == (takes[12],) and reels[1].lead == (takes[11],)


def test_a_file_longer_than_a_reel_is_one_reel():
    (reel,) = reels_of([take(0.0, 3 * REEL_S)])
    assert reel.is_one_file and reel.duration_s == 3 * REEL_S


@pytest.mark.parametrize("error_s, is_one", [(0.9, True), (-0.9, True), (1.0, False), (-1.0, False), (60.0, False)])
def test_a_name_tells_whole_seconds_so_nearly_one_is_no_hole(error_s, is_one):
    first_s = 600.0 - error_s
    assert len(reels_of([take(0.0, first_s), take(600.0)])) == (1 if is_one else 2)


@pytest.mark.parametrize("error_s, is_one", [(0.04, True), (0.06, False)])
def test_times_with_fractions_are_believed_more(error_s, is_one):
    assert len(reels_of([take(0.25), take(600.25 + error_s)])) == (1 if is_one else 2)


def test_other_recorders_other_rates_and_files_without_a_time_do_not_follow():
    takes = [take(0.0), take(600.0, recorder="/b/street"), take(600.0, rate_hz=48000), take(None), take(None)]
    assert sorted(map(len, owners(reels_of(takes)))) == [1] * 5
    assert all(reel.is_one_file for reel in reels_of(takes))


def test_each_file_by_itself_where_that_is_asked_for():
    reels = reels_of([take(600.0 * i) for i in range(3)], joined=False)
    assert len(reels) == 3 and all(reel.is_one_file for reel in reels)


def test_the_lead_is_as_long_as_the_background_remembers_and_no_longer():
    takes = [take(60.0 * i, 60.0) for i in range(130)]
    last = reels_of(takes)[-1]
    assert sum(one.duration_s for one in last.lead) == LEAD_S and last.lead[-1] == takes[119]


@pytest.mark.parametrize(
    "one, other, is_same",
    [
        ("/a/street-20261001_000000.wav", "/a/street-20261001_001000.wav", True),
        ("/a/2026-10-01/20261001_235000.wav", "/a/2026-10-02/20261002_000000.wav", True),
        ("/a/2026/10/01/x20261001_235000.wav", "/a/2026/10/02/x20261002_000000.wav", True),
        ("/a/1/20261001_000000.wav", "/a/2/20261001_000000.wav", False),
        ("/a/north-20261001_000000.wav", "/a/south-20261001_001000.wav", False),
    ],
)
def test_a_recorder_is_the_path_without_its_times(one, other, is_same):
    assert (recorder_of(one) == recorder_of(other)) is is_same


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_file_is_in_one_reel_and_their_order_on_the_command_line_is_no_matter(data):
    lengths_s = data.draw(st.lists(st.sampled_from([1.0, 60.0, 59.5, 600.0, 8000.0]), min_size=1, max_size=40))
    holes_s = data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 2.0, 5000.0]), min_size=40, max_size=40))
    takes, at_s = [], 0.0
    for length_s, hole_s in zip(lengths_s, holes_s):
        takes.append(take(at_s, length_s))
        at_s += length_s + hole_s
    reels = reels_of(takes)
    assert sorted(path for paths in owners(reels) for path in paths) == sorted(one.path for one in takes)
    assert reels_of(data.draw(st.permutations(takes))) == reels
    for reel in reels:
        assert reel_from_mapping(json.loads(json.dumps(mapping_from_reel(reel)))) == reel


def test_files_that_overlap_are_found_and_those_that_nearly_follow_are_not():
    takes = [take(0.0, 600.5), take(600.0), take(1150.0), take(600.0, recorder="/b/street"), take(None)]
    assert overlaps_of(takes) == [(takes[2].path, takes[1].path)]


def test_the_key_knows_every_fact_of_every_file_it_heard_and_the_settings():
    reel = reels_of([take(600.0 * i) for i in range(13)])[0]
    other = [
        Reel(reel.lead, reel.own[:-1] + (reel.own[-1]._replace(**change),), reel.tail)
        for change in ({"size_bytes": 1}, {"modified_ns": 1}, {"path": "/x"}, {"start_epoch_s": 0.0})
    ]
    other.append(reel._replace(tail=()))
    keys = [reel_key(one, "s") for one in [reel] + other] + [reel_key(reel, "t")]
    assert len(set(keys)) == 7 and reel_key(reel, "s") == keys[0]


def test_a_moment_of_a_reel_lies_in_one_file():
    takes = [take(600.0 * i) for i in range(13)]
    first, second = reels_of(takes)
    assert place_of(first, 0.0) == (takes[0], 0.0) and place_of(first, 600.0) == (takes[1], 0.0)
    assert place_of(first, 7205.0) == (takes[12], 5.0) and place_of(second, -1.0) == (takes[11], 599.0)
    assert place_of(second, 600.0) == (takes[12], 600.0)
