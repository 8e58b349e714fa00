"""Whatever is given: one line that names it, what was expected and how to mend it; no traceback, no half-made run."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from engines.windows import SHORT_CLIP_RULES
from tests.trainer.made_runs import make_predictions, make_run
from trainer.ablation.rows import list_rows, row_recipe
from trainer.checkpoint import load_checkpoint
from trainer.cli import main
from trainer.errors import TrainerError
from trainer.evaluate import join_predictions, load_averaged_model, save_predictions
from trainer.fit import Fit
from trainer.recipe import Recipe, check_recipe, recipe_from_json, recipe_to_mapping
from trainer.recipe_ranges import CHOICES, RANGES
from trainer.recipes import RECIPES, change_recipe, list_fields, read_settings
from trainer.robustness import read_noises
from trainer.stages import PRECISIONS, SCHEMES

TINY = ["--backbone", "test_efficientnet", "--from-chance", "--batch", "4", "--set", "frontend.window_frames=33"]


def refusal(capsys, arguments):
    """The one line by which a command refuses what it is given."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("soundclr-train: ")]
    assert len(lines) == 1
    return lines[0]


def write_recordings(folder, rows):
    """A table of own recordings: path, label, fold, source."""
    folder.mkdir()
    with open(folder / "recordings.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label", "fold", "source"], *rows])
    return folder


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--device", "foo"], "--device 'foo'; expected cpu, cuda, or cuda:N"),
        (["--device", ""], "--device ''; expected cpu"),
        (["--device", "meta"], "--device 'meta'; expected cpu"),
        (["--device", "cuda:99"], "--device cuda:99, but "),
        (["--threads", "-1"], "--threads -1; expected 0 (all cores) to 1024"),
        (["--threads", "99999999"], "--threads 99999999; expected"),  # of which PyTorch would die
    ],
)
def test_a_machine_that_is_not_here(capsys, options, complaint):
    assert complaint in refusal(capsys, [*options, "recipe"])


def test_a_gpu_where_there_is_none(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "PyTorch finds no GPU here" in refusal(capsys, ["--device", "cuda", "recipe"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "there are 2 GPUs; expected cuda:0 to cuda:1" in refusal(capsys, ["--device", "cuda:2", "recipe"])


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--workers", "-1"], "--workers -1; expected 0"),
        (["--epochs", "0"], "recipe field epochs is 0; expected at least 1"),
        (["--seed", "-1"], "recipe field seed is -1; expected at least 0"),
        (["--batch", "-4"], "recipe field batch is -4; expected at least 2"),
        (["--set", "dropout=2"], "recipe field dropout is 2; expected at least 0 and below 1"),
        (["--learning-rate", "nan"], "recipe field learning_rate is NaN; expected above 0"),
        (["--set", "augmentation.gain_db=[6, -30]"], "augmentation.gain_db is [6, -30]; expected the lower one first"),
        (["--set", "frontend.n_mels=0"], "n_mels is 0; expected 1 to 512"),
        (["--scheme", "supcon", "--classifier-epochs", "0"], "at least 1 with scheme supcon"),
        (["--classes-per-batch", "3"], "recipe field batch is 4; expected a multiple of classes_per_batch, 3"),
        (["--hold-out-fold", "0"], "no fold 0 to hold out"),
    ],
)
def test_a_run_that_cannot_be_leaves_no_record(capsys, tmp_path, urbansound8k, options, complaint):
    command = ["fit", "--data", str(urbansound8k), "--out", str(tmp_path / "run"), *TINY, *options]
    assert complaint in refusal(capsys, command)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("command", ["crossval", "ablate"])
def test_a_seed_is_refused_before_the_runs_of_the_others(capsys, tmp_path, urbansound8k, command):
    results = ["--results", str(tmp_path / "results")] if command == "ablate" else []
    given = ["--data", str(urbansound8k), "--out", str(tmp_path / "runs"), *results, *TINY, "--seeds", "0,-1"]
    assert "recipe field seed is -1" in refusal(capsys, [command, *given])
    assert not (tmp_path / "runs").exists()


def test_a_fold_that_is_not_there_is_refused_before_the_runs_of_the_others(capsys, tmp_path, urbansound8k):
    given = ["--data", str(urbansound8k), "--out", str(tmp_path / "runs"), *TINY, "--folds", "1,9"]
    assert "has no fold 9 to hold out" in refusal(capsys, ["crossval", *given])
    assert "no data set has fold 9" in refusal(capsys, ["ablate", *given, "--results", str(tmp_path / "results")])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "setting",
    ["epochs=1.5", "epochs=true", "batch=1", "views=0", "classes_per_batch=-1", "foreign_batch=-1", "learning_rate=0",
     "learning_rate=Infinity", "learning_rate=1e400", "classifier_learning_rate=-1", "weight_decay=-1", "warm_up=1.5",
     "alpha=2", "temperature=0", "ema_decay=1", "ema_decay=1.5", "source_balance=2", "projection_dim=0", "dropout=1",
     "feature_dropout=-0.1", "drop_path=NaN", "logit_scale=0", "label_smoothing=1", "mixup=-1", "lr_decay=0",
     "distil_weight=1.1", "distil_temperature=0", "scheme=clr", "precision=float16", "in_channels=2", "short_clip=loop",
     "augmentation.mix_p=1.5", "augmentation.cut_min_s=0", "augmentation.mix_beta=0", "augmentation.warp_tempo=1",
     "augmentation.frequency_masks=-1", "augmentation.frequency_masks=1000000000", "augmentation.time_mask_frames=-1",
     "augmentation.scale_max=0.5", "augmentation.background_snr_db=[30,3]", "augmentation.gain_db=[NaN,0]",
     'augmentation.gain_db=["a","b"]', "augmentation.filter_bands=[0,6]", "augmentation.filter_bands=[3.5,6]",
     "augmentation.mixstyle_alpha=0", "augmentation.mix_snr_db=null", "learning_rate=1" + "0" * 400],
)  # fmt: skip
def test_a_field_out_of_its_range_is_named(setting):
    name = setting.partition("=")[0]
    with pytest.raises(TrainerError, match="recipe field %s is .*; expected " % name):
        change_recipe(Recipe(), read_settings([setting]))


@pytest.mark.parametrize(
    "setting, complaint",
    [
        ("frontend.n_mels=0", "n_mels is 0"),
        ("frontend.hop_length=0", "hop_length is 0"),
        ("frontend.fmax_hz=20000", "half the sample rate"),
        ("frontend.top_db=NaN", "top_db"),
    ],
)
def test_a_front_end_that_cannot_be_computed(setting, complaint):
    with pytest.raises(TrainerError, match=complaint):
        check_recipe(change_recipe(Recipe(), read_settings([setting])))


@pytest.mark.parametrize(
    "name, value",
    [("seed", True), ("seed", -1), ("epochs", "20"), ("epochs", 1.5), ("alpha", math.nan), ("name", None),
     ("augmentation", {"mix_p": 2.0}), ("augmentation", []), ("frontend", {"n_mels": 64})],
)  # fmt: skip
def test_a_checkpoints_recipe_is_looked_at_too(name, value):
    values = recipe_to_mapping(Recipe())
    if isinstance(value, dict) and name == "augmentation":
        value = {**values["augmentation"], **value}
    with pytest.raises(TrainerError, match="the checkpoint's recipe is not one of this version .*; train again"):
        recipe_from_json(json.dumps({**values, name: value}))


def test_every_number_of_a_recipe_has_a_range_and_every_recipe_of_ours_lies_in_them():
    numbers = [name for name, value in list_fields().items() if type(value) in (int, float, tuple)]
    own = [name for name in numbers if not name.startswith("frontend.")]
    assert not set(own) - set(RANGES) - set(CHOICES) and not (set(RANGES) | set(CHOICES)) - set(list_fields()) - {
        "seed"
    }
    assert CHOICES["scheme"] == SCHEMES and CHOICES["precision"] == PRECISIONS
    assert CHOICES["short_clip"] == SHORT_CLIP_RULES
    for recipe in [*RECIPES.values(), *(row_recipe(name, Recipe()) for name in list_rows())]:
        assert check_recipe(recipe) is recipe
        assert recipe_from_json(json.dumps(recipe_to_mapping(recipe))) == recipe


def test_a_street_without_recordings_is_no_made_up_one(tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name, complaint in (("missing", "cannot be listed"), ("file", "cannot be listed"), ("empty", "no recording")):
        with pytest.raises(TrainerError, match="--street .*%s.*%s" % (name, complaint)):
            read_noises(tmp_path / name, 22050)


def test_a_place_that_takes_no_results_is_named_before_the_work(capsys, tmp_path, urbansound8k):
    file, data = tmp_path / "file", ["--data", str(urbansound8k)]
    file.touch()
    for arguments in (
        ["crossval", *data, "--out", str(file), *TINY],
        ["crossval", *data, "--out", str(file / "below"), *TINY],
        ["ablate", *data, "--results", str(file)],
        ["ablate", *data, "--results", str(tmp_path), "--out", str(file)],
        ["report", str(tmp_path), "--out", str(file)],
        ["quantise", "engines/urban", *data, "--out", str(file / "below")],
    ):
        assert "%s is no folder; give another" % file in refusal(capsys, arguments)
    for arguments in (["robustness", "engines/urban", *data, "--out"], ["data", str(urbansound8k), "--write-table"]):
        assert "is a folder; expected the name of a file" in refusal(capsys, [*arguments, str(tmp_path)])
        assert "there is no folder" in refusal(capsys, [*arguments, str(tmp_path / "no" / "x")])


def test_a_disk_that_says_no_is_one_line(capsys, monkeypatch, tmp_path, urbansound8k):
    def full(*_):
        raise OSError(28, "No space left on device", "x.csv")

    monkeypatch.setattr("trainer.commands.data.write_table", full)
    command = ["data", str(urbansound8k), "--write-table", str(tmp_path / "x.csv")]
    assert "No space left on device: 'x.csv'; see that" in refusal(capsys, command)


@pytest.mark.parametrize("epochs_before", [0, 1])
def test_an_interrupt_says_what_is_left(capsys, monkeypatch, tmp_path, urbansound8k, epochs_before):
    train_epoch = Fit._train_epoch

    def interrupted(self, progress):
        if self.epoch == epochs_before:
            raise KeyboardInterrupt
        return train_epoch(self, progress)

    command = ["fit", "--data", str(urbansound8k), "--out", str(tmp_path / "run"), *TINY, "--epochs", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_train_epoch", interrupted)
        assert main(command) == 130
    said = capsys.readouterr().err
    left = "goes on after the last whole epoch" if epochs_before else "no epoch was finished yet"
    assert left in said and (tmp_path / "run" / "checkpoint.pt").exists() == bool(epochs_before)
    assert main(command) == 0


@pytest.mark.parametrize("command", ["crossval", "ablate", "report"])
def test_an_interrupt_of_other_commands(capsys, monkeypatch, tmp_path, urbansound8k, command):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "trainer.commands.%s.%s" % (command, "load_subject" if command == "report" else "train"), interrupt
    )
    given = {
        "crossval": ["--data", str(urbansound8k), "--out", str(tmp_path / "runs"), *TINY],
        "ablate": ["--data", str(urbansound8k), "--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results"),
                   "--rows", "ce", *TINY],
        "report": [str(tmp_path)],
    }[command]  # fmt: skip
    assert main([command, *given]) == 130
    left = "begins again" if command == "report" else "finished runs stay"
    assert left in capsys.readouterr().err


def test_folds_that_lack_a_class(capsys, caplog, tmp_path, fixtures, esc10):
    rows = [(fixtures / "siren-90014.ogg", "siren", 1, "a"), (fixtures / "siren-111671.ogg", "siren", 2, "b"),
            (fixtures / "dog-191687.ogg", "dog", 1, "c"), (fixtures / "dog-192236.ogg", "dog", 3, "d"),
            (fixtures / "car_horn-175855.ogg", "horn", 3, "e")]  # fmt: skip
    data = ["--data", str(write_recordings(tmp_path / "own", rows))]
    fit = ["fit", *data, "--out", str(tmp_path / "run"), *TINY, "--epochs", "1", "--hold-out-fold"]
    assert "no training clip of class horn once fold 3 is held out; expected at least one of each" in refusal(
        capsys, [*fit, "3"]
    )
    assert not (tmp_path / "run" / "run.json").exists()
    crossval = ["crossval", *data, "--out", str(tmp_path / "runs"), *TINY]
    assert "once fold 3 is held out" in refusal(capsys, crossval) and not (tmp_path / "runs").exists()
    no_foreign = ["--foreign", str(esc10)] + [
        word for name in ("rain", "rooster", "clock_tick") for word in ("--foreign-skip", name)
    ]
    assert main([*fit, "2", *no_foreign]) == 0
    assert "fold 2 holds no clip of class dog, horn" in caplog.text
    assert "no clip of ESC-10 is left to train on" in caplog.text
    everything = [word for label in ("siren", "dog", "horn") for word in ("--leave-out-class", label)]
    assert "every class of own is left out" in refusal(capsys, [*fit, "2", *everything])


@pytest.mark.parametrize(
    "name, value",
    [("logits", np.zeros((3, 2))), ("logits", np.zeros(3)), ("labels", np.zeros(1, int)), ("labels", np.array(["a"])),
     ("labels", np.full(80, 99)), ("folds", np.array(3)), ("cut_logits", np.zeros((1, 1))), ("names", np.array(["a"])),
     ("logits", np.full((80, 4), np.nan))],
)  # fmt: skip
def test_predictions_whose_arrays_do_not_go_together(capsys, tmp_path, name, value):
    run = make_run(tmp_path / "run", make_predictions([1]))
    assert main(["report", str(run)]) == 0
    save_predictions(make_predictions([1])._replace(**{name: value}), run)
    assert "predictions.npz cannot be read" in refusal(capsys, ["report", str(run)])


def test_runs_of_which_one_has_no_output_of_foreign_sound():
    first, second = make_predictions([1]), make_predictions([2])
    without = second.select(second.labels >= 0)
    without = without._replace(logits=without.logits[:, :3], cut_logits=without.cut_logits[:, :3])
    with pytest.raises(TrainerError, match="the runs have 3 and 4 outputs; expected the same"):
        join_predictions([first, without])


@pytest.mark.parametrize(
    "name, value",
    [("epoch", "x"), ("labels", 3), ("recipe", 3), ("averaged", 3), ("model", 3), ("epoch", None), ("log", 3)],
)
def test_a_checkpoint_of_which_a_part_is_of_another_kind_or_missing(tmp_path, name, value):
    whole = {"recipe": "{}", "labels": ["a"], "epoch": 1}
    torch.save(whole, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "checkpoint.pt") == whole
    torch.save({**whole, name: value}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainerError, match="is damaged: another kind of %s" % name):
        load_checkpoint(tmp_path / "checkpoint.pt")
    torch.save({**whole, "recipe": json.dumps(recipe_to_mapping(Recipe()))}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainerError, match="lacks averaged; train it again"):
        load_averaged_model(tmp_path)


@pytest.mark.parametrize(
    "change, complaint",
    [({"predicted": 3}, "another kind of predicted"), ({"predicted": [1]}, "answers 1 clips where fold 1 of D has 2"),
     ({"predicted": [0, 9]}, "classes that are not there"), ({"predicted": ["a", "b"]}, "no numbers of classes"),
     ({"made_with": {}}, "no torch and device"), ({"code": None}, "another kind of code"),
     ({"best_epoch_accuracy": "x"}, "best_epoch_accuracy"), ({"cell": {"data": "D"}}, "is no result"),
     ({"cell": {"data": "D", "row": "ce", "fold": "1", "seed": 0}}, "another kind of fold"), ({"schema": 9}, "schema")],
)  # fmt: skip
def test_a_result_of_the_ablation_that_was_tampered_with(capsys, tmp_path, change, complaint):
    folder = tmp_path / "d"
    folder.mkdir()
    fold = {"names": ["x", "y"], "labels": [0, 1], "sources": ["s", "t"]}
    (folder / "clips.json").write_text(json.dumps({"schema": 1, "labels": ["a", "b"], "folds": {"1": fold}}))
    result = {
        "schema": 1, "cell": {"data": "D", "row": "ce", "fold": 1, "seed": 0}, "text": "", "configuration": "c",
        "code": "d", "settings": {}, "made_with": {"torch": "t", "device": "cpu"}, "predicted": [0, 1],
        "probability": [1, 2], "best_epoch_accuracy": None, "epochs": 1, "seconds": 1.0,
    }  # fmt: skip
    path, command = folder / "ce.fold-1.seed-0.json", ["ablate", "--table-only", "--results", str(tmp_path)]
    path.write_text(json.dumps(result))
    assert main(command) == 0
    path.write_text(json.dumps({**result, **change}))
    assert complaint in refusal(capsys, command)
    path.write_text(json.dumps(result))
    for clips in ("{}", "[]", json.dumps({"labels": [], "folds": {"1": fold}})):
        (folder / "clips.json").write_text(clips)
        assert "clips.json" in refusal(capsys, command)
