"""Event scores: matching, false alarms, their bound, and the daemon heard through its command line."""

import json
import math
import sys
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from trainer import scene_scores
from trainer.errors import TrainerError
from trainer.scene_scores import (
    HeardEvent,
    TrueEvent,
    check_bundle,
    compare_events,
    format_scores,
    hear_with_edge,
    poisson_upper_bound,
    read_timeline,
    score_scenes,
    summarise,
)

SHIPPED = Path(__file__).resolve().parents[2] / "engines" / "urban"
TRUTH = [
    TrueEvent("siren", 10.0, 15.0, 6.0),
    TrueEvent("dog_bark", 20.0, 21.0, 6.0),
    TrueEvent(None, 30.0, 35.0, 6.0),
    TrueEvent("siren", 40.0, 44.0, 6.0),
]


def compare(*heard, truth=TRUTH):
    return compare_events([HeardEvent(*event) for event in heard], truth, duration_s=3600.0)


@pytest.mark.parametrize(
    ("heard", "matched", "missed", "superfluous", "alarms", "of_distractors"),
    [
        ([], 0, 3, 0, 0, 0),
        ([("siren", 10.5, 14.0), ("dog_bark", 19.8, 20.6), ("siren", 41.0, 44.0)], 3, 0, 0, 0, 0),
        ([("siren", 16.0, 18.0)], 0, 3, 1, 1, 0),  # near, but the siren no longer sounds
        ([("siren", 13.0, 16.0)], 0, 3, 1, 0, 0),  # while it sounds, onset off by 3 s: wrong, no alarm
        ([("siren", 10.0, 11.0), ("siren", 13.0, 15.0)], 1, 2, 1, 0, 0),  # one siren told twice
        ([("dog_bark", 10.5, 14.0)], 0, 3, 1, 1, 0),  # another class than what sounds
        ([("car_horn", 31.0, 33.0)], 0, 3, 1, 1, 1),  # the distractor is taken for a horn
        ([("siren", 10.0, 45.0)], 1, 2, 0, 0, 0),  # one long event finds one siren alone
    ],
)
def test_events_are_matched_missed_or_alarms(heard, matched, missed, superfluous, alarms, of_distractors):
    found = compare(*heard)
    assert [len(part) for part in found[1:2] + found[3:-1]] == [matched, missed, superfluous, alarms, of_distractors]
    assert len(found.onset_errors_s) == matched


def test_the_nearest_onset_wins():
    found = compare(("siren", 11.5, 15.0), ("siren", 10.2, 11.0))
    assert found.matches == [(0, 1)]
    assert found.onset_errors_s == pytest.approx([0.2])
    assert found.superfluous == [0]
    assert found.false_alarms == []


@given(st.lists(st.tuples(st.sampled_from(["siren", "dog_bark", "car_horn"]), st.floats(0, 60), st.floats(0.1, 10))))
def test_every_event_is_counted_once(rows):
    found = compare(*[(label, start_s, start_s + length_s) for label, start_s, length_s in rows])
    assert len(found.matches) + len(found.superfluous) == len(rows)
    assert len(found.matches) + len(found.missed) == 3
    assert set(found.distractor_alarms) <= set(found.false_alarms) <= set(found.superfluous)
    assert len({i for i, _ in found.matches}) == len({j for _, j in found.matches}) == len(found.matches)


def test_a_perfect_hearing_scores_one():
    found = compare(*[event[:3] for event in TRUTH if event.label])
    scores = summarise([found, found], distractors=2)
    assert (scores.scenes, scores.hours, scores.f1, scores.precision, scores.recall) == (2, 2.0, 1.0, 1.0, 1.0)
    assert scores.onset_error_median_s == 0.0
    assert scores.false_alarms_per_hour == 0.0
    assert scores.false_alarms_per_hour_bound == pytest.approx(3.0 / 2, rel=0.01)  # the rule of three


def test_sums_by_hand():
    scores = summarise(
        [
            compare(("siren", 10.5, 14.0), ("siren", 50.0, 51.0), ("car_horn", 31.0, 32.0)),
            compare(("dog_bark", 20.1, 21.0), ("siren", 40.3, 44.0)),
        ],
        distractors=2,
    )
    assert (scores.matched, scores.missed, scores.superfluous, scores.false_alarms) == (3, 3, 2, 2)
    assert scores.precision == 0.6
    assert scores.recall == 0.5
    assert scores.f1 == pytest.approx(6 / 11)
    assert scores.onset_error_median_s == pytest.approx(0.3)
    assert scores.false_alarms_per_hour == 1.0
    assert scores.distractor_alarms == 1
    assert scores.labels == {"car_horn": (0, 0, 1), "dog_bark": (2, 1, 0), "siren": (4, 2, 1)}  # true, found, alarms


def test_silence_of_the_daemon_scores_nothing_and_breaks_nothing():
    scores = summarise([compare()], distractors=1)
    assert scores.f1 == scores.precision == scores.recall == 0.0
    assert scores.onset_error_median_s is None
    assert "| - |" in format_scores({"all": scores})


@pytest.mark.parametrize("count", [0, 1, 2, 5, 20, 300])
def test_poisson_bound_is_exact(count):
    assert poisson_upper_bound(count) == pytest.approx(scipy.stats.chi2.ppf(0.95, 2 * count + 2) / 2, rel=1e-9)


def test_three_is_the_bound_of_none():
    assert poisson_upper_bound(0) == pytest.approx(-math.log(0.05))


def write_scene(folder, name, snrs_db=(6.0, 6.0, 6.0, 6.0)):
    events = [
        dict(event._asdict(), snr_db=snr_db, category="x", file="x.ogg")
        for event, snr_db in zip(TRUTH, snrs_db, strict=True)
    ]
    (folder / (name + ".json")).write_text(
        json.dumps({"schema": 1, "file": name + ".flac", "duration_s": 60.0, "events": events})
    )


def test_scenes_are_grouped_by_snr(tmp_path):
    write_scene(tmp_path, "a", (6.0,) * 4)
    write_scene(tmp_path, "b", (0.0,) * 4)
    write_scene(tmp_path, "c", (12.3, 13.0, 17.9, 14.0))
    (tmp_path / "scenes.json").write_text("{}")
    heard = []

    def hear(path):
        heard.append(path)
        return [HeardEvent("siren", 10.0, 15.0)] if path.name == "a.flac" else []

    scores = score_scenes(tmp_path, hear)
    assert heard == [tmp_path / "a.flac", tmp_path / "b.flac", tmp_path / "c.flac"]
    assert {name.strip(): score.matched for name, score in scores.items()} == {
        "0 dB": 0,
        "6 dB": 1,
        "12 to 18 dB": 0,
        "all": 1,
    }
    assert scores["all"].scenes == 3
    assert scores["all"].distractors == 3
    table, labels = format_scores(scores).split("\n\n")
    assert table.count("\n") == 5
    assert labels.splitlines()[2:] == ["| dog_bark | 3 | 0 | 0.0 |", "| siren | 6 | 1 | 0.0 |"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"file": "a", "duration_s": 1, "events": [{}]}', "\0"])
def test_a_file_that_is_no_timeline_is_refused_by_name(tmp_path, content):
    (tmp_path / "wrong.json").write_text(content)
    with pytest.raises(TrainerError, match=r"wrong\.json"):
        read_timeline(tmp_path / "wrong.json")


def test_a_folder_without_scenes_is_refused(tmp_path):
    with pytest.raises(TrainerError, match="timeline"):
        score_scenes(tmp_path, list)


def command(text):
    """A command that stands where the daemon's would."""
    return [sys.executable, "-c", text]


def test_events_are_read_from_a_process(tmp_path):
    lines = (
        '{"type": "classification", "file": "x", "start_s": 0, "end_s": 4, "scores": {}, "foreign": 0.1}\n'
        '{"type": "event", "file": "x", "label": "siren", "start_s": 1.5, "end_s": 3}\n'
        '{"type": "file", "file": "x", "label": "siren"}'
    )
    script = "import sys; print(%r); assert sys.argv[-1].endswith('x.flac') and '--bundle' in sys.argv" % lines
    assert hear_with_edge(tmp_path / "x.flac", command=command(script), bundle=tmp_path) == [
        HeardEvent("siren", 1.5, 3.0)
    ]


@pytest.mark.parametrize(
    "script", ["import sys; sys.exit('no such file')", "print('hello')", "print('[1]')", 'print(\'{"type": "event"}\')']
)
def test_a_process_that_fails_or_babbles_is_one_error(tmp_path, script):
    with pytest.raises(TrainerError):
        hear_with_edge(tmp_path / "x.flac", command=command(script))


def test_a_command_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(TrainerError, match="no-such-command"):
        hear_with_edge(tmp_path / "x.flac", command=["no-such-command"])


def test_json_has_what_the_table_has(tmp_path, capsys, monkeypatch):
    write_scene(tmp_path, "a")
    monkeypatch.setattr(scene_scores, "hear_with_edge", lambda path, bundle: [HeardEvent("siren", 10.0, 15.0)])
    assert scene_scores.main([str(tmp_path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["all"]["matched"] == 1
    assert scores["all"]["labels"]["siren"] == {"true": 2, "found": 1, "false_alarms": 0}


def test_a_model_is_not_scored_on_scenes_of_what_it_was_trained_on(tmp_path, capsys):
    write_scene(tmp_path, "a")
    made_of = {"model": "fold-1", "data": "UrbanSound8K", "folds": [1]}
    (tmp_path / "scenes.json").write_text(json.dumps(made_of))
    assert scene_scores.main([str(tmp_path)]) == 2  # the daemon's own is trained on everything
    assert "name its bundle with --bundle" in capsys.readouterr().err
    assert scene_scores.main([str(tmp_path), "--bundle", str(SHIPPED)]) == 2
    assert "was trained on folds [1] of UrbanSound8K" in capsys.readouterr().err
    (tmp_path / "scenes.json").write_text(json.dumps({**made_of, "folds": [9]}))
    check_bundle(tmp_path, SHIPPED)
    (tmp_path / "scenes.json").write_text('{"scenes": 3}')  # of free clips
    check_bundle(tmp_path, None)


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path, capsys):
    assert scene_scores.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
