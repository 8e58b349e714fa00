"""The shipped model on the shipped street: what sounds is found when it sounds, what is foreign raises nothing."""

import json

import numpy as np
import pytest

import edge
from edge.classify import classify_file
from edge.config import SHIPPED_BUNDLE, Config, NodeConfig, SourceConfig
from edge.scorer import open_scorer
from engines.bundle import load_bundle

DEMONSTRATION = edge.__path__[0] + "/demonstration"
MUST_BE_FOUND = ("siren", "car_horn", "dog_bark")


@pytest.fixture(scope="module")
def timeline():
    with open(DEMONSTRATION + "/timeline.json", encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture(scope="module")
def events(timeline):
    config = Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))
    bundle = load_bundle(SHIPPED_BUNDLE)
    with open_scorer(bundle, config.model.runtime, config.model.threads, config.model.hop_s) as scorer:
        lines = list(classify_file(DEMONSTRATION + "/" + timeline["file"], bundle, scorer, config))
    return [line for line in lines if line["type"] == "event"]


def overlapping(sound, events):
    """Events that sound together with a sound of the timeline."""
    return [e for e in events if e["start_s"] < sound["end_s"] and e["end_s"] > sound["start_s"]]


def found(timeline, events):
    """(sound, its first event of the same label or None) of each sound that has a label."""
    pairs = []
    for sound in timeline["events"]:
        if sound["label"] is not None:
            same = [e for e in overlapping(sound, events) if e["label"] == sound["label"]]
            pairs.append((sound, same[0] if same else None))
    return pairs


@pytest.mark.parametrize("label", MUST_BE_FOUND)
def test_sirens_horns_and_dogs_are_found(timeline, events, label):
    missed = [sound for sound, event in found(timeline, events) if sound["label"] == label and event is None]
    assert missed == []


def test_engines_are_found_where_they_idle(timeline, events):
    engines = [event for sound, event in found(timeline, events) if sound["label"] == "engine_idling"]
    assert len(engines) == 2 and any(event is not None for event in engines)


@pytest.mark.parametrize("category", ["church_bells", "train"])
def test_what_is_foreign_raises_nothing(timeline, events, category):
    sounds = [sound for sound in timeline["events"] if sound["category"] == category]
    assert sounds and [overlapping(sound, events) for sound in sounds] == [[] for _ in sounds]


def test_onsets_are_right_within_a_second_as_a_rule(timeline, events):
    errors_s = [abs(event["start_s"] - sound["start_s"]) for sound, event in found(timeline, events) if event]
    assert len(errors_s) >= 8 and np.median(errors_s) < 1.0
