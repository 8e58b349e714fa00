"""How far a run has come: a bar for people at a terminal, nothing of it for anybody else."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.edge.archive_command import HANG_S, ROOT, classify, write_recordings
from tests.engines.bundles import write_tiny_bundle


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the bar needs the extra `archive`, of Python 3.10")
def test_a_terminal_shows_a_bar_that_reaches_its_end(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    write_recordings(tmp_path / "site", 3, 60.0)
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))  # of no width there is no bar
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "classify", str(tmp_path / "site"), "--bundle", str(bundle), "--output",
         str(tmp_path / "out"), "--processes", "1"],
        cwd=str(ROOT), env=dict(os.environ, PYTHONPATH=str(ROOT), TERM="xterm"), stdout=subprocess.PIPE,
        stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    out, _ = process.communicate(timeout=HANG_S)
    os.close(master)
    assert process.returncode == 0 and out.startswith(b"3 files")
    assert re.search(rb"sound heard:\s+0%", shown) and re.search(rb"sound heard:\s*100%", shown), shown


def test_a_log_gets_no_bar(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    write_recordings(tmp_path / "site", 1, 20.0)
    status, _, err = classify(tmp_path / "site", "--bundle", bundle, "--output", tmp_path / "out")
    assert status == 0 and "sound heard" not in err and "\r" not in err
