"""Several processes of this machine, each with a scorer of its own.

Started anew (`spawn`), never forked: CUDA forbids it, and so do ONNX Runtime's threads. Work and results go through a
pipe as JSON and bytes. A pool of the standard library breaks as a whole when one process is killed, and does not say
over which task; here that task is given out once more and the others go on. Results wait for nobody: at most one for
each process is in memory.
"""

import json
import logging
import multiprocessing
import os
import signal
import traceback
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

from edge.archive.work import Outcome, Worker
from edge.errors import EdgeError, SourceError
from edge.records import JsonObject
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)
_ATTEMPTS = 2
_END_WITHIN_S = 5.0
_DEATHS_IN_A_ROW = 10  # without one result between: not one file's fault
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRESS, _RESULT, _FAILED, _UNUSABLE, _FAULT = b"p", b"r", b"e", b"u", b"f"

OnProgress = Callable[[int, float], None]  # which task, seconds heard of it


class WorkerError(EdgeError):
    """No process can do this work."""


class ProcessPool:
    """Runs tasks in processes of its own.  Used by one thread.

    Args:
        settings: see `edge.archive.work.settings_from_config`.
        processes: how many, at least 1; no more are started than there are tasks.
        ahead: no task is given out that lies so far behind the first unfinished one; None: in any order.
    """

    def __init__(self, settings: JsonObject, processes: int, ahead: Optional[int] = None) -> None:
        self._settings, self._processes, self._ahead = settings, processes, ahead
        self._running: List[_Process] = []
        self._deaths = 0

    def run(self, tasks: Sequence[str], on_progress: OnProgress = lambda number, heard_s: None) -> Iterator[Outcome]:
        """Outcomes as they come.

        Raises:
            WorkerError: the model cannot be opened, or processes die before they ever work.
        """
        waiting: Deque[int] = deque(range(len(tasks)))
        attempts: Dict[int, int] = {}
        while waiting or any(process.task is not None for process in self._running):
            while waiting and len(self._running) < min(self._processes, len(tasks)):
                self._running.append(_Process(self._settings, len(self._running)))
            for process in self._running:
                if process.task is None and waiting and self._is_near(waiting[0]):
                    process.task = waiting.popleft()
                    attempts[process.task] = attempts.get(process.task, 0) + 1
                    process.give(tasks[process.task])
            for process in self._ready():
                try:
                    kind, content = process.take()
                except (EOFError, OSError):
                    yield from self._bury(process, waiting, attempts)
                    continue
                if kind == _PROGRESS:
                    on_progress(process.task or 0, float(content))
                    continue
                number, process.task, self._deaths = process.task, None, 0
                yield _outcome(number or 0, kind, content)

    def close(self) -> None:
        """End all processes, at once: what they have not handed over is not wanted."""
        for process in self._running:
            process.end()
        self._running = []

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _is_near(self, number: int) -> bool:
        first = min([process.task for process in self._running if process.task is not None], default=number)
        return self._ahead is None or number < first + self._ahead

    def _ready(self) -> "List[_Process]":
        by_connection = {process.connection: process for process in self._running if process.task is not None}
        return [by_connection[ready] for ready in wait(list(by_connection))]  # type: ignore[index]

    def _bury(self, process: "_Process", waiting: Deque[int], attempts: Dict[int, int]) -> Iterator[Outcome]:
        self._running.remove(process)
        number, how = process.task, process.end()
        assert number is not None
        self._deaths += 1
        if self._deaths >= _DEATHS_IN_A_ROW:
            raise WorkerError(
                "%d processes in a row died, the last %s; too little memory? Give fewer --processes"
                % (self._deaths, how)
            )
        if attempts[number] < _ATTEMPTS:
            _LOGGER.warning("a process %s over its work; another takes it up again", how)
            waiting.appendleft(number)
            return
        yield Outcome(number, None, "the process that heard it %s, twice; is there enough memory?" % how)


class _Process:
    """One process and the pipe to it."""

    def __init__(self, settings: JsonObject, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: Optional[int] = None
        self._process = context.Process(
            target=_serve,
            args=(theirs, json.dumps(settings), logging.getLogger().getEffectiveLevel()),
            name="classify-%d" % number,
            daemon=True,
        )
        limits = {name: str(settings["model"]["threads"]) for name in _THREAD_LIMITS if name not in os.environ}
        os.environ.update(limits)  # BLAS would take all cores in each process
        try:
            self._process.start()
        finally:
            for name in limits:
                del os.environ[name]
        theirs.close()

    def give(self, task: str) -> None:
        """Hand over work; one that is dead is noticed when the answer is read."""
        try:
            self.connection.send_bytes(task.encode("ascii"))
        except OSError:
            return

    def take(self) -> Tuple[bytes, bytes]:
        """Kind and content of what it sent.  Raises EOFError or OSError: it has died."""
        message = self.connection.recv_bytes()
        return message[:1], message[1:]

    def end(self) -> str:
        """End it, whatever it does, and say how it ended."""
        self.connection.close()
        self._process.join(0.2 if self.task is not None else 0.0)
        exit_code = self._process.exitcode
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_END_WITHIN_S)
            if self._process.is_alive():
                os.kill(self._process.pid or 0, signal.SIGKILL)
                self._process.join()
        if exit_code is not None and exit_code < 0:
            return "was killed (signal %d)" % -exit_code
        return "ended (exit status %s)" % exit_code


def _outcome(number: int, kind: bytes, content: bytes) -> Outcome:
    if kind == _RESULT:
        return Outcome(number, content, "")
    text = content.decode("utf-8", "replace")
    if kind == _UNUSABLE:
        raise WorkerError(text)
    if kind == _FAULT:
        _LOGGER.error("a fault inside; please report these lines\n%s", text)
        return Outcome(number, None, "a fault inside, see above: %s" % text.strip().splitlines()[-1])
    return Outcome(number, None, text)


def _serve(connection: Connection, settings: str, log_level: int) -> None:
    """What such a process does: opens the model with the first task, then one task after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    logging.basicConfig(level=log_level, format="%(levelname)s: %(message)s")
    worker: Optional[Worker] = None
    try:
        while True:
            task = connection.recv_bytes().decode("ascii")
            if worker is None:
                try:
                    worker = Worker(json.loads(settings))
                except (EdgeError, EngineError) as error:
                    connection.send_bytes(_UNUSABLE + str(error).encode("utf-8", "replace"))
                    continue
            connection.send_bytes(_answer(worker, task, connection))
    except (EOFError, OSError):
        return  # the parent has gone, or wants no more
    finally:
        if worker is not None:
            worker.close()


class _ParentGone(Exception):  # noqa: N818 - not this process's error
    """Nobody waits for what this process does."""


def _answer(worker: Worker, task: str, connection: Connection) -> bytes:
    def tell(heard_s: float) -> None:
        try:
            connection.send_bytes(_PROGRESS + b"%.3f" % heard_s)
        except OSError:
            raise _ParentGone() from None

    try:
        return _RESULT + worker.do(task, tell)
    except _ParentGone:
        raise EOFError() from None
    except SourceError as error:
        return _FAILED + str(error).encode("utf-8", "replace")
    except (EdgeError, EngineError) as error:  # no SciPy, or a GPU that has gone: the next file fares no better
        return _UNUSABLE + str(error).encode("utf-8", "replace")
    except Exception:  # noqa: BLE001 - a mistake of ours: told with its traceback, and the other files go on
        return _FAULT + traceback.format_exc().encode("utf-8", "replace")
