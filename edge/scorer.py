"""Front end and model as one unit: samples in, raw answers out.

One unit because on a GPU both work on one buffer that never leaves the device. What is behind it is chosen once,
when the scorer is made; nothing else in the node knows.
"""

from abc import ABC, abstractmethod
from typing import Any, List

import numpy as np

from edge.records import WindowScores
from edge.timing import OnStage, ignore_stage
from edge.window_stream import WindowStream
from engines.bundle import Bundle
from engines.runtimes import open_runtime
from engines.runtimes.base import Runtime
from engines.selftest import SelfTestResult, run_selftest
from engines.streaming import StreamingLogMel


class Scorer(ABC):
    """Hears one stream at the bundle's rate and answers once each hop."""

    stage = "log-mel and model"  # what the time in `push` is counted as

    @abstractmethod
    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""

    @abstractmethod
    def finish(self) -> List[WindowScores]:
        """The stream ends, or a gap follows: the answer for a stretch too short for one window, filled by the
        bundle's rule.  Starts anew afterwards."""

    @abstractmethod
    def start_at(self, number: int) -> None:
        """Forget what was heard; the next sample begins the window of this number, counted from the beginning of a
        stretch that another scorer heard so far. The windows after it lie where that scorer's would."""

    @abstractmethod
    def run_selftest(self) -> SelfTestResult:
        """Check this very unit against the bundle's record.  Raises SelfTestError."""

    @abstractmethod
    def describe(self) -> str:
        """What computes here, for people."""

    def report_stages(self, on_stage: OnStage) -> None:  # noqa: B027 - most cannot
        """Call this at the end of each stage within `push`, where they can be told apart."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; harmless when called again."""

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class CpuScorer(Scorer):
    """Streaming NumPy front end, and a runtime that takes its input from the host."""

    stage = "log-mel"

    def __init__(self, bundle: Bundle, runtime: Runtime, hop_s: float) -> None:
        self._bundle, self._runtime = bundle, runtime
        self._front_end = StreamingLogMel(bundle.frontend)
        self._stream = WindowStream(bundle, self._front_end, self._infer, hop_s)
        self._on_stage: OnStage = ignore_stage

    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""
        return self._stream.push(samples)

    def finish(self) -> List[WindowScores]:
        """The answer for a stretch too short for one window.  Starts anew afterwards."""
        return self._stream.finish()

    def start_at(self, number: int) -> None:
        """The next sample begins the window of this number."""
        self._stream.start_anew(number)

    def run_selftest(self) -> SelfTestResult:
        """Check this very unit against the bundle's record.  Raises SelfTestError."""
        return run_selftest(self._bundle, self._runtime)

    def describe(self) -> str:
        """What computes here, for people."""
        return "NumPy %s front end, %s" % (np.__version__, self._runtime.describe())

    def report_stages(self, on_stage: OnStage) -> None:
        """Call this at the end of "log-mel" and of "model"."""
        self._on_stage = on_stage

    def close(self) -> None:
        """Release the runtime."""
        self._runtime.close()

    def _infer(self) -> np.ndarray:
        window = self._front_end.read_window()
        self._on_stage("log-mel")
        logits = self._runtime.infer(window)
        self._on_stage("model")
        return logits


def open_scorer(bundle: Bundle, runtime: str, threads: int, hop_s: float) -> Scorer:
    """The best scorer that works here.  Raises RuntimeUnavailableError or BundleError."""
    return CpuScorer(bundle, open_runtime(bundle, runtime, threads), hop_s)
