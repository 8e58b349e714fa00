"""`classify --cluster`: a real Dask scheduler and workers on this machine, of which some are killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.edge.archive_command import (
    HANG_S,
    ROOT,
    classify,
    parts_of,
    read_csv,
    start_classify,
    tables_of,
    write_recordings,
)
from tests.engines.bundles import write_tiny_bundle

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="the extra `cluster` is for Python 3.10 and later")
COUNT = 16


def start_dask(module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + module] + [str(argument) for argument in arguments],
        env=dict(os.environ, PYTHONPATH=str(ROOT), DASK_DISTRIBUTED__LOGGING__DISTRIBUTED="error"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class LocalCluster:
    """A scheduler and workers without a nanny: what is killed stays dead."""

    def __init__(self, folder):
        self._folder = folder
        self._scheduler_file = folder / "scheduler.json"
        self._scheduler = start_dask(
            "dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
            "--scheduler-file", self._scheduler_file,
        )  # fmt: skip
        self.workers = []

    @property
    def address(self):
        until_s = time.monotonic() + HANG_S
        while not self._scheduler_file.exists():
            assert time.monotonic() < until_s and self._scheduler.poll() is None
            time.sleep(0.05)
        return json.loads(self._scheduler_file.read_text())["address"]

    def add_worker(self):
        worker = start_dask(
            "dask_worker", self.address, "--nthreads", 1, "--no-nanny", "--no-dashboard",
            "--local-directory", self._folder,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def stop(self):
        for process in self.workers + [self._scheduler]:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    cluster = LocalCluster(tmp_path)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive") / "site"
    write_recordings(folder, COUNT, 120.0)
    return folder


def arguments_for(archive, bundle, output):
    return [archive, "--bundle", bundle, "--start-time", "file", "--separate-files", "--output", output]


@pytest.mark.slow
def test_of_two_workers_one_is_killed_half_way_and_every_file_is_there_once(cluster, bundle, archive, tmp_path):
    for _ in range(2):
        cluster.add_worker()
    arguments = arguments_for(archive, bundle, tmp_path / "out") + ["--cluster", cluster.address]
    process = start_classify(*arguments)
    until_s = time.monotonic() + HANG_S
    while len(parts_of(tmp_path / "out")) < COUNT // 2 - 2:
        assert time.monotonic() < until_s and process.poll() is None
        time.sleep(0.01)
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    assert len(parts_of(tmp_path / "out")) < COUNT
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0 and out.startswith("%d files (0 heard before, 0 with trouble)" % COUNT), out + err
    paths = [row["file"] for row in read_csv(tmp_path / "out" / "files.csv")]
    assert sorted(paths) == sorted(str(path) for path in archive.iterdir())
    assert classify(*arguments_for(archive, bundle, tmp_path / "here"))[0] == 0
    assert tables_of(tmp_path / "out") == tables_of(tmp_path / "here")


def test_damaged_files_are_reported_from_afar(cluster, bundle, archive, tmp_path):
    cluster.add_worker()
    (tmp_path / "text.wav").write_text("no sound")
    first = sorted(archive.iterdir())[0]
    status, out, err = classify(
        first, tmp_path / "text.wav", "--bundle", bundle, "--output", tmp_path / "out", "--cluster", cluster.address
    )
    assert status == 1 and out.startswith("2 files (0 heard before, 1 with trouble)")
    assert len(re.findall(r"^soundclr-edge: .*text\.wav", err, re.M)) == 1


def test_a_cluster_that_is_not_there_or_has_no_output_is_named_in_one_line(bundle, archive, tmp_path):
    first = sorted(archive.iterdir())[0]
    status, _, err = classify(first, "--bundle", bundle, "--cluster", "tcp://127.0.0.1:9")
    assert status == 2 and "--cluster without --output" in err
    for address, word in (("nowhere", "no address such as"), ("tcp://127.0.0.1:9", "no scheduler answers")):
        status, _, err = classify(first, "--bundle", bundle, "--cluster", address, "--output", tmp_path / "out")
        assert status == 2 and word in err and "Traceback" not in err


def test_without_dask_the_extra_is_named(bundle, archive, tmp_path):
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "distributed.py").write_text("raise ImportError('kept away by the test')\n")
    environment = dict(os.environ, PYTHONPATH="%s:%s" % (tmp_path / "stand-in", ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "edge", "classify", str(sorted(archive.iterdir())[0]), "--bundle", str(bundle),
         "--cluster", "tcp://127.0.0.1:9", "--output", str(tmp_path / "out")],
        cwd=str(ROOT), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 2 and "pip install 'soundclr-node[cluster]'" in done.stderr
