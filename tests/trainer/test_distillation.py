"""Distillation: the teachers' mean, and no teacher that has heard what will judge the student."""

import json

import numpy as np
import pytest
import timm
import torch

from tests.trainer.made_runs import LABELS, make_predictions, make_run
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.cli import main
from trainer.distillation import Teachers, check_teacher, name_teachers, teachers_of
from trainer.errors import TrainerError
from trainer.evaluate import load_averaged_model
from trainer.frontend import LogMel
from trainer.run import RunRecord, read_record, write_record

BACKBONE = "test_efficientnet"
STUDENT = RunRecord("UrbanSound8K", LABELS, [1], "ESC-10", [], ["rain"], [], [])


def made_teacher(folder, **changes):
    """A record and a checkpoint that tell of the same run."""
    record = STUDENT._replace(**changes)
    run = make_run(folder, make_predictions([1]))
    (run / "run.json").unlink()
    write_record(record, run)
    state = load_checkpoint(run / "checkpoint.pt")
    save_checkpoint(run / "checkpoint.pt", {**state, "record": json.dumps(record._asdict())})
    return run


def test_a_teacher_that_held_out_as_much_or_more_may_teach(tmp_path):
    for number, changes in enumerate(({}, {"hold_out_folds": [1, 2]}, {"foreign_hold_out": ["rain", "rooster"]})):
        check_teacher(made_teacher(tmp_path / str(number), **changes), STUDENT)
    alone = made_teacher(tmp_path / "alone", foreign_data="", foreign_hold_out=[])
    check_teacher(alone, STUDENT)  # heard no foreign sound at all
    check_teacher(made_teacher(tmp_path / "other", hold_out_folds=[2]), STUDENT._replace(hold_out_folds=[]))


@pytest.mark.parametrize(
    "changes, complaint",
    [({"hold_out_folds": [2]}, "fold 1"), ({"hold_out_folds": []}, "fold 1"),
     ({"foreign_hold_out": []}, "foreign rain"), ({"data": "ESC-10"}, "trained on ESC-10")],
)  # fmt: skip
def test_a_teacher_that_heard_the_test_is_refused(tmp_path, changes, complaint):
    run = made_teacher(tmp_path / "t", **changes)
    with pytest.raises(TrainerError, match=complaint):
        check_teacher(run, STUDENT)
    with pytest.raises(TrainerError, match=complaint):
        teachers_of([run], STUDENT)


def test_a_teacher_that_knew_a_class_left_out_is_refused(tmp_path):
    with pytest.raises(TrainerError, match="class siren"):
        check_teacher(made_teacher(tmp_path / "t"), STUDENT._replace(leave_out_classes=["siren"]))


def test_a_record_that_was_changed_by_hand_is_not_believed(tmp_path):
    run = made_teacher(tmp_path / "t", hold_out_folds=[2])
    text = (run / "run.json").read_text().replace("2", "1")
    (run / "run.json").write_text(text)
    assert read_record(run).hold_out_folds == [1]
    with pytest.raises(TrainerError, match="tell of different runs"):
        check_teacher(run, STUDENT)


def test_of_many_those_teach_that_held_the_fold_out(tmp_path):
    runs = [made_teacher(tmp_path / str(fold), hold_out_folds=[fold]) for fold in (1, 2, 3)]
    assert teachers_of(runs, STUDENT._replace(hold_out_folds=[2])) == [runs[1]]
    names = name_teachers(runs)
    assert len(set(names)) == 3 and names[0].startswith("1@")
    with pytest.raises(TrainerError, match="is no run"):
        name_teachers([tmp_path / "nowhere"])


@pytest.fixture
def trained(tmp_path, urbansound8k, esc10):
    """Two teachers that held out fold 1, one that held out fold 2; and what trains a student."""
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")

    def fit(name, *more):
        return main([
            "--device", "cpu", "fit", "--data", str(urbansound8k), "--foreign", str(esc10),
            "--out", str(tmp_path / name), "--backbone", BACKBONE, "--epochs", "1", "--batch", "4",
            "--weights", str(tmp_path / "weights.pth"),
            "--foreign-hold-out", "rooster", "--set", "frontend.window_frames=33", *more,
        ])  # fmt: skip

    assert fit("first", "--hold-out-fold", "1") == 0 and fit("second", "--hold-out-fold", "1", "--seed", "1") == 0
    return tmp_path, fit


def test_a_student_learns_from_the_mean_of_its_teachers_and_remembers_them(trained, capsys):
    folder, fit = trained
    runs = [folder / "first", folder / "second"]
    teachers = ["--teacher", str(runs[0]), "--teacher", str(runs[1]), "--hold-out-fold", "1"]
    assert fit("student", *teachers, "--distil-weight", "0.7") == 0
    state = load_checkpoint(folder / "student" / "checkpoint.pt")
    assert state["history"][0]["distillation"] > 0
    assert json.loads(state["recipe"])["distil_weight"] == 0.7
    record = read_record(folder / "student")
    assert record.teachers == name_teachers(runs) and json.loads(state["record"])["teachers"] == list(record.teachers)
    assert fit("student", *teachers, "--distil-weight", "0.7") == 0  # finished: nothing left to do
    assert fit("student", "--hold-out-fold", "1") == 2  # another run, without teachers

    assert fit("alone", "--hold-out-fold", "1") == 0
    weights = [load_averaged_model(folder / name)[0].classifier.weight for name in ("student", "alone")]
    assert not torch.equal(*weights)

    recipe = load_averaged_model(runs[0])[1]._replace(distil_temperature=3.0)
    sound = torch.randn(2, recipe.frontend.window_samples, generator=torch.Generator().manual_seed(0)) * 0.1
    answers = Teachers(runs, record, recipe, 4, "cpu")(sound)
    expected = []
    for run in runs:
        model, own, _ = load_averaged_model(run)
        with torch.no_grad():
            expected.append((model.classify(model.embed(LogMel(own.frontend)(sound))) / 3.0).softmax(1))
    torch.testing.assert_close(answers, (expected[0] + expected[1]) / 2, atol=1e-6, rtol=0)
    assert np.allclose(answers.sum(dim=1), 1.0, atol=1e-5)
    with pytest.raises(TrainerError, match="foreign sound included"):
        Teachers(runs, record, recipe, 3, "cpu")


def test_a_teacher_that_heard_the_students_fold_is_refused_in_one_line(trained, capsys):
    folder, fit = trained
    assert fit("student", "--teacher", str(folder / "first"), "--hold-out-fold", "2") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "first was trained on what this run holds out (fold 2)" in error
    assert not (folder / "student" / "checkpoint.pt").exists()
    assert fit("student", "--distil-weight", "0.5", "--hold-out-fold", "1") == 2
    assert "needs teachers" in capsys.readouterr().err


def test_each_fold_of_a_cross_validation_has_the_teachers_that_held_it_out(trained, urbansound8k, esc10, capsys):
    folder, fit = trained
    assert fit("third", "--hold-out-fold", "2") == 0
    runs = [folder / name for name in ("first", "second", "third")]
    command = [
        "--device", "cpu", "crossval", "--data", str(urbansound8k), "--foreign", str(esc10), "--out",
        str(folder / "cv"), "--backbone", BACKBONE, "--epochs", "1", "--batch", "4", "--foreign-hold-out", "rooster",
        "--weights", str(folder / "weights.pth"), "--set", "frontend.window_frames=33",
    ]  # fmt: skip
    assert main([*command, *(word for run in runs for word in ("--teacher", str(run)))]) == 0
    for fold, taught in ((1, runs[:2]), (2, runs[2:])):
        assert read_record(folder / "cv" / ("fold-%d-seed-0" % fold)).teachers == name_teachers(taught)
