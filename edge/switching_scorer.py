"""Hears on the processor from the first moment, and on the GPU once that is ready: no hop is lost or heard twice.

What takes over first hears the last window that was answered, finds its own answer to it, which is not told again, and
goes on from there. So does the processor when the GPU fails.
"""

import logging
import threading
from typing import Callable, List, Optional

import numpy as np

from edge.recent_samples import RecentSamples
from edge.records import WindowScores
from edge.scorer import Scorer
from engines.bundle import Bundle
from engines.errors import EngineError
from engines.selftest import SelfTestResult

_LOGGER = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 1.0  # a build is ended at once; kernels that are being compiled end with the process


class ClosedError(Exception):
    """Nobody waits for the other scorer any more."""


CheckWanted = Callable[[], None]  # raises ClosedError


class SwitchingScorer(Scorer):
    """A scorer that replaces itself by a better one.

    Args:
        first: open and proven; owned from now on.
        prepare: opens the better one, in a thread of its own; takes what it must call now and then.
        open_first: opens another one like `first`, should the better one fail.
    """

    def __init__(
        self,
        bundle: Bundle,
        hop_s: float,
        first: Scorer,
        prepare: Callable[[CheckWanted], Scorer],
        open_first: Callable[[], Scorer],
    ) -> None:
        self._bundle, self._current, self._prepare, self._open_first = bundle, first, prepare, open_first
        self._hop_samples = max(1, int(hop_s * bundle.frontend.sample_rate_hz))
        self._recent = RecentSamples(bundle.frontend.window_samples + 2 * self._hop_samples)
        self._offset = 0  # where the current scorer's first sample lies in the stretch since the last gap
        self._last: Optional[WindowScores] = None  # answer of this stretch
        self._answered = 0  # windows of this stretch
        self._has_switched = False
        self._lock = threading.Lock()
        self._prepared: Optional[Scorer] = None
        self._closing = threading.Event()
        self.why_not = ""  # the better one does not serve, for people
        self._thread = threading.Thread(target=self._run, name="prepare-" + bundle.name, daemon=True)
        self._thread.start()

    def push(self, samples: np.ndarray) -> List[WindowScores]:
        """Take mono float32 samples [T].  Returns the answers that they completed, oldest first."""
        answers: List[WindowScores] = []
        for start in range(0, len(samples), self._hop_samples):
            answers += self._push_part(samples[start : start + self._hop_samples])
        return answers

    def finish(self) -> List[WindowScores]:
        """The answer for a stretch too short for one window.  Starts anew afterwards."""
        try:
            answers = self._told(self._current.finish())
        except EngineError as error:
            answers = self._fall_back(error) + self._told(self._current.finish())
        self._forget()
        return answers

    def start_at(self, number: int) -> None:
        """The next sample begins the window of this number."""
        self._current.start_at(number)
        self._forget()
        self._answered = number

    def run_selftest(self) -> SelfTestResult:
        """Check the scorer that answers now.  Raises SelfTestError."""
        return self._current.run_selftest()

    def describe(self) -> str:
        """What computes now, for people."""
        return self._current.describe()

    def close(self) -> None:
        """Give up preparing and release everything; harmless when called again."""
        self._closing.set()
        self._thread.join(_CLOSE_TIMEOUT_S)
        prepared = self._take_prepared()
        if prepared is not None:
            prepared.close()
        self._current.close()

    def wait_until_prepared(self, timeout_s: float) -> bool:
        """Whether preparing has come to its end, good or bad."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        scorer: Optional[Scorer] = None
        try:
            scorer = self._prepare(self._check_wanted)
            result = scorer.run_selftest()
            _LOGGER.info(
                "ready: %s; self-test within %.1g dB and %.1g",
                scorer.describe(),
                result.logmel_error_db,
                result.logit_error,
            )
        except ClosedError:
            return
        except EngineError as error:
            self.why_not = " ".join(str(error).split())
            _LOGGER.warning("the processor goes on hearing: %s", self.why_not)
        except Exception as error:  # the thread's boundary: a fault in preparing must not end what hears well
            self.why_not = "a fault inside: %s" % error
            _LOGGER.exception("the processor goes on hearing: a fault inside")
        if self.why_not:
            if scorer is not None:
                scorer.close()
            return
        with self._lock:
            self._prepared, scorer = (None, scorer) if self._closing.is_set() else (scorer, None)
        if scorer is not None:
            scorer.close()

    def _check_wanted(self) -> None:
        if self._closing.is_set():
            raise ClosedError

    def _take_prepared(self) -> Optional[Scorer]:
        with self._lock:
            prepared, self._prepared = self._prepared, None
            return prepared

    def _forget(self) -> None:
        self._recent.reset()
        self._offset, self._last, self._answered = 0, None, 0

    def _push_part(self, part: np.ndarray) -> List[WindowScores]:
        answers: List[WindowScores] = []
        prepared = self._take_prepared()
        if prepared is not None:
            answers += self._switch_to(prepared)
        self._recent.append(part)
        try:
            return answers + self._told(self._current.push(part))
        except EngineError as error:
            return answers + self._fall_back(error)

    def _switch_to(self, better: Scorer) -> List[WindowScores]:
        before = self._current
        try:
            answers = self._replay(better)
        except EngineError as error:
            self.why_not = " ".join(str(error).split())
            _LOGGER.warning("the processor goes on hearing: %s", self.why_not)
            better.close()
            return []
        self._current, self._has_switched = better, True
        before.close()
        _LOGGER.info("from now on: %s", better.describe())
        return answers

    def _fall_back(self, error: EngineError) -> List[WindowScores]:
        """Go on with the processor, from the last answer on.  Raises the error where it is the processor's own."""
        if not self._has_switched:
            raise error
        self.why_not = " ".join(str(error).split())
        _LOGGER.error("the GPU has failed and the processor goes on hearing: %s", self.why_not)
        self._has_switched = False
        failed, self._current = self._current, self._open_first()
        answers = self._replay(self._current)
        try:
            failed.close()
        except EngineError as second:
            _LOGGER.warning("the GPU cannot be released: %s", second)
        return answers

    def _replay(self, scorer: Scorer) -> List[WindowScores]:
        """Let a fresh scorer hear the stretch from the last answered window on.  Returns what that window is not."""
        start = 0 if self._last is None else self._last.first_sample
        scorer.start_at(self._answered - (self._last is not None))
        answers = scorer.push(self._recent.since(start))
        if self._last is not None:
            difference = float(np.abs(answers[0].logits - self._last.logits).max())
            _LOGGER.info("the last window's answer, by both: within %.2g of a logit", difference)
            answers = answers[1:]
        self._offset = start
        return self._told(answers)

    def _told(self, answers: List[WindowScores]) -> List[WindowScores]:
        """Answers as the stretch counts samples and windows; the last one is remembered."""
        offset = self._offset
        moved = [
            answer._replace(first_sample=answer.first_sample + offset, end_sample=answer.end_sample + offset)
            for answer in answers
        ]
        if moved:
            self._last = moved[-1]
            self._answered += len(moved)
        return moved
