"""The folder of clips: bounded, tight, and honest about the disk."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edge.clips.shelf import Shelf, ShelfError, TooLargeError, stored_clips

ROOT = Path(__file__).resolve().parent.parent.parent
DAY_S = 86400.0


class Clocks:
    """A wall clock that may be wrong, and one that counts."""

    def __init__(self, wall_s=1800000000.0):
        self.wall_s, self.monotonic_s, self.synced = wall_s, 500.0, True

    def pass_time(self, seconds):
        self.wall_s += seconds
        self.monotonic_s += seconds


def make_shelf(folder, clocks, quota_bytes=1000, max_age_s=7 * DAY_S, reserve_bytes=0):
    return Shelf(
        folder,
        quota_bytes,
        max_age_s,
        reserve_bytes=reserve_bytes,
        is_synced=lambda: clocks.synced,
        wall_s=lambda: clocks.wall_s,
        monotonic_s=lambda: clocks.monotonic_s,
    )


def put(shelf, clocks, folder, name, size=400):
    shelf.put(name, b"x" * size)
    os.utime(str(folder / (name + ".clip")), (clocks.wall_s, clocks.wall_s))  # as the system would date it
    clocks.pass_time(60.0)


def names(folder):
    return [clip.name for clip in stored_clips(folder)]


def test_the_oldest_makes_room_and_is_counted(tmp_path):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    for name in ("a", "b", "c", "d"):
        put(shelf, clocks, folder, name)
    assert names(folder) == ["c", "d"]
    assert (shelf.count, shelf.bytes, shelf.freed) == (2, 800, 2)


def test_what_is_larger_than_the_quota_frees_nothing(tmp_path):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    with pytest.raises(TooLargeError):
        shelf.put("b", b"x" * 1001)
    assert names(folder) == ["a"]


def test_what_is_too_old_goes_by_itself(tmp_path):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    clocks.pass_time(3 * DAY_S)
    put(shelf, clocks, folder, "b")
    clocks.pass_time(4 * DAY_S)
    shelf.tidy()
    assert names(folder) == ["b"] and shelf.freed == 1


def test_a_smaller_quota_after_a_restart_is_kept(tmp_path):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    put(shelf, clocks, folder, "b")
    make_shelf(folder, clocks, quota_bytes=500).tidy()
    assert names(folder) == ["b"]


def test_a_clip_from_before_the_clock_was_set_gets_its_time_when_it_is(tmp_path):
    clocks, folder = Clocks(wall_s=100.0), tmp_path / "clips"
    clocks.synced = False
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    clocks.pass_time(3600.0)
    shelf.tidy()
    assert names(folder) == ["a"]
    clocks.wall_s, clocks.synced = 1800000000.0, True
    shelf.tidy()
    (clip,) = stored_clips(folder)
    assert clip.written_s == pytest.approx(1800000000.0 - 3660.0, abs=1.0)
    clocks.pass_time(7 * DAY_S)
    shelf.tidy()
    assert names(folder) == []


def test_a_clock_that_is_never_set_does_not_keep_clips_for_ever(tmp_path):
    clocks, folder = Clocks(wall_s=100.0), tmp_path / "clips"
    clocks.synced = False
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    clocks.pass_time(8 * DAY_S)
    shelf.tidy()
    assert names(folder) == []


def test_a_clip_from_the_future_ages_from_now_on(tmp_path):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    put(shelf, clocks, folder, "a")
    os.utime(str(folder / "a.clip"), (4e9, 4e9))
    shelf.tidy()
    clocks.pass_time(8 * DAY_S)
    shelf.tidy()
    assert names(folder) == []


def test_folder_and_files_are_the_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        Shelf(tmp_path / "clips", 1000, DAY_S, reserve_bytes=0).put("a", b"x")
        os.chmod(str(tmp_path / "clips"), 0o755)
        Shelf(tmp_path / "clips", 1000, DAY_S, reserve_bytes=0).put("b", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "clips").stat().st_mode & 0o777 == 0o700
    assert {clip.path.stat().st_mode & 0o777 for clip in stored_clips(tmp_path / "clips")} == {0o600}


def test_other_files_are_left_alone_and_leftovers_cleared_away(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "notes.txt").write_bytes(b"x" * 5000)
    for leftover in (".a.clip.4242.new", "a.clip.new"):  # the latter of versions before
        (folder / leftover).write_bytes(b"half of it")
    shelf = make_shelf(folder, Clocks())
    shelf.tidy()
    assert os.listdir(str(folder)) == ["notes.txt"] and shelf.bytes == 0


def test_somebody_else_may_delete_at_any_moment(tmp_path, monkeypatch):
    clocks, folder = Clocks(), tmp_path / "clips"
    shelf = make_shelf(folder, clocks)
    for name in ("a", "b"):
        put(shelf, clocks, folder, name)
    listed = stored_clips(folder)
    (folder / "a.clip").unlink()
    monkeypatch.setattr("edge.clips.shelf.stored_clips", lambda directory: listed)  # as it was a moment ago
    shelf.put("c", b"x" * 400)
    clocks.wall_s -= 365 * DAY_S
    shelf.tidy()  # all of them are of the future now
    assert names(folder) == ["b", "c"] and shelf.freed == 0


def test_a_disk_that_would_take_no_clip_is_known_before_there_is_one(tmp_path):
    shelf = make_shelf(tmp_path / "state" / "clips", Clocks(), reserve_bytes=1 << 62)
    with pytest.raises(ShelfError) as caught:
        shelf.check()
    assert caught.value.state == "full" and not (tmp_path / "state").exists()
    make_shelf(tmp_path / "state" / "clips", Clocks()).check()


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "A", "a.b", "a\n", "x" * 200])
def test_a_name_never_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(ValueError):
        Shelf(tmp_path / "clips", 1000, DAY_S, reserve_bytes=0).put(name, b"x")


def test_the_reserve_of_the_disk_stays_free(tmp_path):
    shelf = Shelf(tmp_path / "clips", 1000, DAY_S, reserve_bytes=1 << 62)
    with pytest.raises(ShelfError) as caught:
        shelf.put("a", b"x")
    assert caught.value.state == "full" and names(tmp_path / "clips") == []


# Runs in a process of its own: a limit that is lowered for good would stay with the test runner.
LIMITED = r"""
import resource, signal, sys
from pathlib import Path
from edge.clips.shelf import Shelf, ShelfError, stored_clips

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
shelf = Shelf(Path(sys.argv[1]), 10 ** 7, 1e6, reserve_bytes=0)
shelf.put("before", b"x" * 100)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
try:
    shelf.put("large", b"x" * 200000)
except ShelfError as error:
    print(error.state)
shelf.put("small", b"x" * 100)
print(sorted(clip.name for clip in stored_clips(Path(sys.argv[1]))))
"""


def test_a_file_that_may_not_grow_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "clips")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        cwd=str(ROOT),
        timeout=120,
    )
    assert done.stdout == "full\n['before', 'small']\n"
    assert sorted(os.listdir(str(tmp_path / "clips"))) == ["before.clip", "small.clip"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "state").write_text("a file where a folder ought to be")
    with pytest.raises(ShelfError) as caught:
        Shelf(tmp_path / "state" / "clips", 1000, DAY_S).put("a", b"x")
    assert caught.value.state == "failing" and "state" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; tests/system mounts a read-only disk")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    folder = tmp_path / "clips"
    Shelf(folder, 1000, DAY_S, reserve_bytes=0).put("a", b"x")
    os.chmod(str(tmp_path), 0o500)
    os.chmod(str(folder), 0o500)
    with pytest.raises(ShelfError) as caught:
        Shelf(folder, 1000, DAY_S, reserve_bytes=0).put("b", b"x")
    assert caught.value.state == "read_only"
