"""Minutes of the soak that `make soak` runs for days, and that it would notice what it looks for."""

import json

import pytest

from edge.records import Message
from tests.endurance.soak import Account, Result, Sample, config_for, slope_of, soak
from tests.engines.bundles import write_tiny_bundle

TOPIC = "soundclr/soak/street/event"


@pytest.mark.slow
def test_twenty_minutes_of_street_across_midnight_keep_every_promise_but_the_slope(tmp_path):
    result = soak(config_for(write_tiny_bundle(tmp_path / "tiny")), 1200.0, warm_up_s=300.0, interval_s=60.0)
    # minutes say nothing about megabytes a day: that is for the long run
    assert result.failures(most_mb_per_day=float("inf")) == []
    assert result.account.heard_s >= 1200.0 and result.account.messages > 1000
    assert result.steps >= 15 and result.account.starts > 0
    assert (
        result.account.minutes >= 20 and result.account.hours >= 2
    )  # midnight in UTC comes after a quarter of an hour


def message(**values):
    return Message(TOPIC, json.dumps(values).encode(), 1, False, True)


def event(phase, seq, name="a"):
    return message(type="event", phase=phase, event_id=name, id="i%d" % seq, seq=seq)


def summary(start, end, kind="summary", seq=None, valid_percent=100.0):
    first, last = ("2026-10-25T%02d:%02d:00.000Z" % divmod(minute, 60) for minute in (start, end))
    seq = start if seq is None else seq
    return message(type=kind, id="s%d" % seq, seq=seq, start=first, end=last, valid_percent=valid_percent)


def result_of(account, samples):
    return Result(account, samples, slope_of(samples), 0, 1.0, 0, 1)


def samples_with(mb_per_day=0.0, descriptors=0.0, threads=0.0):
    noise = [0.02, -0.01, 0.0, 0.015, -0.02]
    return [
        Sample(60.0 * at, 80 + mb_per_day * at / 1440 + noise[at % 5], int(9 + descriptors * at), int(7 + threads * at))
        for at in range(1440)
    ]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, None),
        ({"mb_per_day": 0.5}, None),
        ({"mb_per_day": 3.0}, "memory"),
        ({"descriptors": 0.01}, "descriptors"),
        ({"threads": 0.001}, "threads"),
    ],
)
def test_a_leak_is_noticed_and_noise_is_not(what, expected):
    failures = result_of(Account(), samples_with(**what)).failures()
    assert failures == [] if expected is None else (len(failures) == 1 and expected in failures[0])


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([event("start", 0), event("end", 1)], None),
        ([event("start", 0)], "starts"),
        ([event("end", 0)], "ends"),
        ([event("start", 0), event("end", 1), event("end", 2)], "ends"),
        ([event("start", 1), event("end", 0)], "back"),
        ([summary(0, 1), summary(1, 2), summary(0, 60, "summary_hour", 2, 3.33)], None),
        ([summary(0, 1), summary(2, 3)], "follow"),
        ([summary(0, 1), summary(1, 2), summary(0, 60, "summary_hour", 2, 1.67)], "hold"),
        ([event("start", 0), message(type="health", id="i0", seq=1), event("end", 2)], "twice"),
    ],
)
def test_a_broken_promise_of_the_messages_is_noticed(messages, expected):
    account = Account()
    for one in messages:
        account.take(one)
    failures = result_of(account, samples_with()).failures()
    assert (failures == []) if expected is None else any(expected in failure for failure in failures)


def test_the_slopes_interval_holds_the_truth():
    slope = slope_of(samples_with(mb_per_day=2.0))
    assert slope.low <= 2.0 <= slope.high and slope.high - slope.low < 0.1
