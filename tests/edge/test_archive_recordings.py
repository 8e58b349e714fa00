"""Which recordings a command line means."""

import os

import pytest

from edge.archive.recordings import find_recordings
from edge.errors import SourceError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    for name in ("b/2.wav", "b/1.FLAC", "a/deep/3.ogg", "a/notes.txt", ".hidden/4.wav", "a/._3.ogg", "5.wav"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    monkeypatch.chdir(str(tmp_path))
    return tmp_path


def test_a_folder_is_searched_whole_for_recordings_alone(archive):
    assert find_recordings(["archive"]) == [
        "archive/5.wav",
        "archive/a/deep/3.ogg",
        "archive/b/1.FLAC",
        "archive/b/2.wav",
    ]


def test_folders_and_patterns_give_what_was_not_there_before(archive):
    found = find_recordings(["archive/b/2.wav", "archive/b", "archive/**/*.wav"])
    assert found == ["archive/b/2.wav", "archive/b/1.FLAC", "archive/5.wav"]
    assert find_recordings(["archive/5.wav", "archive/5.wav"]) == ["archive/5.wav", "archive/5.wav"]


def test_a_file_is_taken_whatever_its_name_and_one_that_is_not_there_stays_to_be_complained_of(archive):
    assert find_recordings(["archive/a/notes.txt", "none.wav"]) == ["archive/a/notes.txt", "none.wav"]


def test_a_name_that_looks_like_a_pattern_is_a_name_where_a_file_has_it(archive):
    (archive / "a[1].wav").write_bytes(b"sound")
    assert find_recordings(["a[1].wav"]) == ["a[1].wav"]


@pytest.mark.parametrize("content", [b"5.wav\nb\n", b"5.wav\r\nb\r\n", b"5.wav\0b\0", b"\n5.wav\nb"])
def test_a_list_names_more_of_them(archive, content):
    os.chdir("archive")
    (archive / "list").write_bytes(content)
    assert find_recordings([], "../list") == ["5.wav", "b/1.FLAC", "b/2.wav"]


@pytest.mark.parametrize(
    "given, listed, word",
    [
        ([], None, "--files-from"),
        (["empty"], None, "without recordings"),
        (["archive/*.mp4"], None, "no file has such a name"),
        ([], "none", "cannot be read"),
        ([], "empty.txt", "holds no names"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(archive, given, listed, word):
    (archive / "empty").mkdir()
    (archive / "empty.txt").write_text("\n")
    with pytest.raises(SourceError, match=word) as refused:
        find_recordings(given, listed)
    assert "\n" not in str(refused.value)
