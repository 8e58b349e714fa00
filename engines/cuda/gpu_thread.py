"""One thread for one device: what it opens, it uses and closes, and everybody else asks it.

A CUDA context is current in one thread only, so every call to CUDA and TensorRT is handed over and waited for.
"""

import queue
import threading
import time
from concurrent.futures import Future, TimeoutError  # noqa: A004 - before 3.11 it is not the builtin one
from typing import Any, Callable, Optional, Tuple, TypeVar

from engines.errors import RuntimeUnavailableError

_Result = TypeVar("_Result")
_Call = Tuple["Future[Any]", Callable[[], Any]]

# A hop takes milliseconds; a device that is busy this long seldom comes back by itself. Whoever waits here is watched,
# and must still have time to go on without the device: well below `edge.supervision.STAGE_LIMIT_S`.
ANSWER_TIMEOUT_S = 8.0
FIRST_ANSWER_TIMEOUT_S = 60.0  # libraries load at the first use, on a Jetson from a slow card
START_TIMEOUT_S = 600.0  # compiling kernels and loading an engine on a Jetson that is doing other things
_QUEUE_LENGTH = 4  # callers wait for their answers, so more never queue up than there are callers


class GpuThread:
    """Runs calls one after the other in a thread of its own, from `start` to `close`."""

    def __init__(self, name: str) -> None:
        self._calls: "queue.Queue[Optional[_Call]]" = queue.Queue(_QUEUE_LENGTH)
        self._hangs_since_s: Optional[float] = None
        # a daemon: where the device hangs, the process must still be able to end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take calls."""
        self._thread.start()

    def call(self, function: Callable[[], _Result], timeout_s: Optional[float] = None) -> _Result:
        """Run a function in the thread.  Returns what it returns and raises what it raises.

        Args:
            timeout_s: None: ANSWER_TIMEOUT_S. Waited once: after one missing answer every later call is refused.

        Raises:
            RuntimeUnavailableError: no answer within the time, or the thread has ended.
        """
        limit_s = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
        future: "Future[_Result]" = Future()
        if not self._thread.is_alive():
            raise RuntimeUnavailableError("%s has ended; start the program again" % self._thread.name)
        if self._hangs_since_s is not None:
            raise _no_answer(time.monotonic() - self._hangs_since_s)
        began_s = time.monotonic()
        try:
            self._calls.put((future, function), timeout=limit_s)
            return future.result(limit_s)
        except (queue.Full, TimeoutError) as error:
            if future.done():  # a TimeoutError of the function itself
                raise
            self._hangs_since_s = began_s
            raise _no_answer(limit_s) from error

    def close(self, last: Callable[[], None] = lambda: None, timeout_s: Optional[float] = None) -> bool:
        """Let what was asked for be done, run `last`, and end.  Raises what `last` raises.

        Returns:
            Whether that was within the time. A device that hangs is not waited for; should it come back, `last` runs.
        """
        future: "Future[None]" = Future()
        limit_s = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
        if self._hangs_since_s is not None:
            limit_s = 0.0
        try:
            self._calls.put((future, last), timeout=limit_s)
            self._calls.put(None, timeout=limit_s)
        except queue.Full:
            return False
        self._thread.join(limit_s)
        if future.done():
            future.result()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            future, function = call
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                future.set_exception(error)
            del call, future, function  # nothing of the device may outlive its closing here


def _no_answer(waited_s: float) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        "the GPU has not answered for %g s; see the kernel's log (dmesg); restart the machine if it stays so"
        % round(waited_s, 1)
    )
