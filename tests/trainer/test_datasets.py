"""Data sets in their official layouts, and what is said of folders that are none."""

import shutil

import pytest

from trainer.data.datasets import read_dataset, read_esc50, read_urbansound8k
from trainer.errors import TrainerError


def test_urbansound8k_is_recognised_and_read(urbansound8k):
    dataset = read_dataset(urbansound8k)
    assert dataset.name == "UrbanSound8K"
    assert dataset.categories == ["car_horn", "dog_bark", "siren"]
    assert dataset.folds == [1, 2]
    clip = next(clip for clip in dataset.clips if clip.source_id == "90014")
    assert (clip.category, clip.fold, clip.path) == ("siren", 1, urbansound8k / "audio" / "fold1" / "90014-8-0-0.ogg")


def test_esc10_is_recognised_and_read(esc10):
    dataset = read_dataset(esc10)
    assert dataset.name == "ESC-10"
    assert dataset.categories == ["clock_tick", "rain", "rooster"]
    assert dataset.folds == [1, 2, 3, 5]
    assert {clip.source_id for clip in dataset.clips if clip.category == "rain"} == {"181766", "188655"}
    assert all(clip.path.is_file() for clip in dataset.clips)


def test_a_table_of_more_than_ten_classes_is_esc50(esc10):
    table = esc10 / "meta" / "esc50.csv"
    row = table.read_text().splitlines()[1]
    with open(table, "a") as file:
        for i in range(9):
            name = "1-%d-A-10.ogg" % i
            shutil.copyfile(esc10 / "audio" / row.split(",")[0], esc10 / "audio" / name)
            file.write(row.replace(row.split(",")[0], name).replace(",rain,", ",class_%d," % i) + "\n")
    assert read_dataset(esc10).name == "ESC-50"


def test_a_folder_that_is_no_data_set_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(TrainerError, match=r"metadata/UrbanSound8K\.csv"):
        read_dataset(tmp_path)
    with pytest.raises(TrainerError, match="no_such_folder"):
        read_dataset(tmp_path / "no_such_folder")


def test_missing_files_are_counted_and_the_first_is_named(urbansound8k):
    shutil.rmtree(urbansound8k / "audio" / "fold2")
    with pytest.raises(TrainerError, match=r"3 of 6 files.*fold2"):
        read_dataset(urbansound8k)


@pytest.mark.parametrize("column", ["slice_file_name", "fsID", "fold", "class"])
def test_a_missing_column_of_urbansound8k_is_named(urbansound8k, column):
    table = urbansound8k / "metadata" / "UrbanSound8K.csv"
    lines = table.read_text().splitlines()
    header = ",".join("other" if name == column else name for name in lines[0].split(","))
    table.write_text("\n".join([header, *lines[1:]]))
    with pytest.raises(TrainerError, match="no column %s" % column):
        read_urbansound8k(urbansound8k)


@pytest.mark.parametrize("column", ["filename", "fold", "category", "src_file"])
def test_a_missing_column_of_esc50_is_named(esc10, column):
    table = esc10 / "meta" / "esc50.csv"
    lines = table.read_text().splitlines()
    header = ",".join("other" if name == column else name for name in lines[0].split(","))
    table.write_text("\n".join([header, *lines[1:]]))
    with pytest.raises(TrainerError, match="no column %s" % column):
        read_esc50(esc10)


@pytest.mark.parametrize("content", ["", "slice_file_name,fsID,fold,class\n"])
def test_an_empty_table_is_refused(urbansound8k, content):
    (urbansound8k / "metadata" / "UrbanSound8K.csv").write_text(content)
    with pytest.raises(TrainerError, match="no rows"):
        read_dataset(urbansound8k)


@pytest.mark.parametrize("fold", ["one", "-1", "1.5", ""])
def test_a_fold_that_is_no_number_is_named_with_its_line(urbansound8k, fold):
    table = urbansound8k / "metadata" / "UrbanSound8K.csv"
    with open(table, "a") as file:
        file.write("x.ogg,1,0,1,1,%s,8,siren\n" % fold)
    with pytest.raises(TrainerError, match="line 8"):
        read_dataset(urbansound8k)


def test_a_row_that_is_cut_short_is_refused(urbansound8k):
    with open(urbansound8k / "metadata" / "UrbanSound8K.csv", "a") as file:
        file.write("x.ogg,1\n")
    with pytest.raises(TrainerError, match="line 8"):
        read_dataset(urbansound8k)


def test_a_table_that_is_no_text_is_refused(urbansound8k):
    (urbansound8k / "metadata" / "UrbanSound8K.csv").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(TrainerError, match=r"UrbanSound8K\.csv"):
        read_dataset(urbansound8k)


def test_official_clips_keep_the_names_of_their_files_and_have_them_once(urbansound8k):
    clips = read_dataset(urbansound8k).clips
    assert [clip.name for clip in clips] == [clip.path.name for clip in clips]
    table = urbansound8k / "metadata" / "UrbanSound8K.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(TrainerError, match="have the same name"):
        read_dataset(urbansound8k)
