"""Files that are written whole or not at all: a full disk, a kill, a power cut, somebody else at the same time."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.whole_file import LEFTOVERS, replacing, write_whole

ROOT = Path(__file__).resolve().parents[2]
BYTES = 1 << 18


@pytest.fixture
def path(tmp_path):
    (tmp_path / "state.json").write_bytes(b"before")
    return tmp_path / "state.json"


def python(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code] + [str(one) for one in arguments], cwd=str(ROOT))


def names_beside(path):
    return [one.name for one in path.parent.iterdir() if one != path]


def test_the_new_content_takes_the_place_and_the_mode_is_what_was_asked_for(path):
    before = os.umask(0o022)
    try:
        write_whole(path, b"after", 0o600)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o600)
        write_whole(path, b"")
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"", 0o644)
    finally:
        os.umask(before)
    assert names_beside(path) == []


def test_content_is_on_the_disk_before_its_name_and_the_name_before_it_is_said_to_be(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        done.append(os.readlink("/proc/self/fd/%d" % descriptor))
        fsync(descriptor)

    def note_replace(old, new):
        done.append((old, new))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_whole(path, b"after")
    new = done[0]
    assert Path(new).parent == path.parent and done == [new, (new, str(path)), str(path.parent)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EINVAL])
def test_a_disk_that_takes_nothing_leaves_what_was_there_and_no_half(path, monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before" and names_beside(path) == []


def test_a_share_that_syncs_no_folders_is_written_to(path, monkeypatch):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if os.path.isdir("/proc/self/fd/%d" % descriptor):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_whole(path, b"after")
    assert path.read_bytes() == b"after" and names_beside(path) == []


def test_whatever_is_raised_meanwhile_leaves_what_was_there(path):
    def interrupted():
        with replacing(path) as new:
            new.write_bytes(b"half")
            raise KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before" and names_beside(path) == []


def test_ctrl_c_at_any_line_leaves_one_of_the_two_and_nothing_besides(path):
    for line in range(1, 1000):
        path.write_bytes(b"before")
        if not interrupted_at(line, lambda: write_whole(path, b"after")):
            break
        assert path.read_bytes() in (b"before", b"after") and names_beside(path) == [], line
    assert 20 < line < 999 and path.read_bytes() == b"after"


def interrupted_at(line, act):
    """Act, and be interrupted at that line of the code that writes, counted as they run.  Returns whether it was."""
    left = [line]

    def trace(frame, event, _):
        if event == "line" and Path(frame.f_code.co_filename).name in ("whole_file.py", "contextlib.py"):
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                raise KeyboardInterrupt()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_process_killed_in_the_middle_leaves_what_was_there_and_what_it_leaves_is_known(path):
    code = (
        "import os, pathlib, sys; from engines.whole_file import write_whole\n"
        "os.fsync = lambda descriptor: os._exit(9)\n"
        "write_whole(pathlib.Path(sys.argv[1]), b'after')"
    )
    assert python(code, path).wait(60) == 9
    assert path.read_bytes() == b"before"
    assert names_beside(path) == [one.name for one in path.parent.glob(LEFTOVERS)] != []


def test_no_link_that_somebody_has_laid_is_followed(path, tmp_path_factory):
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    victim.write_bytes(b"precious")
    laid = path.with_name(".%s.%d.new" % (path.name, os.getpid()))
    laid.symlink_to(victim)
    write_whole(path, b"after")
    assert (path.read_bytes(), path.is_symlink(), victim.read_bytes()) == (b"after", False, b"precious")
    assert names_beside(path) == []


def test_of_two_who_write_at_once_one_is_there_whole(path):
    code = (
        "import pathlib, sys; from engines.whole_file import write_whole\n"
        "for _ in range(40): write_whole(pathlib.Path(sys.argv[1]), sys.argv[2].encode() * %d)" % BYTES
    )
    path.write_bytes(b"a" * BYTES)
    writers = [python(code, path, letter) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        assert content in (b"a" * BYTES, b"b" * BYTES)
    assert [writer.wait() for writer in writers] == [0, 0] and names_beside(path) == []
