import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import SourceClock, UtcTime
from edge.message_schema import json_schema
from edge.message_types import MESSAGE_TYPES
from edge.messages import MessageFactory, mark_replayed, status_message, time_ms_of
from edge.records import Classification, EventChange
from edge.rfc3339 import rfc3339_from_epoch

needs_jsonschema = pytest.mark.skipif(sys.version_info < (3, 10), reason="jsonschema is a tool of current Pythons")
LABELS = ("dog_bark", "siren", "car_horn")
NOON = UtcTime(1790856896.7894, True)
INFO = {
    "version": "0.1",
    "python": "3.6.9",
    "machine": "aarch64",
    "runtime": "onnxruntime 1.10",
    "started": NOON,
    "labels": list(LABELS),
    "sources": ["street"],
    "window_s": 4.0,
    "hop_s": 1.0,
}
HEALTH = {
    "uptime_s": 12.3456,
    "sources_online": 1,
    "sources_configured": 1,
    "windows": 12,
    "gaps": 0,
    "lost_s": 0.0,
    "mqtt_reconnects": 0,
    "mqtt_sent": 3,
    "mqtt_dropped": 0,
    "mqtt_in_flight": 0,
    "store_waiting": 0,
    "store_state": "ok",
    "store_rows": 0,
    "store_bytes": 0,
    "store_set_aside": 0,
    "store_dropped": 0,
}


LEVEL = {
    "start": NOON,
    "end": NOON,
    "valid_percent": 100.0,
    "overload_percent": 0.0,
    "laeq_dbfs": -40.123,
    "lzeq_31_5hz_dbfs": -60.0,
}
SUMMARY = {"start": NOON, "end": NOON, "valid_percent": 99.5, "overload_percent": 0.0, "replayed": False}
CLIP = {"event_id": "b00f-street-1", "label": "siren", "clip": None, "withheld": "speech", "replayed": False}
CLIP.update(start=NOON, end=NOON, duration_s=12.0)
SUMMARY.update(("seconds_" + label, 3.0) for label in LABELS)
SUMMARY.update(("events_" + label, 1) for label in LABELS)


def make_factory(bands=()):
    return MessageFactory("soundclr", "corner-1", "urban-1", "b00f", LABELS, (), bands)


def make_clock():
    clock = SourceClock(start_time_utc_s=1790856896.0)
    clock.observe(0, 48000, 10.0)
    return clock


def make_classification(**changes):
    values = dict(
        start_s=1.0,
        end_s=5.0,
        scores={"dog_bark": 0.1, "siren": 0.85004, "car_horn": 0.05},
        label="siren",
        score=0.85004,
        foreign=0.01,
        accepted=("siren",),
        level_dbfs=-31.234,
        background_dbfs=-50.0,
        reason=None,
    )
    values.update(changes)
    return Classification(**values)


def make_event(**changes):
    values = dict(
        event_id="b00f-street-1",
        phase="end",
        label="siren",
        start_s=1.5,
        end_s=15.4999,
        end_reason="quiet",
        score_max=0.97,
        score_mean=0.9,
        start_uncertainty_s=0.125,
    )
    values.update(changes)
    return EventChange(**values)


def message_of_each_type():
    factory, clock = make_factory(), make_clock()
    return {
        "status": factory.build_status("online"),
        "source_status": factory.build_status("offline", "street"),
        "info": factory.build("info", NOON, INFO),
        "health": factory.build("health", NOON, HEALTH),
        "classification": factory.build_classification("street", make_classification(), clock),
        "state": factory.build_state("street", NOON, ("siren",), -30.0, None),
        "event": factory.build_event("street", make_event(), clock),
        "clip": factory.build("clip", NOON, CLIP, "street"),
        "level": make_factory(bands=("31_5hz", "1000hz")).build("level", NOON, LEVEL, "street"),
        "summary": factory.build("summary", NOON, SUMMARY, "street"),
        "summary_hour": factory.build("summary_hour", NOON, SUMMARY, "street"),
        "summary_day": factory.build("summary_day", NOON, dict(SUMMARY, lden_dbfs=-30.0), "street"),
        "check": factory.build("check", NOON, {"nonce": "abc"}),
    }


@pytest.mark.parametrize("type_name", sorted(MESSAGE_TYPES))
def test_each_type_has_its_topic_and_delivery(type_name):
    message = message_of_each_type()[type_name]
    expected = {  # the contract, written out once more
        "status": ("soundclr/corner-1/status", 1, True, False),
        "source_status": ("soundclr/corner-1/street/status", 1, True, False),
        "info": ("soundclr/corner-1/info", 1, True, False),
        "health": ("soundclr/corner-1/health", 0, False, False),
        "classification": ("soundclr/corner-1/street/classification", 0, False, False),
        "state": ("soundclr/corner-1/street/state", 1, False, False),
        "event": ("soundclr/corner-1/street/event", 1, False, True),
        "clip": ("soundclr/corner-1/street/clip", 1, False, True),
        "level": ("soundclr/corner-1/street/level", 0, False, False),
        "summary": ("soundclr/corner-1/street/summary", 1, False, True),
        "summary_hour": ("soundclr/corner-1/street/summary/hour", 1, False, True),
        "summary_day": ("soundclr/corner-1/street/summary/day", 1, False, True),
        "check": ("soundclr/corner-1/check", 1, False, False),
    }
    assert (message.topic, message.qos, message.retain, message.durable) == expected[type_name]


@needs_jsonschema
@pytest.mark.parametrize("type_name", sorted(MESSAGE_TYPES))
def test_each_type_obeys_its_own_schema(type_name):
    import jsonschema

    schema = json_schema(type_name)
    jsonschema.Draft7Validator.check_schema(schema)
    text = message_of_each_type()[type_name].payload.decode("utf-8")
    value = text if "status" in type_name else json.loads(text)
    jsonschema.validate(value, schema)
    if isinstance(value, dict):
        families = tuple(pattern.strip("^").split("[")[0] for pattern in schema["patternProperties"])
        assert all(name in schema["properties"] or name.startswith(families) for name in value)


@needs_jsonschema
def test_schema_refuses_what_the_contract_does_not_hold():
    import jsonschema

    good = json.loads(message_of_each_type()["classification"].payload.decode("utf-8"))
    jsonschema.validate(dict(good, added_in_a_later_v1=1), json_schema("classification"))
    for changes in (
        {"score_siren": 1.5},
        {"time": "2026-10-01 12:00"},
        {"schema": 2},
        {"source": None},
        {"clock": "maybe"},
        {"reason": "bored"},
        {"score": None},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(dict(good, **changes), json_schema("classification"))
    del good["seq"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good, json_schema("classification"))


def test_classification_says_what_was_found_in_flat_json():
    payload = message_of_each_type()["classification"].payload
    assert json.loads(payload.decode("utf-8")) == {
        "schema": 1,
        "type": "classification",
        "node": "corner-1",
        "source": "street",
        "boot_id": "b00f",
        "seq": 0,
        "id": "b00f-3",
        "time": "2026-10-01T12:15:01.000Z",
        "ts_ms": 1790856901000,
        "clock": "synced",
        "bundle": "urban-1",
        "start": "2026-10-01T12:14:57.000Z",
        "end": "2026-10-01T12:15:01.000Z",
        "label": "siren",
        "score": 0.85,
        "foreign": 0.01,
        "accepted_label": "siren",
        "reason": None,
        "level_dbfs": -31.23,
        "background_dbfs": -50.0,
        "score_dog_bark": 0.1,
        "score_siren": 0.85,
        "score_car_horn": 0.05,
    }
    assert b": " not in payload
    assert b", " not in payload


def test_digital_silence_has_nulls_where_nothing_is_valid():
    silent = make_classification(label=None, accepted=(), level_dbfs=None, background_dbfs=None, reason="silence")
    values = json.loads(make_factory().build_classification("street", silent, make_clock()).payload.decode("utf-8"))
    assert [values[name] for name in ("label", "accepted_label", "level_dbfs")] == [None, None, None]
    assert values["reason"] == "silence"


def test_best_of_several_accepted_labels_is_named():
    both = make_classification(accepted=("dog_bark", "siren"))
    values = json.loads(make_factory().build_classification("street", both, make_clock()).payload.decode("utf-8"))
    assert values["accepted_label"] == "siren"


def test_event_is_dated_by_its_start_and_then_by_its_end():
    factory, clock = make_factory(), make_clock()
    start = make_event(phase="start", end_s=3.0, end_reason=None)
    first, last = [
        json.loads(factory.build_event("street", change, clock).payload.decode("utf-8"))
        for change in (start, make_event())
    ]
    assert first["time"] == first["start"] == last["start"] == "2026-10-01T12:14:57.500Z"
    assert last["time"] == last["end"] == "2026-10-01T12:15:11.500Z"
    assert last["duration_s"] == 14.0
    assert (first["end_reason"], last["end_reason"]) == (None, "quiet")
    assert last["replayed"] is False
    assert [last[name] for name in ("laeq_db", "lafmax_db", "background_la90_db", "calibrated")] == [None] * 4


def test_sequence_counts_by_topic_and_ids_never_repeat():
    factory, clock = make_factory(), make_clock()
    messages = [
        factory.build_classification(source, make_classification(), clock)
        for source in ("street", "yard", "street", "street")
    ]
    values = [json.loads(message.payload.decode("utf-8")) for message in messages]
    assert [value["seq"] for value in values] == [0, 0, 1, 2]
    assert len({value["id"] for value in values}) == 4


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"uptime_s": float("nan")}, "finite"),
        ({"uptime_s": float("inf")}, "finite"),
        ({"uptime_s": -1.0}, "from 0"),
        ({"uptime_s": "12"}, "a number"),
        ({"windows": 1.5}, "whole number"),
        ({"windows": -1}, "whole number"),
        ({"windows": True}, "whole number"),
        ({"windows": None}, "a value"),
        ({"winds": 3}, r"no fields \['winds'\]"),
        ({"wi\nnds\x1b": 3}, r"no fields \['wi\\nnds\\x1b'\]"),
    ],
)
def test_values_that_the_definition_does_not_know_are_a_mistake_in_the_program(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_factory().build("health", NOON, dict(HEALTH, **changes))


def test_refused_values_do_not_use_up_a_sequence_number():
    factory = make_factory()
    with pytest.raises(ValueError):
        factory.build("health", NOON, {})
    assert json.loads(factory.build("health", NOON, HEALTH).payload.decode("utf-8"))["seq"] == 0


def test_wrong_words_are_refused():
    factory, clock = make_factory(), make_clock()
    with pytest.raises(ValueError, match="expected one of"):
        factory.build_event("street", make_event(phase="middle"), clock)
    with pytest.raises(ValueError, match="expected one of"):
        status_message("soundclr", "corner-1", "asleep")
    with pytest.raises(ValueError, match="source"):
        factory.build("health", NOON, HEALTH, source="street")
    with pytest.raises(ValueError, match="source"):
        factory.build("event", NOON, {})
    with pytest.raises(ValueError, match="slug"):
        MessageFactory("soundclr", "corner-1", "urban-1", "b00f", ["Dog bark"])


def test_missing_score_of_a_label_is_refused():
    with pytest.raises(ValueError, match="score_siren"):
        make_factory().build_classification(
            "street", make_classification(scores={"dog_bark": 0.5, "car_horn": 0.5}, accepted=()), make_clock()
        )


@given(st.floats(0, 4e9, allow_nan=False))
def test_time_text_and_milliseconds_tell_the_same(epoch_s):
    values = json.loads(make_factory().build("check", UtcTime(epoch_s, False), {"nonce": "n"}).payload.decode("utf-8"))
    assert values["time"] == rfc3339_from_epoch(values["ts_ms"] / 1000.0)
    assert math.isclose(values["ts_ms"] / 1000.0, epoch_s, abs_tol=0.00051)
    assert values["clock"] == "unsynced"


@needs_jsonschema
@given(st.floats(0, 1), st.floats(0, 1), st.floats(-200, 50))
def test_any_classification_obeys_the_schema(score, foreign, level_dbfs):
    import jsonschema

    classification = make_classification(
        score=score, foreign=foreign, level_dbfs=level_dbfs, scores=dict.fromkeys(LABELS, score)
    )
    message = make_factory().build_classification("street", classification, make_clock())
    jsonschema.validate(json.loads(message.payload.decode("utf-8")), json_schema("classification"))


def test_replayed_mark_changes_nothing_else():
    payload = message_of_each_type()["event"].payload
    marked = json.loads(mark_replayed(payload).decode("utf-8"))
    assert marked.pop("replayed") is True
    original = json.loads(payload.decode("utf-8"))
    assert original.pop("replayed") is False
    assert list(marked.items()) == list(original.items())


@pytest.mark.parametrize("payload", [b"", b"online", b"\xff\xfe", b"[1]", b'{"ts_ms": true}'])
def test_payloads_without_the_fields_are_left_alone(payload):
    assert mark_replayed(payload) == payload
    assert time_ms_of(payload) is None
