"""A folder or a table of one's own recordings: classes, sources, and folds that split no source."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.clips import Clip
from trainer.data.datasets import list_dataset, read_dataset
from trainer.data.own_recordings import make_folds, write_table
from trainer.errors import TrainerError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_folders_name_classes_and_folders_within_them_sources(tmp_path):
    touch(tmp_path, "Car Horn/a.wav", "Car Horn/b.ogg", "siren/monday/1.wav", "siren/monday/2.wav", "siren/x.flac")
    touch(tmp_path, "dog/monday/3.wav", "siren/notes.txt", ".trash/y.wav", "empty_class/readme")
    data = list_dataset(tmp_path)
    assert data.categories == ["car_horn", "dog", "siren"] and "empty_class" in data.classes
    by_name = {clip.path.name: clip for clip in data.clips}
    assert set(by_name) == {"a.wav", "b.ogg", "1.wav", "2.wav", "3.wav", "x.flac"}
    assert by_name["1.wav"].source_id == by_name["2.wav"].source_id == by_name["3.wav"].source_id
    assert by_name["a.wav"].source_id != by_name["b.ogg"].source_id


def test_clips_of_one_file_name_in_two_classes_are_two_clips(tmp_path):
    touch(tmp_path, "horn/1.wav", "siren/1.wav", "siren/monday/1.wav", "siren/a.b.WAV")
    assert [clip.name for clip in list_dataset(tmp_path).clips] == ["horn/1", "siren/1", "siren/a.b", "siren/monday/1"]
    rows = ["./horn//1.wav,horn", "%s,siren" % (tmp_path / "siren" / "1.wav"), "../elsewhere/1.wav,siren"]
    (tmp_path / "recordings.csv").write_text("\n".join(["path,label", *rows]))
    assert [clip.name for clip in list_dataset(tmp_path).clips] == ["horn/1", "siren/1", "../elsewhere/1"]


@pytest.mark.parametrize(
    "rows, name",
    [(["a.wav,horn", "./a.wav,siren"], "a"), (["x/a.wav,horn", "x/a.flac,horn"], "x/a")],
)
def test_two_clips_of_one_name_are_refused_when_the_data_set_is_read(tmp_path, rows, name):
    (tmp_path / "recordings.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(TrainerError, match="have the same name %s; expected a name of its own" % name):
        list_dataset(tmp_path)
    (tmp_path / "recordings.csv").unlink()
    touch(tmp_path, "horn/1.wav", "horn/1.flac")
    with pytest.raises(TrainerError, match="have the same name horn/1;"):
        read_dataset(tmp_path)


def test_a_table_gives_labels_sources_and_folds(tmp_path):
    touch(tmp_path, "one.wav", "two.wav")
    (tmp_path / "recordings.csv").write_text("path,label,fold,source\none.wav,Siren,1,s1\ntwo.wav,horn,2,\n")
    for given_path in (tmp_path, tmp_path / "recordings.csv"):
        clips = read_dataset(given_path).clips
        assert [(c.category, c.fold, c.source_id) for c in clips] == [("siren", 1, "s1"), ("horn", 2, "two")]


def test_a_written_table_reads_back_as_the_same_data_set(tmp_path):
    touch(tmp_path, *["%s/%d.wav" % (label, i) for label in ("horn", "siren") for i in range(7)])
    before = list_dataset(tmp_path)
    write_table(before, tmp_path / "recordings.csv")
    after = list_dataset(tmp_path)
    assert [clip._replace(path=clip.path.resolve()) for clip in after.clips] == [
        clip._replace(path=clip.path.resolve()) for clip in before.clips
    ]


@pytest.mark.parametrize(
    "table, complaint",
    [
        ("", "no rows"),
        ("path,fold\na.wav,1\n", "no column label"),
        ("path,label,fold\na.wav,x,1\nb.wav,y,\n", "1 of 2 rows"),
        ("path,label,fold\na.wav,x,0\n", "line 2"),
        ("path,label\n,x\n", "line 2"),
        ("path,label\na.wav,sir?n\n", "sir"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, table, complaint):
    (tmp_path / "recordings.csv").write_text(table)
    with pytest.raises(TrainerError, match=complaint):
        list_dataset(tmp_path)


def test_files_that_a_table_names_must_be_there(tmp_path):
    (tmp_path / "recordings.csv").write_text("path,label\na.wav,x\n")
    with pytest.raises(TrainerError, match=r"1 of 1 files.*a\.wav"):
        read_dataset(tmp_path)


clip_lists = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=1, max_size=120
)  # source, class: sources may hold several classes


@settings(deadline=None)
@given(clip_lists, st.randoms())
def test_folds_split_no_source_and_do_not_depend_on_order(rows, random):
    clips = [Clip(Path(str(i)), category, 0, "s%d" % source) for i, (source, category) in enumerate(rows)]
    folded = make_folds(clips)
    folds = {}
    for clip in folded:
        assert folds.setdefault(clip.source_id, clip.fold) == clip.fold >= 1
    shuffled = random.sample(clips, len(clips))
    assert {(c.path, c.fold) for c in make_folds(shuffled)} == {(c.path, c.fold) for c in folded}


def test_folds_are_balanced_by_class_and_as_many_as_the_rarest_class_allows():
    clips = [Clip(Path("%s%d" % (c, i)), c, 0, "%s%d" % (c, i // 2)) for c in "abcd" for i in range(40)]
    counts = Counter((clip.category, clip.fold) for clip in make_folds(clips))
    assert len(counts) == 20 and set(counts.values()) == {8}
    rare = [*clips, *(Clip(Path("r%d" % i), "rare", 0, "r%d" % i) for i in range(3))]
    assert sorted(clip.fold for clip in make_folds(rare) if clip.category == "rare") == [1, 2, 3]
