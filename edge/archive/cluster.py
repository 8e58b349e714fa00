"""The same work on many machines, by Dask (the extra `cluster`).

Why Dask and not Ray: it is plain Python for any processor and new version (25 MB installed; Ray 2.60 is a wheel of
79 MB, built for each), runs on an office's own machines with two commands, gives a killed worker's tasks to another by
itself, and says when one task has killed several workers. Ray's strengths, objects in shared memory that spill to disk
and actors, serve nothing here: a task is some file names, a result some hundred kilobytes.

The machines read the recordings by the same paths (a network share) and have this package and the same bundle.
Results come back to the machine that asked, which alone writes; a task that was done twice, its worker killed before
the result arrived, still counts once. Dask's own messages hold pickles: on a network that is not yours alone give it
TLS (`tls://`, DASK_DISTRIBUTED__COMM__TLS__*).
"""

import logging
import re
import socket
import threading
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

from edge.archive.work import Outcome, Worker
from edge.errors import EdgeError, SourceError
from edge.records import JsonObject
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)
_WORKERS_WITHIN_S = 60.0
_ANSWER_WITHIN_S = 10.0
_ADDRESS = re.compile(r"(?:tcp|tls)://([^/\s]+):(\d{1,5})\Z")
_AHEAD = 4  # tasks given out for each thread of the cluster: no scheduler holds a hundred thousand
_AT_HAND = threading.local()  # a scorer belongs to one thread


class ClusterError(EdgeError):
    """A cluster that cannot be reached or used."""


class Cluster:
    """Runs tasks on a Dask cluster.

    Args:
        settings: see `edge.archive.work.settings_from_config`.
        address: of the scheduler, such as tcp://10.0.0.1:8786.

    Raises:
        ClusterError: Dask is not installed, nobody answers there, or no worker joins within a minute.
    """

    def __init__(self, settings: JsonObject, address: str) -> None:
        try:
            import distributed as library
        except ImportError:
            raise ClusterError(
                "--cluster needs Dask (Python 3.9 or later); pip install 'soundclr-node[cluster]' here and on the "
                "machines of the cluster"
            ) from None
        distributed: Any = library  # without types
        self._distributed = distributed
        self._settings, self._address = settings, address
        _check_answer(address)
        try:
            self._client = distributed.Client(address, timeout=_WORKERS_WITHIN_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                "--cluster %s: no scheduler answers (%s); start one with `dask scheduler`" % (address, error)
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=_WORKERS_WITHIN_S)
        except (OSError, TimeoutError):
            self._client.close()
            raise ClusterError(
                "--cluster %s: has no workers; start some with `dask worker %s --nthreads 1`" % (address, address)
            ) from None

    def run(
        self, tasks: Sequence[str], on_progress: Callable[[int, float], None] = lambda number, heard_s: None
    ) -> Iterator[Outcome]:
        """Outcomes as they come.  Raises ClusterError: the machines lack the bundle, or the scheduler has gone."""
        del on_progress  # a task of a cluster tells when it is done
        numbers = iter(range(len(tasks)))
        running: Dict[Any, int] = {}
        done = self._distributed.as_completed(loop=self._client.loop)
        self._give_out(tasks, numbers, running, done)
        for future in done:
            number = running.pop(future)
            yield self._outcome(number, future)
            future.release()
            self._give_out(tasks, numbers, running, done)

    def close(self) -> None:
        """Leave the cluster; what it still works on for us is dropped."""
        self._client.close()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _give_out(self, tasks: Sequence[str], numbers: Iterator[int], running: Dict[Any, int], done: Any) -> None:
        most = _AHEAD * max(1, sum(self._client.nthreads().values()))
        while len(running) < most:
            number = next(numbers, None)
            if number is None:
                return
            future = self._client.submit(do_task, self._settings, tasks[number], pure=False)
            running[future] = number
            done.add(future)

    def _outcome(self, number: int, future: Any) -> Outcome:
        if future.cancelled():
            raise ClusterError("--cluster %s: the scheduler has gone; give the command again" % self._address)
        error = future.exception()
        if error is None:
            result, complaint, is_unusable = future.result()
            if is_unusable:
                raise ClusterError("--cluster %s: %s" % (self._address, complaint))
            return Outcome(number, result, complaint)
        if isinstance(error, self._distributed.scheduler.KilledWorker):
            return Outcome(number, None, "every worker that heard it was killed; is there enough memory?")
        _LOGGER.error("a fault inside; please report this line: %r", error)
        return Outcome(number, None, "a fault inside, see above: %s" % error)


def _check_answer(address: str) -> None:
    """Dask's own client goes on trying, and then complains at length."""
    found = _ADDRESS.match(address)
    if not found:
        raise ClusterError("--cluster %s: no address such as tcp://10.0.0.1:8786" % address)
    try:
        socket.create_connection((found.group(1).strip("[]"), int(found.group(2))), _ANSWER_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            "--cluster %s: no scheduler answers (%s); start one with `dask scheduler`" % (address, error)
        ) from None


def do_task(settings: JsonObject, task: str) -> Tuple[Optional[bytes], str, bool]:
    """One piece of work, on a machine of the cluster: the result, the complaint, and whether no work can be done."""
    try:
        if getattr(_AT_HAND, "settings", None) != settings:
            if getattr(_AT_HAND, "worker", None) is not None:
                _AT_HAND.worker.close()
            _AT_HAND.worker = _AT_HAND.settings = None  # should the next one not open
            _AT_HAND.worker, _AT_HAND.settings = Worker(settings), settings
    except (EdgeError, EngineError) as error:
        return None, str(error), True
    try:
        return _AT_HAND.worker.do(task), "", False
    except SourceError as error:
        return None, str(error), False
    except (EdgeError, EngineError) as error:  # no SciPy, or a GPU that has gone: the next file fares no better
        return None, str(error), True
