"""Cross-validation: which runs, resumed where it was killed, and the joint figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from trainer.cli import main
from trainer.crossval import Job, is_done, plan_jobs, run_jobs
from trainer.errors import TrainerError

BACKBONE = "test_efficientnet"


def test_outer_runs_come_first_and_nested_ones_are_all_pairs():
    jobs = plan_jobs([3, 1, 2], [0, 1], nested=True)
    assert [job.hold_out_folds for job in jobs[:3]] == [[1], [2], [3]] and len(jobs) == 2 * (3 + 3)
    assert sorted(job.hold_out_folds for job in jobs if job.seed == 1 and len(job.hold_out_folds) == 2) == [
        [1, 2],
        [1, 3],
        [2, 3],
    ]
    assert len({job.folder for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    "folds, seeds, nested", [([], [0], False), ([1, 2], [0], True), ([1, 1], [0], False), ([1, 2], [], False)]
)
def test_what_cannot_be_planned_is_refused(folds, seeds, nested):
    with pytest.raises(TrainerError, match="expected"):
        plan_jobs(folds, seeds, nested=nested)


def test_a_killed_cross_validation_goes_on_with_what_is_left(tmp_path):
    jobs, begun = plan_jobs([1, 2, 3], [0], nested=False), []

    def work(job: Job, folder):
        begun.append(job.folder)
        folder.mkdir(parents=True, exist_ok=True)
        if len(begun) == 2:
            raise KeyboardInterrupt
        (folder / "predictions.npz").write_bytes(b"")
        return {"accuracy": 1.0}

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, tmp_path, {"a": 1}, work, lambda line: None)
    run_jobs(jobs, tmp_path, {"a": 1}, work, lambda line: None)
    assert begun == ["fold-1-seed-0", "fold-2-seed-0", "fold-2-seed-0", "fold-3-seed-0"]
    assert all(is_done(tmp_path / job.folder) for job in jobs)
    result = json.loads((tmp_path / "fold-1-seed-0" / "result.json").read_text())
    assert result["job"]["hold_out_folds"] == [1] and result["figures"] == {"accuracy": 1.0}
    with pytest.raises(TrainerError, match=r"other settings \(a\)"):  # one that is no longer given is one too
        run_jobs(jobs, tmp_path, {}, work, lambda line: None)
    with pytest.raises(TrainerError, match=r"other settings \(a\)"):
        run_jobs(jobs, tmp_path, {"a": 2}, work, lambda line: None)
    (tmp_path / "crossval.json").write_text("{")
    with pytest.raises(TrainerError, match="is damaged"):
        run_jobs(jobs, tmp_path, {"a": 1}, work, lambda line: None)


def test_two_processes_share_the_runs_and_spoil_none(tmp_path):
    jobs, begun, told = plan_jobs([1, 2], [0], nested=False), [], []

    def work(job: Job, folder):
        begun.append(job.folder)
        if len(begun) == 1:  # while the first is at its run a second one comes along
            run_jobs(jobs, tmp_path, {"a": 1}, work, told.append)
        (folder / "predictions.npz").write_bytes(b"")
        return {}

    run_jobs(jobs, tmp_path, {"a": 1}, work, told.append)
    assert begun == ["fold-1-seed-0", "fold-2-seed-0"] and all(is_done(tmp_path / job.folder) for job in jobs)
    assert "1/2 fold-1-seed-0: another process is at it" in told and "2/2 fold-2-seed-0: done" in told


def test_from_data_to_joint_figures_and_a_report(tmp_path, urbansound8k, esc10, capsys):
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")
    command = ["--device", "cpu", "crossval", "--data", str(urbansound8k), "--foreign", str(esc10), "--epochs", "1"]
    command += ["--foreign-hold-out", "rooster", "--backbone", BACKBONE, "--batch", "4"]
    command += ["--weights", str(tmp_path / "weights.pth"), "--out", str(tmp_path / "cv")]
    assert main(command) == 0
    assert "6 clips of 6 recordings, folds [1, 2]" in capsys.readouterr().out
    checkpoint = tmp_path / "cv" / "fold-1-seed-0" / "checkpoint.pt"
    written = checkpoint.stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    assert checkpoint.stat().st_mtime_ns == written
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == 6 and figures["foreign"]["auroc_by_category"].keys() == {"rooster"}
    assert json.loads((tmp_path / "cv" / "crossval.json").read_text())["figures"] == figures
    assert main(["report", str(tmp_path / "cv")]) == 0
    assert (tmp_path / "cv" / "report.html").is_file()
    assert main([*command, "--learning-rate", "0.5"]) == 2
    assert "other settings (recipe)" in capsys.readouterr().err
    runs = [str(tmp_path / "cv" / ("fold-%d-seed-0" % fold)) for fold in (1, 2)]
    data = ["--data", str(urbansound8k), "--foreign", str(esc10)]
    assert main(["--device", "cpu", "foreign", str(tmp_path / "cv"), *data, "--neighbours", "--json"]) == 0
    foreign = json.loads(capsys.readouterr().out)
    assert foreign["runs"] == 2 and foreign["foreign_clips"] >= 1 and foreign["score"] == "energy"
    assert foreign["other_scores"].keys() == {"reject_logit", "neighbours", "distance"}
    check_robustness(str(tmp_path / "cv"), runs, urbansound8k, tmp_path / "figures.json", capsys)
    evaluate = ["--device", "cpu", "evaluate", runs[0], *data]
    assert main([*evaluate, "--with", runs[1]]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 6
    for wrong, complaint in (
        (["--ensemble", runs[0]], "is the same run as"),
        (["--with", runs[0]], "judges fold 1 a second time"),
        (["--with", runs[1], "--with", runs[1]], "judges fold 2 a second time"),
        (["--ensemble", runs[1]], "0 clips of known classes"),
    ):
        assert main([*evaluate, *wrong]) == 2
        assert complaint in capsys.readouterr().err
    export = ["export", runs[0], "--name", "x", "--selftest", str(urbansound8k), "--out", str(tmp_path / "bundle")]
    export += ["--description", "d", "--licence", "l"]
    assert main([*export, "--evaluated", str(tmp_path / "cv")]) == 2  # both its runs are taken; its sound is a folder
    assert "cannot be read" in capsys.readouterr().err
    export += ["--evaluated", runs[1]]
    assert main([*export, "--evaluated", runs[1]]) == 2
    assert "judges fold 2 a second time" in capsys.readouterr().err
    path = Path(runs[1]) / "predictions.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "logits": arrays["logits"][:, :3], "cut_logits": arrays["logits"][:, :3]})
    for command in (export, [*evaluate, "--with", runs[1]], [*evaluate, "--ensemble", runs[1]]):
        assert main(command) == 2
        assert "has an output of foreign sound (4 outputs)" in capsys.readouterr().err


def check_robustness(folder, runs, data, out, capsys):
    """Two folds' runs against themselves: no difference; a run counts once, and a bundle alone."""
    arguments = ["--data", str(data), "--out", str(out)]
    against = [word for run in runs for word in ("--against", run)]
    assert main(["--device", "cpu", "robustness", folder, *against, *arguments]) == 0
    assert "loses less" in capsys.readouterr().out
    figures, singles = json.loads(out.read_text()), []
    for run in runs:
        assert main(["--device", "cpu", "robustness", run, *arguments, "--json"]) == 0
        singles.append(json.loads(capsys.readouterr().out))
    assert figures["clips"] == sum(single["clips"] for single in singles) == 6
    for number, row in enumerate(figures["conditions"]):
        right = [single["conditions"][number]["accuracy"] * single["clips"] for single in singles]
        assert row["accuracy"] == pytest.approx(sum(right) / 6)
    assert {row["accuracy_more"] for row in figures["against"]["paired"]} == {0.0}
    for models, words in (
        ([runs[0], folder], "judges fold 1 with seed 0 a second time"),
        ([runs[0], "engines/urban"], "a bundle is judged alone"),
    ):
        assert main(["robustness", *models, *arguments]) == 2
        assert words in capsys.readouterr().err
