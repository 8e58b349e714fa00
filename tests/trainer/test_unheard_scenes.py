"""Hours of scenes from what a model has not heard: who sounds in them, how often, and over what."""

import json

import numpy as np
import pytest
import soundfile

from tests.trainer.test_robustness import RATE, pitch_judge
from trainer import scenes
from trainer.composition import read_sound
from trainer.data.clips import Clip, Dataset
from trainer.errors import TrainerError
from trainer.run import RunRecord
from trainer.timeline import read_timeline
from trainer.unheard_scenes import SCENE_S, SNRS_DB, SOUNDS, write_unheard_scenes

RECORD = RunRecord("US", ["low", "high"], [2], "ESC", ["canine"], ["bell"], ["rain:5"], [])


@pytest.fixture
def sets(tmp_path):
    """Two known classes in two folds, one of "low" from a single recording; bells, saws, dogs and rain."""
    rng = np.random.default_rng(0)

    def clip(name, category, fold, source, seconds=0.5):
        soundfile.write(str(tmp_path / name), 0.1 * rng.standard_normal(int(seconds * RATE)), RATE)
        return Clip(tmp_path / name, category, fold, source)

    known = [clip("high%d.wav" % i, "high", 1 + i % 2, "h%d" % (i // 2 % 10)) for i in range(40)]
    known += [clip("low%d.wav" % i, "low", 1 + i % 2, "l%d" % (i % 2)) for i in range(6)]
    foreign = [clip("bell%d.wav" % i, "bell", 1, "b%d" % i) for i in range(3)]
    foreign += [clip("saw.wav", "saw", 1, "s"), clip("dog.wav", "canine", 1, "d"), clip("shared.wav", "bell", 1, "l0")]
    foreign += [clip("rain%d.wav" % fold, "rain", fold, "r%d" % fold, 4.0) for fold in (4, 5)]
    foreign += [clip("rain-of-dogs.wav", "rain", 5, "195710", 4.0)]
    return Dataset("US", known), Dataset("ESC", foreign)


def write(sets, out, record=RECORD, hours=0.5, foreign=True, **arguments):
    data, other = sets
    listener = pitch_judge(record)
    return write_unheard_scenes(listener, data, other if foreign else None, out, hours=hours, **arguments)


def read_all(paths):
    return [json.loads(path.with_suffix(".json").read_text()) for path in paths]


def test_only_what_the_run_never_heard_sounds(sets, tmp_path):
    timelines = read_all(write(sets, tmp_path / "out"))
    by_category = {}
    for event in (event for timeline in timelines for event in timeline["events"]):
        by_category.setdefault((event["category"], event["label"]), set()).add(event["file"])
    data, _ = sets
    held_out = {clip.path.name for clip in data.clips if clip.fold == 2}
    assert set(by_category) == {("low", "low"), ("high", "high"), ("bell", None)}
    assert by_category["low", "low"] | by_category["high", "high"] <= held_out
    assert by_category["bell", None] == {"bell0.wav", "bell1.wav", "bell2.wav"}  # nor the one of a shared recording
    assert {timeline["bed"] for timeline in timelines} == {"rain5.wav", "made-up traffic"}


def test_sounds_are_sparse_balanced_and_a_fifth_foreign(sets, tmp_path):
    paths = write(sets, tmp_path / "out")
    assert len(paths) * SCENE_S == 1800
    events = []
    for number, path in enumerate(paths):
        sound, duration_s, truth = read_timeline(path.with_suffix(".json"))
        assert soundfile.info(str(sound)).duration == duration_s == SCENE_S
        assert len(truth) == SOUNDS
        assert {event.snr_db for event in truth} == {SNRS_DB[number % len(SNRS_DB)]}
        events += truth
    labels = [event.label for event in events]
    assert {label: labels.count(label) for label in (None, "low", "high")} == {None: 6, "low": 12, "high": 12}
    used = {event["file"] for one in read_all(paths) for event in one["events"] if event["label"] == "high"}
    data, _ = sets
    sources = [clip.source_id for clip in data.clips if clip.path.name in used]
    assert len(sources) == 12 and len(set(sources)) == 10  # every recording before any second clip of one


def test_the_same_seed_gives_the_same_sound(sets, tmp_path):
    first, second, other = (write(sets, tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert first[0].read_bytes() != other[0].read_bytes()


@pytest.mark.parametrize("foreign", [True, False])
def test_a_run_that_met_every_category_gets_no_distractors(sets, tmp_path, foreign):
    record = RECORD._replace(foreign_hold_out=[], foreign_reserve=[])
    timelines = read_all(write(sets, tmp_path / "out", record, foreign=foreign, hours=0.3))
    labels = [event["label"] for timeline in timelines for event in timeline["events"]]
    assert len(labels) == 2 * SOUNDS and None not in labels
    assert {timeline["bed"] for timeline in timelines} == {"made-up traffic"}


def test_folds_that_the_run_heard_are_refused(sets, tmp_path):
    with pytest.raises(TrainerError, match="was trained on folds"):
        write(sets, tmp_path / "out", folds=[1])


def test_what_it_is_made_of_is_written_down(sets, tmp_path):
    write(sets, tmp_path / "out", hours=0.1)
    summary = json.loads((tmp_path / "out" / "scenes.json").read_text())
    assert summary["hours"] == pytest.approx(1 / 6)
    assert (summary["folds"], summary["known_sources"], summary["foreign_categories"]) == ([2], 11, ["bell"])
    assert summary["beds"] == ["rain5.wav", "made-up traffic"]


def test_a_silent_clip_is_refused_by_name(tmp_path):
    soundfile.write(str(tmp_path / "nothing.wav"), np.zeros(RATE), RATE)
    with pytest.raises(TrainerError, match=r"nothing\.wav"):
        read_sound(tmp_path / "nothing.wav", "dog", RATE)


@pytest.mark.parametrize("hours", ["0", "nan", "1e9"])
def test_hours_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, hours):
    arguments = ["unheard", str(tmp_path), "--data", str(tmp_path), "--hours", hours, "--out", str(tmp_path / "out")]
    assert scenes.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: --hours") and printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path, capsys):
    arguments = ["unheard", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert scenes.main(arguments) == 2
    assert "neither a run" in capsys.readouterr().err
