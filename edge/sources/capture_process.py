"""The parent's end of one capture child: start it, read its records, drain its stderr, kill it."""

import fcntl
import logging
import os
import select
import subprocess
import threading
import time
from typing import List, Optional, Tuple

from edge.sources.devices import child_environment
from edge.sources.framing import Record, take_record

_LOGGER = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 16
_PIPE_BYTES = 1 << 14  # what lies in the pipe gets old while we are late: half a second at 16 kHz, and not two
_F_SETPIPE_SZ = 1031  # fcntl(2); Python names it from 3.10 on
_KILL_WAIT_S = 1.5  # SIGKILL works at once, unless a driver holds the process inside the kernel
_STDERR_LINES_PER_WINDOW = 20
_STDERR_WINDOW_S = 60.0
_STDERR_REST_S = 0.05  # between two reads: a flood of 20 MB/s is held back by the full pipe instead of by our core
_STDERR_LINE_CHARACTERS = 200
_REMEMBERED_LINES = 3


class ChildEndedError(Exception):
    """The child has closed its output: it is dead or dying."""


class CaptureProcess:
    """One child, from its start to its end. Used by one thread."""

    def __init__(self, command: List[str], name: str) -> None:
        """Start the child; `name` is the source's, for threads and log.

        Raises:
            OSError: the command cannot be started.
        """
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            cwd="/",
            bufsize=0,
        )
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._out = self._child.stdout.fileno()
        try:
            fcntl.fcntl(self._out, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError as error:
            _LOGGER.debug("microphone %s: the pipe stays as long as it is (%s)", name, error)
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._noise = _StderrDrain(self._child.stderr.fileno(), name)
        self.started_s = time.monotonic()
        self.pid = self._child.pid

    def read_record(self, timeout_s: float) -> Optional[Record]:
        """The next record, None where none came in time.

        Raises:
            ChildEndedError: there will be no more.
            FramingError: what came is not a record.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            record = take_record(self._buffer)
            if record is not None:
                return record
            wait_s = max(0.0, deadline_s - time.monotonic())
            if not self._poll.poll(wait_s * 1000):
                return None
            data = os.read(self._out, _CHUNK_BYTES)
            if not data:
                raise ChildEndedError("the capture process ended")
            self._buffer += data

    def last_words(self) -> str:
        """The last lines that the child wrote to stderr, for the log."""
        return self._noise.last_lines()

    def kill(self) -> None:
        """End the child, whatever it is doing, and give back what it held. Takes 2 s at most."""
        self._child.kill()
        try:
            self._child.wait(_KILL_WAIT_S)
        except subprocess.TimeoutExpired:  # subprocess itself reaps it later, on its next Popen
            _LOGGER.error("capture process %d hangs in the kernel; a driver is stuck", self._child.pid)
        self._noise.stop()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()


class _StderrDrain:
    """Keeps the child's stderr empty, logs a little of it and remembers the end."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._lines: Tuple[str, ...] = ()  # replaced, never changed: two threads see it
        self._rest = b""
        self._window_end_s = 0.0
        self._logged = 0
        self._unlogged = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone-%s-stderr" % name, daemon=True)
        self._thread.start()

    def last_lines(self) -> str:
        """The last few lines, joined."""
        return " | ".join(self._lines)

    def stop(self) -> None:
        """End the thread; the descriptor may be closed after it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while not self._stopping.is_set():
            if not poll.poll(100):
                continue
            data = os.read(self._descriptor, _CHUNK_BYTES)
            if not data:
                break
            self._take(data)
            self._stopping.wait(_STDERR_REST_S)
        if self._unlogged:
            _LOGGER.debug("microphone %s: %d more lines from the capture process", self._name, self._unlogged)

    def _take(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-_CHUNK_BYTES:]  # a line without an end does not grow for ever
        for line in lines:
            text = line[:_STDERR_LINE_CHARACTERS].decode("utf-8", "replace").strip()
            if text:
                self._lines = (self._lines + (text,))[-_REMEMBERED_LINES:]
                self._log(text)

    def _log(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._window_end_s:
            if self._unlogged:
                _LOGGER.debug("microphone %s: %d more lines from the capture process", self._name, self._unlogged)
            self._window_end_s, self._logged, self._unlogged = now_s + _STDERR_WINDOW_S, 0, 0
        if self._logged < _STDERR_LINES_PER_WINDOW:
            self._logged += 1
            _LOGGER.debug("microphone %s: capture process: %s", self._name, text)
        else:
            self._unlogged += 1
