"""The published contract is what the code does, and v1 keeps what it has promised."""

import json
import sys

import pytest

from edge.contract.__main__ import FOLDER, published_files
from edge.contract.examples import example_message, example_payload
from edge.contract.frozen import broken_promises, merged, promises
from edge.message_fields import COMMON_FIELDS
from edge.message_types import MESSAGE_TYPES
from tests.contract.validation import type_of, validate

FROZEN = json.loads((FOLDER / "v1.json").read_text(encoding="utf-8"))


def test_the_published_files_are_up_to_date():
    published = published_files()
    here = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json")} | {"README.md"}
    assert here == set(published)
    stale = [name for name, text in published.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, "the definition of messages has changed: make contract"


def test_v1_keeps_what_it_has_promised():
    assert broken_promises(FROZEN, promises()) == []


def test_what_v1_has_gained_is_a_promise_too():
    assert merged(FROZEN, promises()) == FROZEN, "make contract"


def changed(path, change):
    """What the definition would promise, were one thing in it another."""
    now = json.loads(json.dumps(promises()))
    place = now
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = change(place[path[-1]])
    return now


@pytest.mark.parametrize(
    "path, change, complaint",
    [
        ("types/event/topic", lambda topic: topic + "s", "topic was"),
        ("types/event/qos", lambda qos: 0, "qos was 1 and is 0"),
        ("types/event/retain", lambda retain: True, "retain was"),
        ("types/event/fields/laeq_db/null", lambda null: False, "null was True and is False"),
        ("types/event/fields/label/null", lambda null: True, "null was False and is True"),
        ("types/event/fields/duration_s/json/type", lambda kind: "string", "type was"),
        ("types/event/fields/duration_s/json/minimum", lambda least: 1, "minimum was"),
        ("types/event/fields/label/json", lambda kind: dict(kind, maxLength=3), "maxLength is new"),
        ("types/event/fields/phase/words", lambda words: words[1:], "the word start is gone"),
        ("types/event/fields/label/words", lambda words: ["siren"], "any word was allowed"),
        ("types/status/words", lambda words: ["online"], "the word offline is gone"),
        ("common", lambda fields: {name: fields[name] for name in fields if name != "seq"}, "common/seq is gone"),
        ("types", lambda types: {name: types[name] for name in types if name != "state"}, "types/state is gone"),
    ],
)
def test_a_broken_promise_is_named(path, change, complaint):
    found = broken_promises(FROZEN, changed(path.split("/"), change))
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    "path, change",
    [
        ("types/event/fields", lambda fields: dict(fields, mood=fields["label"])),
        ("types/event/fields/end_reason/words", lambda words: words + ["storm"]),
        ("types", lambda types: dict(types, weather=types["state"])),
    ],
)
def test_v1_may_gain_and_then_promises_that_too(path, change):
    now = changed(path.split("/"), change)
    assert broken_promises(FROZEN, now) == []
    grown = merged(FROZEN, now)
    assert grown == now and broken_promises(grown, promises()) != []


@pytest.mark.parametrize("name", sorted(MESSAGE_TYPES))
def test_the_examples_are_messages(name):
    message = example_message(name)
    assert type_of(message.topic) == name
    if not MESSAGE_TYPES[name].bare_choices:
        assert {field.name for field in COMMON_FIELDS} < set(example_payload(name))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="jsonschema is a tool of current Pythons")
@pytest.mark.parametrize("name", sorted(MESSAGE_TYPES))
def test_the_examples_fit_the_published_schemas(name):
    message = example_message(name)
    assert validate(message.topic, message.payload) == name


@pytest.mark.skipif(sys.version_info < (3, 10), reason="jsonschema is a tool of current Pythons")
@pytest.mark.parametrize(
    "field, value",
    [("laeq_db", "loud"), ("phase", "middle"), ("time", "noon"), ("score_max", 1.5), ("node", "Ä"), ("schema", 2)],
)
def test_the_published_schemas_refuse_what_is_none_of_v1(field, value):
    import jsonschema

    message = example_message("event")
    for values in (
        dict(example_payload("event"), **{field: value}),
        {name: kept for name, kept in example_payload("event").items() if name != field},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validate(message.topic, json.dumps(values).encode())
