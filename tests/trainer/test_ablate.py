"""The ablation: rows as recipes, results that are skipped or refused, the paired table, and a kill in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from tests.trainer.made_runs import make_predictions, make_run
from trainer.ablation.results import (
    Cell,
    Result,
    Store,
    _read_statements,
    compact_answers,
    digest_code,
    read_result,
)
from trainer.ablation.rows import ROWS, describe_row, list_rows, row_recipe
from trainer.ablation.runs import plan_cells, work_through
from trainer.ablation.table import build_table, write_markdown
from trainer.cli import build_parser, main
from trainer.commands.ablation_plan import plan_runs
from trainer.data.clips import Clip, Dataset
from trainer.distillation import name_teachers
from trainer.errors import TrainerError
from trainer.evaluate import Predictions
from trainer.folder_lock import hold
from trainer.recipe import Recipe
from trainer.recipes import RECIPES, find_recipe, list_differences

REPOSITORY = Path(__file__).resolve().parents[2]
BACKBONE = "test_efficientnet"
LABELS = ["a", "b"]


def test_every_row_is_a_recipe_of_its_own():
    recipes = {name: row_recipe(name, Recipe()) for name in list_rows()}
    assert recipes["reference"] == Recipe() and recipes["trial"] == RECIPES["trial"]
    assert recipes["ce"] == Recipe(scheme="ce")
    assert recipes["no-mixing"].augmentation == Recipe().augmentation._replace(mix_p=0.0)
    assert recipes["fixed-reference"].frontend.reference == "fixed"
    alike = [name for name in recipes if not list_differences(recipes[name], Recipe())]
    assert alike == ["reference", "hybrid", "street"]  # the reference's own scheme, and its name in the other table
    assert len({row.name for row in ROWS}) == len(ROWS) and all(describe_row(name) for name in recipes)


def test_rows_change_the_recipe_that_they_are_given():
    reference = Recipe(scheme="ce", epochs=3)
    assert row_recipe("hybrid", reference) == reference._replace(scheme="hybrid")
    longer = find_recipe("street-esc")  # 5 s, batches of 32, 60 epochs
    views, finer = row_recipe("two-views", longer), row_recipe("finer-time", longer)
    assert (views.views, views.batch, views.epochs) == (2, 16, 30)
    assert finer.frontend.window_samples == pytest.approx(longer.frontend.window_samples, abs=256)
    assert finer.augmentation.time_mask_frames == 2 * longer.augmentation.time_mask_frames
    with pytest.raises(TrainerError, match="no row 'whisper'"):
        row_recipe("whisper", reference)


def data_set(n=40):
    clips = [Clip(Path("%d.wav" % i), LABELS[i % 2], 1 + i // (n // 2), "s%d" % (i // 4)) for i in range(n)]
    return Dataset("Street Sounds", clips)


def store_with(folder, **right_by_row):
    """Results of rows whose answers are right with a probability, for two folds of twenty clips."""
    store, data = Store(folder), data_set()
    store.write_clips(data, LABELS)
    folds = store.read_clips(data.name)["folds"]
    for row, (right, seeds) in right_by_row.items():
        for fold, seed in [(fold, seed) for fold in (1, 2) for seed in seeds]:
            rng = np.random.default_rng((fold, seed, len(row)))
            truth = np.array(folds[str(fold)]["labels"])
            predicted = np.where(rng.random(20) < right, truth, 1 - truth).tolist()
            made = {"torch": "torch 2", "device": "cpu"}
            cell = Cell(data.name, row, fold, seed)
            store.write(Result(cell, "text", "c" + row, "k", {}, made, predicted, [500] * 20, 0.9, 3, 1.0))
    return store


def test_a_result_is_skipped_if_alike_and_refused_if_not(tmp_path):
    store = store_with(tmp_path, plain=(0.5, [0]))
    cell = Cell("Street Sounds", "plain", 1, 0)
    assert store.has(cell, "cplain", "k") and not store.has(cell._replace(seed=1), "cplain", "k")
    with pytest.raises(TrainerError, match="another configuration"):
        store.has(cell, "other", "k")
    with pytest.raises(TrainerError, match="other code"):
        store.has(cell, "cplain", "newer")
    assert store.has(cell, "cplain", "newer", any_code=True)
    assert read_result(store.path(cell)).cell == cell
    assert store.path(cell).stat().st_size < 2000
    with pytest.raises(TrainerError, match="lists other clips"):
        store.write_clips(data_set(44), LABELS)
    store.path(cell).write_text("{")
    with pytest.raises(TrainerError, match="cannot be read"):
        store.read()


def own_recordings():
    files = [(label, fold) for fold in (1, 2) for label in LABELS]
    clips = [Clip(Path("%s/%d.wav" % one), one[0], one[1], "%s%d" % one, "%s/%d" % one) for one in files]
    return Dataset("Own", clips)


def test_own_recordings_of_one_file_name_keep_apart_and_lists_of_an_earlier_commit_are_taken(tmp_path):
    store, data = Store(tmp_path), own_recordings()
    store.write_clips(data, LABELS)
    clips = store.read_clips("Own")
    assert clips["folds"]["1"]["names"] == ["a/1", "b/1"]
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    said = Predictions(
        logits,
        np.array([0, 1]),
        np.ones(2, int),
        np.array(["a1", "b1"]),
        np.array(LABELS),
        logits,
        np.array(["a/1", "b/1"]),
    )
    assert compact_answers(said, clips, 1)[0] == [0, 1]
    with pytest.raises(TrainerError, match="other clips of fold 1"):
        compact_answers(said._replace(names=np.array(["b/1", "a/1"])), clips, 1)
    path = tmp_path / "own" / "clips.json"
    path.write_text(path.read_text().replace('"a/', '"').replace('"b/', '"'))  # as files alone were named
    assert store.read_clips("Own")["folds"]["1"]["names"] == ["1", "1"]
    store.write_clips(data, LABELS)
    assert store.read_clips("Own") == clips


def test_two_data_sets_of_one_name_are_not_mixed(tmp_path, command, capsys, urbansound8k):
    assert main(command("r", "--data", str(urbansound8k))) == 2
    assert "second data set of the name UrbanSound8K" in capsys.readouterr().err


@pytest.mark.parametrize("reference", ["reference", "trial"])
def test_the_committed_results_still_give_the_committed_tables(tmp_path, reference):
    committed = REPOSITORY / "trainer" / "results" / "ablation"
    shutil.copytree(committed, tmp_path / "results")
    command = ["ablate", "--table-only", "--reference", reference, "--results", str(tmp_path / "results")]
    assert main(command) == 0
    name = "table.md" if reference == "reference" else "table-against-trial.md"
    assert (tmp_path / "results" / name).read_text() == (committed / name).read_text()


def test_differences_are_paired_on_the_runs_that_both_have(tmp_path):
    store = store_with(tmp_path, reference=(0.5, [0, 1, 2]), better=(1.0, [1]))
    rows = build_table(store, "reference")["data"]["Street Sounds"]
    assert [row["row"] for row in rows] == ["reference", "better"]
    reference, better = rows
    assert reference["difference"] is None and reference["runs"] == 6 and reference["clips"] == better["clips"] == 40
    ours = [read_result(store.path(Cell("Street Sounds", "reference", fold, 1))).predicted for fold in (1, 2)]
    truth = [store.read_clips("Street Sounds")["folds"][str(fold)]["labels"] for fold in (1, 2)]
    expected = 1 - np.mean([np.mean(np.array(one) == other) for one, other in zip(ours, truth, strict=True)])
    assert better["difference"]["accuracy"] == pytest.approx(expected) and better["difference"]["runs"] == 2
    low, high = better["difference"]["by_source"]
    assert 0 < low < expected < high and better["accuracy"]["value"] == better["macro_f1"]["value"] == 1.0
    assert better["best_epoch"] == pytest.approx(0.9)


def test_a_row_against_itself_differs_by_nothing(tmp_path):
    store = store_with(tmp_path, alike=(0.7, [0]), equal=(0.7, [0]))  # names as long: the same draws
    row = build_table(store, "alike")["data"]["Street Sounds"][1]
    assert row["difference"]["accuracy"] == 0.0 and row["difference"]["by_source"] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "said", "with_it"),
    [
        ({"code": "newer"}, "different code", "optimistic"),
        ({"configuration": "shorter"}, "different configurations", "`other` cother, shorter"),
    ],
)
def test_the_table_says_where_code_or_configurations_are_mixed(tmp_path, changes, said, with_it):
    store = store_with(tmp_path, one=(0.5, [0]), other=(0.5, [0]))
    assert said not in write_markdown(build_table(store, "one"))
    cell = Cell("Street Sounds", "other", 1, 0)
    store.write(read_result(store.path(cell))._replace(**changes))
    text = write_markdown(build_table(store, "one"))
    assert said in text and with_it in text


def test_no_two_processes_are_at_one_run(tmp_path):
    cells = plan_cells("d", {"x": [0], "y": [0]}, [1, 2])
    done: list[Cell] = []
    with hold(tmp_path / "x1") as held:  # as another process would
        assert held

        def folder_of(cell):
            return tmp_path / ("%s%d" % (cell.row, cell.fold))

        left = work_through(cells, lambda cell: cell in done, folder_of, lambda cell, folder: done.append(cell))
    assert left == 1 and done == cells[1:]
    assert work_through(cells, lambda cell: cell in done, folder_of, lambda cell, folder: done.append(cell)) == 0


def test_the_hash_of_the_code_changes_with_what_it_does_and_not_with_its_words(tmp_path):
    def statements(text):
        path = tmp_path / "one.py"
        path.write_text(text)
        return list(_read_statements(path))

    plain = statements("def f(x):\n    return x + 1\n")
    told = '"""Of f."""\n\n\ndef f(x):  # adds\n    """Adds."""\n\n    return x + 1  # one\n'
    assert plain == statements(told)
    assert plain != statements("def f(x):\n    return x + 2\n")
    assert len({digest_code(), digest_code(), digest_code(teaching=True)}) == 2


@pytest.fixture
def command(tmp_path, urbansound8k, esc10):
    torch.manual_seed(0)
    torch.save(timm.create_model(BACKBONE, num_classes=10).state_dict(), tmp_path / "weights.pth")

    def build(results, *more):
        return [
            "--device", "cpu", "--threads", "1", "ablate", "--data", str(urbansound8k), "--foreign", str(esc10),
            "--rows", "ce,mixup", "--seeds", "0", "--epochs", "2", "--batch", "4",
            "--foreign-batch", "2", "--backbone", BACKBONE,
            "--weights", str(tmp_path / "weights.pth"), "--results", str(tmp_path / results),
            "--set", "frontend.window_frames=33", "--best-epoch", "--out", str(tmp_path / ("runs-" + results)), *more,
        ]  # fmt: skip

    return build


def answers(folder):
    """All that the runs said."""
    return {
        str(p.relative_to(folder)): (read_result(p).predicted, read_result(p).probability)
        for p in folder.glob("*/*.seed-*")
    }


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_to_the_same_table(tmp_path, command, capsys):
    killed = subprocess.Popen(
        [sys.executable, "-m", "trainer", *command("killed")], cwd=REPOSITORY, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    folder, deadline = tmp_path / "killed" / "urbansound8k", time.monotonic() + 600
    try:
        while not list(folder.glob("*.seed-0.json")) and time.monotonic() < deadline and killed.poll() is None:
            time.sleep(0.02)
    finally:
        killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert 1 <= len(list(folder.glob("*.seed-0.json"))) < 6

    assert main(command("killed")) == 0 and main(command("whole", "--jobs", "2", "--discard")) == 0
    assert answers(tmp_path / "killed") == answers(tmp_path / "whole") and len(answers(tmp_path / "whole")) == 6
    tables = [(tmp_path / name / "table.md").read_text() for name in ("killed", "whole")]
    assert tables[0] == tables[1] and "`ce`" in tables[0]
    assert not list((tmp_path / "runs-whole").rglob("checkpoint.pt"))
    capsys.readouterr()

    assert main(command("whole", "--json")) == 0  # nothing left to do: the table alone
    table = json.loads(capsys.readouterr().out)
    rows = {row["row"]: row for row in table["data"]["UrbanSound8K"]}
    assert rows.keys() == {"reference", "ce", "mixup"} and rows["ce"]["difference"]["runs"] == 2
    assert rows["ce"]["best_epoch"] is not None
    results = ["--results", str(tmp_path / "whole")]
    assert main(["ablate", "--table-only", "--reference", "ce", *results]) == 0
    against = json.loads((tmp_path / "whole" / "table-against-ce.json").read_text())["data"]["UrbanSound8K"]
    assert against[0]["row"] == "ce" and against[0]["difference"] is None
    difference = next(row for row in against if row["row"] == "reference")["difference"]["accuracy"]
    assert difference == pytest.approx(-rows["ce"]["difference"]["accuracy"])
    capsys.readouterr()
    assert main(command("whole", "--learning-rate", "0.5")) == 2
    assert "another configuration" in capsys.readouterr().err


def test_a_run_that_fails_leaves_the_others_and_is_named(tmp_path, command, capsys):
    diverging = [
        "--rows",
        "ce,batches-of-classes",
        "--folds",
        "1",
        "--epochs",
        "1",
        "--batch",
        "8",
    ]  # 8 classes, where there are 3
    assert main(command("r", *diverging)) == 1
    out, err = capsys.readouterr()
    assert "`ce`" in out and "batches-of-classes" not in out
    assert "at most 3 classes" in err and err.strip().splitlines()[-1].startswith("not in the table")
    assert len(answers(tmp_path / "r")) == 2


def test_from_chance_takes_no_weights(tmp_path, command):
    plans = plan_runs(build_parser().parse_args(command("r", "--rows", "from-chance")))
    weights = {cell.row: plan.settings["weights"] for cell, plan in plans.items()}
    assert weights["from-chance"] is None and len(weights["reference"]) == 64


def test_teachers_teach_the_distilled_row_alone(tmp_path, command):
    teacher = make_run(tmp_path / "teacher", make_predictions([1]))
    options = build_parser().parse_args(command("r", "--rows", "distilled,trial", "--teacher", str(teacher)))
    plans = plan_runs(options)
    weights = {cell.row: plan.recipe.distil_weight for cell, plan in plans.items()}
    assert weights == {"reference": 0.0, "distilled": 0.5, "trial": 0.0}
    taught = {cell.row: plan.settings["roles"]["teachers"] for cell, plan in plans.items()}
    assert taught == {"reference": [], "distilled": list(name_teachers([teacher])), "trial": []}


def test_options_reach_all_rows_and_a_row_keeps_its_own_change(tmp_path, command):
    plans = plan_runs(build_parser().parse_args(command("r", "--rows", "two-views,trial,ce", "--seeds", "0,4")))
    recipes = {cell.row: plan.recipe for cell, plan in plans.items()}
    assert len(plans) == 2 * 2 * 4 and {cell.seed for cell in plans} == {0, 4}
    assert {row: recipe.epochs for row, recipe in recipes.items()} == {**dict.fromkeys(recipes, 2), "two-views": 1}
    assert all(recipe.frontend.window_frames == 33 for recipe in recipes.values())
    assert recipes["two-views"].views == 2
    assert (recipes["two-views"].batch, recipes["ce"].batch, recipes["trial"].batch) == (2, 4, 4)
    assert recipes["trial"].schedule == "one_cycle" and recipes["trial"].foreign_batch == 2


def test_headline_rows_have_three_seeds_unless_told_and_seed_0_of_all_comes_first(command):
    words = command("r", "--rows", "ce,mixup")
    at = words.index("--seeds")
    cells = list(plan_runs(build_parser().parse_args(words[:at] + words[at + 2 :])))
    assert {row: sorted({cell.seed for cell in cells if cell.row == row}) for row in ("reference", "ce", "mixup")} == {
        "reference": [0, 1, 2],
        "ce": [0, 1, 2],
        "mixup": [0],
    }
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_what_cannot_be_ablated_is_one_line(tmp_path, command, capsys):
    assert main(command("r", "--rows", "whisper")) == 2
    assert "no row 'whisper'" in capsys.readouterr().err
    assert main(command("r", "--folds", "9")) == 2
    assert "no fold of [9]" in capsys.readouterr().err
    assert main(["ablate", "--results", str(tmp_path / "r")]) == 2
    assert "no data set" in capsys.readouterr().err
    assert main(command("r", "--table-only")) == 2
    assert "holds no result" in capsys.readouterr().err


def test_the_reference_row_names_the_recipe_that_it_began_from(tmp_path):
    store = store_with(tmp_path, reference=(0.9, [0]), other=(0.5, [0]))
    for fold in (1, 2):
        cell = Cell("Street Sounds", "reference", fold, 0)
        store.write(read_result(store.path(cell))._replace(settings={"recipe": {"name": "street-esc"}}))
    text = write_markdown(build_table(store, "reference"))
    assert "| `reference` | text, `street-esc` |" in text and "| `other` | text |" in text
