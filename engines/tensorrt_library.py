"""TensorRT's Python module: loading it, its version, its log.

Versions 8.2 (JetPack 4.6), 10 (JetPack 6 and 7, workstations) and 11 differ in what their classes offer. Everywhere
in `engines` the choice is made by looking whether a member is there, never by comparing versions.
"""

import importlib.util
import re
from typing import Any, List, Tuple

from engines.errors import RuntimeUnavailableError

OLDEST = (8, 2)
NEWEST_MAJOR = 11
_MAX_COMPLAINTS = 20


def load_tensorrt() -> Any:
    """The module `tensorrt`.

    Raises:
        RuntimeUnavailableError: it is not here, cannot be loaded, or is of a version that this node does not know.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise RuntimeUnavailableError(
            "TensorRT's Python module cannot be loaded (%s); on a Jetson it is the system's package "
            "python3-libnvinfer, seen from an environment made with --system-site-packages" % _one_line(error)
        ) from error
    read_version(tensorrt)
    return tensorrt


def name_missing_modules() -> str:
    """Which of the modules that a GPU needs are not installed, for people; empty where all are.  Loads none."""
    wanted = (("tensorrt", "TensorRT's Python module"), ("pycuda", "PyCUDA"))
    missing = [name for module, name in wanted if importlib.util.find_spec(module) is None]
    return " and ".join(missing) + " (not installed)" if missing else ""


def read_version(trt: Any) -> Tuple[int, ...]:
    """The module's version.  Raises RuntimeUnavailableError outside 8.2 to 11."""
    text = str(getattr(trt, "__version__", ""))
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
    if len(numbers) < 2:
        raise RuntimeUnavailableError(
            "TensorRT's Python module gives its version as %r; expected a number such as 8.2.1: install it again" % text
        )
    if numbers < OLDEST:
        raise RuntimeUnavailableError(
            "TensorRT %s is older than 8.2, the first that this node knows; on a Jetson Nano update to JetPack 4.6.1 "
            "or later" % text
        )
    if numbers[0] > NEWEST_MAJOR:
        raise RuntimeUnavailableError(
            "TensorRT %s is newer than %d, the last that this node knows; update the node, or install TensorRT %d"
            % (text, NEWEST_MAJOR, NEWEST_MAJOR)
        )
    return numbers


def new_log(trt: Any) -> Any:
    """A logger that keeps what TensorRT complains of instead of printing it: its `complaints`.

    It must outlive everything that it is given to.
    """
    severe = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)

    class Log(trt.ILogger):  # type: ignore  # the module, and so its class, is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaints: List[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in severe and len(self.complaints) < _MAX_COMPLAINTS:
                self.complaints.append(_one_line(msg))

    return Log()


def first_complaint(log: Any) -> str:
    """The first thing that went wrong, as TensorRT says it; what follows it are mostly consequences."""
    return str(log.complaints[0]) if log.complaints else "TensorRT gives no reason"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
