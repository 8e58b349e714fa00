"""Tiny data sets in the official layouts, made of the real excerpts in tests/fixtures."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
URBAN_CLIPS = {  # file -> class, classID, fold; every class in both folds, no source in two
    "siren-90014.ogg": ("siren", 8, 1),
    "siren-111671.ogg": ("siren", 8, 2),
    "car_horn-175855.ogg": ("car_horn", 1, 1),
    "car_horn-175846.ogg": ("car_horn", 1, 2),
    "dog-191687.ogg": ("dog_bark", 3, 1),
    "dog-192236.ogg": ("dog_bark", 3, 2),
}
ESC_CLIPS = {
    "rain-181766.ogg": (1, 10),
    "rain-188655.ogg": (5, 10),
    "rooster-27724.ogg": (2, 1),
    "clock_tick-35687.ogg": (3, 38),
}  # file -> fold, target
torch.set_num_threads(1)  # bit for bit the same on any machine, and no more load than one core


@pytest.fixture(scope="session")
def fixtures():
    return FIXTURES


@pytest.fixture
def urbansound8k(tmp_path):
    """A data set in UrbanSound8K's layout: 3 classes, 2 folds, 6 clips."""
    root, rows = tmp_path / "UrbanSound8K", []
    for name, (category, class_id, fold) in URBAN_CLIPS.items():
        source = name.split("-")[1].split(".")[0]
        target = root / "audio" / ("fold%d" % fold) / ("%s-%d-0-0.ogg" % (source, class_id))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FIXTURES / name, target)
        rows.append([target.name, source, 0.0, 2.0, 1, fold, class_id, category])
    _write_table(
        root / "metadata" / "UrbanSound8K.csv",
        ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"],
        rows,
    )
    return root


@pytest.fixture
def esc10(tmp_path):
    """A data set in ESC-50's layout: 3 classes, 4 clips."""
    root, rows = tmp_path / "ESC-10", []
    (root / "audio").mkdir(parents=True)
    for name, (fold, target) in ESC_CLIPS.items():
        category, source = name.split(".")[0].split("-")
        file = "%d-%s-A-%d.ogg" % (fold, source, target)
        shutil.copyfile(FIXTURES / name, root / "audio" / file)
        rows.append([file, fold, target, category, True, source, "A"])
    _write_table(
        root / "meta" / "esc50.csv", ["filename", "fold", "target", "category", "esc10", "src_file", "take"], rows
    )
    return root


def _write_table(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
