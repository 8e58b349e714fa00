"""`classify --output` when it is killed, stopped, or the disk is full: what was finished stays, the rest follows."""

import os
import re
import resource
import signal
import time

import pytest

from tests.edge.archive_command import HANG_S, classify, parts_of, start_classify, tables_of, write_recordings
from tests.engines.bundles import write_tiny_bundle

COUNT = 12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive") / "site"
    write_recordings(folder, COUNT, 120.0)
    return folder


@pytest.fixture(scope="module")
def expected(bundle, archive, tmp_path_factory):
    """The tables of a run that nobody disturbed."""
    output = tmp_path_factory.mktemp("whole") / "out"
    status, _, err = classify(*arguments_for(archive, bundle, output))
    assert status == 0, err
    return tables_of(output)


def arguments_for(archive, bundle, output, processes=1):
    # each file a reel of its own: there is a middle
    return [archive, "--bundle", bundle, "--start-time", "file", "--separate-files", "--output", output,
            "--processes", processes]  # fmt: skip


def wait_for(condition):
    until_s = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(word) for word in file.read().split()]


def workers_of(pid):
    """Its processes that hear; not the standard library's resource tracker."""
    found = []
    for child in children_of(pid):
        with open("/proc/%d/cmdline" % child, "rb") as file:
            if b"spawn_main" in file.read():
                found.append(child)
    return found


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_tables(bundle, archive, expected, tmp_path, processes):
    arguments = arguments_for(archive, bundle, tmp_path / "out", processes)
    process = start_classify(*arguments)
    wait_for(lambda: parts_of(tmp_path / "out"))
    workers = workers_of(process.pid)
    process.kill()
    process.communicate(timeout=HANG_S)
    finished = len(parts_of(tmp_path / "out"))
    assert 0 < finished < COUNT and not tables_of(tmp_path / "out")
    wait_for(lambda: not any(map(is_alive, workers)))  # they notice that nobody waits for them
    status, out, err = classify(*arguments)
    assert status == 0 and out.startswith("%d files (%d heard before, 0 with trouble)" % (COUNT, finished)), out + err
    assert tables_of(tmp_path / "out") == expected
    status, out, _ = classify(*arguments)
    assert status == 0 and out.startswith("%d files (%d heard before, " % (COUNT, COUNT))
    assert tables_of(tmp_path / "out") == expected


def test_a_stop_by_ctrl_c_says_how_to_go_on_and_leaves_no_process(bundle, archive, expected, tmp_path):
    arguments = arguments_for(archive, bundle, tmp_path / "out", 2)
    process = start_classify(*arguments, start_new_session=True)
    wait_for(lambda: parts_of(tmp_path / "out"))
    workers = workers_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone gets it
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out) == (130, "")
    assert re.search(
        r"^soundclr-edge: stopped; what was finished is kept in .*out, and the same command goes on", err, re.M
    )
    assert "Traceback" not in err
    assert not any(map(is_alive, workers)) and not list((tmp_path / "out").glob("**/.*.new"))
    assert 0 < len(parts_of(tmp_path / "out")) < COUNT
    status, _, err = classify(*arguments)
    assert status == 0 and tables_of(tmp_path / "out") == expected, err


def test_the_file_of_a_process_that_was_killed_is_heard_by_another(bundle, archive, expected, tmp_path):
    process = start_classify(*arguments_for(archive, bundle, tmp_path / "out", 2))
    wait_for(lambda: parts_of(tmp_path / "out"))
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)  # as the kernel does when memory runs out
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0 and "was killed (signal 9) over its work" in err
    assert tables_of(tmp_path / "out") == expected


def test_a_file_over_which_processes_die_twice_is_reported_and_the_others_are_heard(bundle, archive, tmp_path):
    process = start_classify(*arguments_for(archive, bundle, tmp_path / "out"))
    killed = set()
    while len(killed) < 2:
        wait_for(lambda: set(workers_of(process.pid)) - killed)
        (worker,) = set(workers_of(process.pid)) - killed
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 1 and out.startswith("%d files (0 heard before, 1 with trouble)" % COUNT)
    complaints = [line for line in err.splitlines() if line.startswith("soundclr-edge: ")]
    assert len(complaints) == 1 and "was killed (signal 9), twice; is there enough memory?" in complaints[0]
    assert len(parts_of(tmp_path / "out")) == COUNT - 1
    status, out, err = classify(*arguments_for(archive, bundle, tmp_path / "out"))
    assert status == 0 and out.startswith("%d files (%d heard before, 0 with trouble)" % (COUNT, COUNT - 1))


def test_a_full_disk_is_named_and_what_was_finished_stays(bundle, archive, expected, tmp_path):
    arguments = arguments_for(archive, bundle, tmp_path / "out")
    first = sorted(archive.iterdir())[0]
    one = arguments_for(first, bundle, tmp_path / "out")
    assert classify(*one)[0] == 0
    before = tables_of(tmp_path / "out")
    largest = max(path.stat().st_size for path in (tmp_path / "out").glob("*.csv"))

    def little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, largest // 2))

    status, out, err = classify(*arguments, preexec_fn=little_room)
    assert status == 1 and out == ""
    (complaint,) = [line for line in err.splitlines() if line.startswith("soundclr-edge: ")]
    assert "cannot be written (File too large)" in complaint and "give the same command again" in complaint
    assert tables_of(tmp_path / "out") == before and not list((tmp_path / "out").glob("**/.*.new"))
    status, _, err = classify(*arguments)
    assert status == 0 and tables_of(tmp_path / "out") == expected, err


def test_a_folder_of_other_things_of_another_bundle_or_in_use_is_left_alone(bundle, archive, tmp_path):
    first = sorted(archive.iterdir())[0]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"x")
    status, _, err = classify(*arguments_for(first, bundle, tmp_path / "photos"))
    assert status == 2 and "holds 1.jpg and no results of an earlier run" in err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["1.jpg"]
    arguments = arguments_for(first, bundle, tmp_path / "out")
    assert classify(*arguments)[0] == 0
    before = tables_of(tmp_path / "out")
    other = write_tiny_bundle(tmp_path / "other", lambda manifest: manifest["decision"].update(temperature=0.5))
    status, _, err = classify(*arguments_for(first, other, tmp_path / "out"))
    assert status == 2 and "was begun with another bundle; give the same again, or another folder" in err
    status, _, err = classify(*arguments, "--hop-s", 2)
    assert status == 2 and "another --hop-s" in err
    assert tables_of(tmp_path / "out") == before
    running = start_classify(*arguments_for(archive, bundle, tmp_path / "out"))
    wait_for(lambda: len(parts_of(tmp_path / "out")) > 1)
    status, _, err = classify(*arguments)
    running.communicate(timeout=HANG_S)
    assert status == 2 and "another classify writes there" in err


def test_a_file_that_has_changed_is_heard_again_and_only_that(bundle, archive, tmp_path):
    folder = tmp_path / "site"
    paths = write_recordings(folder, 3, 20.0)
    arguments = arguments_for(folder, bundle, tmp_path / "out")
    assert classify(*arguments)[0] == 0
    os.utime(str(paths[1]), (1, 1))
    status, out, _ = classify(*arguments)
    assert status == 0 and out.startswith("3 files (2 heard before, ")
