"""Front end and model as one unit: samples in, raw answers out.

One unit because on a GPU both work on one buffer that never leaves the device. What is behind it is chosen once,
when the scorer is made; nothing else in the node knows.
"""

from abc import ABC, abstractmethod
from typing import Any, List

import numpy as np

from edge.records import WindowScores
from engines.bundle import Bundle
from engines.runtimes import open_runtime
from engines.runtimes.base import Runtime
from engines.selftest import SelfTestResult, run_selftest
from engines.streaming import StreamingLogMel
from engines.windows import fill_short_clip

_SHORTEST_S = 0.05  # less sound than this is no clip


class Scorer(ABC):
    """Hears one stream at the bundle's rate and answers once each hop."""

    @abstractmethod
    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""

    @abstractmethod
    def finish(self) -> List[WindowScores]:
        """The stream ends, or a gap follows: the answer for a stretch too short for one window, filled by the
        bundle's rule.  Starts anew afterwards."""

    @abstractmethod
    def run_selftest(self) -> SelfTestResult:
        """Check this very unit against the bundle's record.  Raises SelfTestError."""

    @abstractmethod
    def describe(self) -> str:
        """What computes here, for people."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; harmless when called again."""

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class CpuScorer(Scorer):
    """Streaming NumPy front end, and a runtime that takes its input from the host."""

    def __init__(self, bundle: Bundle, runtime: Runtime, hop_s: float) -> None:
        self._bundle, self._runtime, self._hop_s = bundle, runtime, hop_s
        self._front_end = StreamingLogMel(bundle.frontend)
        self._beginning = np.zeros(bundle.frontend.window_samples, np.float32)
        self._start_anew()

    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""
        answers, taken = [], 0
        while taken < len(samples):
            until = self._front_end.samples_until_frames(self._next_frames())
            part = samples[taken : taken + max(1, until)]
            self._keep_beginning(part)
            self._front_end.push(part)
            self._samples += len(part)
            taken += len(part)
            if self._front_end.frames >= self._next_frames():
                answers.append(self._answer())
        return answers

    def finish(self) -> List[WindowScores]:
        """The answer for a stretch too short for one window.  Starts anew afterwards."""
        answers = []
        spec = self._bundle.frontend
        if self._windows == 0 and self._samples >= _SHORTEST_S * spec.sample_rate_hz:
            heard = self._beginning[: self._samples]
            self._front_end.reset()
            self._front_end.push(fill_short_clip(heard, spec.window_samples, self._bundle.short_clip))
            logits = self._runtime.infer(self._front_end.read_window())
            answers.append(WindowScores(0, self._samples, np.array(logits, np.float32)))
        self._start_anew()
        return answers

    def run_selftest(self) -> SelfTestResult:
        """Check this very unit against the bundle's record.  Raises SelfTestError."""
        return run_selftest(self._bundle, self._runtime)

    def describe(self) -> str:
        """What computes here, for people."""
        return "NumPy %s front end, %s" % (np.__version__, self._runtime.describe())

    def close(self) -> None:
        """Release the runtime."""
        self._runtime.close()

    def _start_anew(self) -> None:
        self._front_end.reset()
        self._samples = self._windows = 0

    def _next_frames(self) -> int:
        # counted from the beginning, so that hops that are no whole number of frames do not drift
        spec = self._bundle.frontend
        return spec.window_frames + int(round(self._windows * self._hop_s * spec.frames_per_s))

    def _keep_beginning(self, part: np.ndarray) -> None:
        if self._samples < len(self._beginning):
            kept = part[: len(self._beginning) - self._samples]
            self._beginning[self._samples : self._samples + len(kept)] = kept

    def _answer(self) -> WindowScores:
        spec = self._bundle.frontend
        first = (self._next_frames() - spec.window_frames) * spec.hop_length
        logits = self._runtime.infer(self._front_end.read_window())
        self._windows += 1
        return WindowScores(first, first + spec.window_samples, np.array(logits, np.float32))


def open_scorer(bundle: Bundle, runtime: str, threads: int, hop_s: float) -> Scorer:
    """The best scorer that works here.  Raises RuntimeUnavailableError or BundleError."""
    return CpuScorer(bundle, open_runtime(bundle, runtime, threads), hop_s)
