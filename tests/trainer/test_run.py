"""Which clips a run trains on, and which it never sees."""

import json
from pathlib import Path

import pytest

import trainer
from trainer.data.datasets import read_dataset
from trainer.errors import TrainerError
from trainer.run import RunRecord, read_datasets, read_record, record_from_json, select_clips, write_record

RECORD = RunRecord("UrbanSound8K", ["car_horn", "dog_bark", "siren"], [2], "", [], [], [], [])


def test_a_class_left_out_is_trained_on_in_no_role_and_judged_as_foreign(urbansound8k, esc10):
    record = RECORD._replace(labels=["car_horn", "siren"], leave_out_classes=["dog_bark"], foreign_data="ESC-10")
    selection = select_clips(record, read_dataset(urbansound8k), read_dataset(esc10))
    trained = selection.train + selection.foreign_train
    assert "dog_bark" not in {clip.category for clip in trained + selection.test}
    assert [(clip.category, clip.fold) for clip in selection.foreign_test] == [("dog_bark", 2)]


def test_without_a_held_out_fold_every_unheard_source_of_the_class_judges(urbansound8k):
    record = RECORD._replace(labels=["car_horn", "siren"], leave_out_classes=["dog_bark"], hold_out_folds=[])
    data = read_dataset(urbansound8k)
    assert len(select_clips(record, data, None).foreign_test) == 2
    dog = next(clip for clip in data.clips if clip.category == "dog_bark")
    shared = data._replace(clips=[*data.clips, dog._replace(category="siren")])
    assert dog.source_id not in {clip.source_id for clip in select_clips(record, shared, None).foreign_test}


def test_two_folds_held_out_are_both_unseen(urbansound8k):
    data = read_dataset(urbansound8k)
    data = data._replace(clips=[*data.clips, *(clip._replace(fold=3, source_id="x") for clip in data.clips[:3])])
    selection = select_clips(RECORD._replace(hold_out_folds=[1, 2]), data, None)
    assert {clip.fold for clip in selection.train} == {3} and {clip.fold for clip in selection.test} == {1, 2}


def test_a_class_or_fold_that_is_not_there_is_named(urbansound8k):
    data = read_dataset(urbansound8k)
    with pytest.raises(TrainerError, match="no class whale"):
        select_clips(RECORD._replace(leave_out_classes=["whale"]), data, None)
    with pytest.raises(TrainerError, match="no fold 7, 9"):
        select_clips(RECORD._replace(hold_out_folds=[9, 1, 7]), data, None)


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        ({"foreign_reserve": ["rain5"]}, "--foreign-reserve rain5; expected CATEGORY:FOLD"),
        ({"foreign_reserve": ["rain:05"]}, "--foreign-reserve rain:05"),
        ({"foreign_reserve": ["rain:4"]}, "--foreign-reserve rain:4"),
        ({"foreign_skip": ["canine"]}, "no categories \\['canine'\\]"),
        ({"foreign_hold_out": ["Rain"]}, "no categories \\['Rain'\\]"),
    ],
)
def test_a_slip_in_what_is_kept_away_is_named_and_trains_on_nothing(urbansound8k, esc10, roles, complaint):
    record = RECORD._replace(foreign_data="ESC-10", **roles)
    with pytest.raises(TrainerError, match=complaint):
        select_clips(record, read_dataset(urbansound8k), read_dataset(esc10))
    with pytest.raises(TrainerError, match="give --foreign"):
        select_clips(record._replace(foreign_data=""), read_dataset(urbansound8k), None)


def test_roles_are_those_by_which_committed_results_name_their_configuration():
    """A field more among them, and no result of before would count as done."""
    kept = next((Path(trainer.__file__).parent / "results" / "ablation").glob("*/reference.*.json"))
    assert list(json.loads(kept.read_text())["settings"]["roles"]) == list(RECORD.roles)


def test_what_is_reserved_has_no_role(urbansound8k, esc10):
    record = RECORD._replace(foreign_data="ESC-10", foreign_reserve=["rain:5"])
    foreign = select_clips(record, read_dataset(urbansound8k), read_dataset(esc10)).foreign_train
    assert [(clip.category, clip.fold) for clip in foreign if clip.category == "rain"] == [("rain", 1)]


def test_the_data_must_be_what_the_run_was_begun_with(urbansound8k, esc10):
    record = RECORD._replace(labels=["car_horn", "siren"], leave_out_classes=["dog_bark"])
    known, other = read_datasets(record, urbansound8k, None)
    assert known.name == "UrbanSound8K" and other is None
    with pytest.raises(TrainerError, match="begun with"):
        read_datasets(record, esc10, None)


def test_records_are_kept_and_those_of_version_0_1_are_read(tmp_path):
    write_record(RECORD, tmp_path)
    assert read_record(tmp_path) == RECORD
    values = RECORD._asdict()
    del values["hold_out_folds"], values["leave_out_classes"]
    (tmp_path / "run.json").write_text(json.dumps({**values, "hold_out_fold": 2}))
    assert read_record(tmp_path) == RECORD
    (tmp_path / "run.json").write_text(json.dumps({**values, "hold_out_fold": 0}))
    assert read_record(tmp_path).hold_out_folds == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"hold_out_folds": "2"}, "hold_out_folds is '2'; expected a list of whole numbers"),
        ({"hold_out_folds": ["2"]}, "expected a list of whole numbers"),
        ({"folds": [True]}, "expected a list of whole numbers"),
        ({"folds": 3}, "folds|iterable"),
        ({"labels": {"siren": 1}}, "labels is .*; expected a list of texts"),
        ({"labels": [["siren"]]}, "expected a list of texts"),
        ({"data": None}, "data is None; expected a text"),
        ({"teachers": [1]}, "expected a list of texts"),
        ({"teachers": "abc"}, "teachers is 'abc'; expected a list of texts"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_record_of_other_kinds_of_values_is_named(tmp_path, damage, words):
    (tmp_path / "run.json").write_text(json.dumps({**RECORD._asdict(), **damage}))
    with pytest.raises(TrainerError, match=words) as refused:
        read_record(tmp_path)
    assert "run.json cannot be read" in str(refused.value) and "\n" not in str(refused.value)
    (tmp_path / "run.json").write_text("[" * 100000)
    with pytest.raises(TrainerError, match=r"run\.json cannot be read"):
        read_record(tmp_path)


def test_a_checkpoints_record_is_read_as_strictly_and_may_be_none():
    assert record_from_json(json.dumps(RECORD._asdict()), Path("c.pt")) == RECORD
    assert record_from_json("null", Path("c.pt")) is None
    for damaged in ("[", "7", '{"data": 1}', "[" * 100000):
        with pytest.raises(TrainerError, match=r"c\.pt carries a damaged record"):
            record_from_json(damaged, Path("c.pt"))
