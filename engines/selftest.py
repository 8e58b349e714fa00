"""The self-test: does this device give the answers that the trainer recorded for a real sound?"""

import tokenize
import zipfile
import zlib
from typing import NamedTuple, Union

import numpy as np

from engines.bundle import Bundle
from engines.errors import BundleError, SelfTestError, shown
from engines.runtimes.base import DeviceRuntime, Runtime
from engines.streaming import StreamingLogMel

LOGMEL_TOLERANCE_DB = 5e-3
# Of a logit, by the precision computed in. Single: what ONNX Runtime 1.10 to 1.32 differ by is 100 times less. Half and
# eight bits: see `trainer.quantise` for what the shipped network is off by; beyond a tenth and a whole logit it is no
# rounding any more. Below single precision the best class must be the recorded one, too.
LOGIT_TOLERANCES = {"fp32": 5e-3, "fp16": 0.1, "int8": 1.0}
LOGIT_TOLERANCE = LOGIT_TOLERANCES["fp32"]


# a damaged archive: of its directory, its compression, the arrays' headers (which Python parses), their sizes
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    SyntaxError,
    MemoryError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    AttributeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class SelfTestReference(NamedTuple):
    """What `selftest.npz` holds."""

    samples: np.ndarray  # float32 [window_samples]: a real recording, exactly one window
    logmel: np.ndarray  # float32 [n_mels, window_frames]: the definition's result
    logits: np.ndarray  # float32 [n_outputs]: the trainer's network on it


class SelfTestResult(NamedTuple):
    """Largest differences found."""

    logmel_error_db: float
    logit_error: float


def load_selftest(bundle: Bundle) -> SelfTestReference:
    """Read `selftest.npz` (no pickle) and check its shapes.  Raises BundleError."""
    spec = bundle.frontend
    shapes = {
        "samples": (spec.window_samples,),
        "logmel": (spec.n_mels, spec.window_frames),
        "logits": (bundle.n_outputs,),
    }
    try:
        with np.load(str(bundle.path / "selftest.npz"), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], np.float32) for name in shapes}
    except _UNREADABLE as error:
        raise BundleError(
            "bundle %s: selftest.npz cannot be read (%s); export the bundle again"
            % (bundle.path, shown(str(error))[1:-1])
        ) from error
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise BundleError(
                "bundle %s: selftest.npz holds %s of shape %s; expected finite values of shape %s"
                % (bundle.path, name, arrays[name].shape, shape)
            )
    return SelfTestReference(arrays["samples"], arrays["logmel"], arrays["logits"])


def run_selftest(bundle: Bundle, runtime: Runtime) -> SelfTestResult:
    """Compute the recorded sound's log-mel and logits here, and compare.

    Raises:
        SelfTestError: they differ by more than the tolerances: the runtime must not be used.
        BundleError: `selftest.npz` is unusable.
    """
    reference = load_selftest(bundle)
    front_end = StreamingLogMel(bundle.frontend)
    front_end.push(reference.samples)
    logmel = front_end.read_window()
    logmel_error_db = float(np.abs(logmel - reference.logmel).max() / abs(bundle.frontend.scale))
    return judge_selftest(bundle, runtime, logmel_error_db, runtime.infer(logmel), reference)


def judge_selftest(
    bundle: Bundle,
    computed_by: Union[Runtime, DeviceRuntime],
    logmel_error_db: float,
    logits: np.ndarray,
    reference: SelfTestReference,
) -> SelfTestResult:
    """Compare what was computed with the record.

    Args:
        computed_by: names itself in the complaint; its precision sets the tolerance.

    Raises:
        SelfTestError: as `run_selftest`.
    """
    tolerance = LOGIT_TOLERANCES[computed_by.precision]
    logit_error = float(np.abs(logits - reference.logits).max())
    known = len(bundle.labels)  # the extra output is no answer: it may be the largest whatever is heard
    same_answer = computed_by.precision == "fp32" or np.argmax(logits[:known]) == np.argmax(reference.logits[:known])
    # written so that a NaN fails too
    if not (logmel_error_db <= LOGMEL_TOLERANCE_DB and logit_error <= tolerance and same_answer):
        raise SelfTestError(
            "self-test of bundle %s on %s: log-mel differs by %.2g dB (at most %g), logits by %.2g (at "
            "most %g)%s; this runtime would mishear: use another, or export the bundle again"
            % (
                bundle.name,
                computed_by.describe(),
                logmel_error_db,
                LOGMEL_TOLERANCE_DB,
                logit_error,
                tolerance,
                "" if same_answer else ", the best class is another",
            )
        )
    return SelfTestResult(logmel_error_db, logit_error)
