"""Evaluated runs made up of numbers: a record, a checkpoint without weights, and predictions."""

import json

import numpy as np
import torch

from trainer.evaluate import Predictions, save_predictions
from trainer.recipe import Recipe, recipe_to_mapping
from trainer.run import RunRecord, write_record

LABELS = ["car_horn", "dog_bark", "siren"]


def make_predictions(folds, seed=0, skill=3.0, n=60, n_foreign=20, scale=1.0, embeddings=False):
    """n clips a fold, five of one source; the same clips whatever the seed, which draws the answers."""
    clips = np.random.default_rng(99)
    rng = np.random.default_rng((seed, *folds))
    total = n * len(folds) + n_foreign
    drawn = clips.integers(0, 3, (10, n))
    labels = np.concatenate([*(drawn[fold] for fold in folds), np.full(n_foreign, -1)])
    fold_of = np.concatenate([np.repeat(folds, n), np.zeros(n_foreign, int)])
    numbers = np.concatenate([*(np.arange(n) for _ in folds), np.arange(n_foreign)])
    logits = (rng.standard_normal((total, 4)) * 2).astype(np.float32)
    logits[np.arange(total), labels] += skill  # -1 is the last column: foreign sound
    logits *= scale
    return Predictions(
        logits,
        labels,
        fold_of,
        np.array(["s%d-%d" % (fold, i // 5) for fold, i in zip(fold_of, numbers, strict=True)]),
        np.where(labels < 0, "bells", np.array([*LABELS, ""])[labels]),
        logits,
        np.array(["%d-%d.wav" % (fold, i) for fold, i in zip(fold_of, numbers, strict=True)]),
        rng.standard_normal((total, 8)).astype(np.float16) if embeddings else np.zeros(0),
    )


def make_run(folder, predictions, seed=0, history=(), record=None, **recipe):
    """The folder of an evaluated run.

    Args:
        record: fields of its record that differ from UrbanSound8K's with ESC-10 for foreign sound.
    """
    folds = sorted({int(fold) for fold in predictions.folds if fold})
    plain = RunRecord("UrbanSound8K", LABELS, folds, "ESC-10", [], [], [], [])
    write_record(plain._replace(**(record or {})), folder)
    values = json.dumps(recipe_to_mapping(Recipe(seed=seed, **recipe)))
    torch.save({"recipe": values, "history": list(history), "labels": LABELS, "epoch": 20}, folder / "checkpoint.pt")
    save_predictions(predictions, folder)
    return folder
