"""One thread for one device: what it opens, it uses and closes, and everybody else asks it.

A CUDA context is current in one thread only, so every call to CUDA and TensorRT is handed over and waited for.
"""

import queue
import threading
from concurrent.futures import Future, TimeoutError  # noqa: A004 - before 3.11 it is not the builtin one
from typing import Any, Callable, Optional, Tuple, TypeVar

from engines.errors import RuntimeUnavailableError

_Result = TypeVar("_Result")
_Call = Tuple["Future[Any]", Callable[[], Any]]

ANSWER_TIMEOUT_S = 60.0  # a hop takes milliseconds; a device that is busy this long never comes back by itself
START_TIMEOUT_S = 600.0  # compiling kernels and loading an engine on a Jetson that is doing other things
_QUEUE_LENGTH = 4  # callers wait for their answers, so more never queue up than there are callers


class GpuThread:
    """Runs calls one after the other in a thread of its own, from `start` to `close`."""

    def __init__(self, name: str) -> None:
        self._calls: "queue.Queue[Optional[_Call]]" = queue.Queue(_QUEUE_LENGTH)
        # a daemon: where the device hangs, the process must still be able to end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take calls."""
        self._thread.start()

    def call(self, function: Callable[[], _Result], timeout_s: float = ANSWER_TIMEOUT_S) -> _Result:
        """Run a function in the thread.  Returns what it returns and raises what it raises.

        Raises:
            RuntimeUnavailableError: no answer within the time, or the thread has ended.
        """
        future: "Future[_Result]" = Future()
        if not self._thread.is_alive():
            raise RuntimeUnavailableError("%s has ended; start the program again" % self._thread.name)
        try:
            self._calls.put((future, function), timeout=timeout_s)
            return future.result(timeout_s)
        except (queue.Full, TimeoutError) as error:
            if future.done():  # a TimeoutError of the function itself
                raise
            raise RuntimeUnavailableError(
                "the GPU has not answered for %g s; see the kernel's log (dmesg); restart the machine if it stays so"
                % timeout_s
            ) from error

    def close(self, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Let what was asked for be done and end.  Returns whether it did within the time."""
        try:
            self._calls.put(None, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout_s)
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
