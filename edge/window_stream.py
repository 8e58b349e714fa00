"""Cuts a stream into windows, one a hop: the arithmetic that every scorer shares."""

from typing import Callable, List

import numpy as np

from edge.records import WindowScores
from engines.bundle import Bundle
from engines.logmel_stream import LogMelStream
from engines.windows import fill_short_clip

_SHORTEST_S = 0.05  # less sound than this is no clip

Infer = Callable[[], np.ndarray]


class WindowStream:
    """Hears one stream at the bundle's rate and answers once each hop.

    Args:
        front_end: takes the samples; the stream's own.
        infer: raw outputs [n_outputs] for the window that the front end holds now.
    """

    def __init__(self, bundle: Bundle, front_end: LogMelStream, infer: Infer, hop_s: float) -> None:
        self._bundle, self._front_end, self._infer, self._hop_s = bundle, front_end, infer, hop_s
        self._beginning = np.zeros(bundle.frontend.window_samples, np.float32)
        self.start_anew()

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
        """The answer for a stretch too short for one window, filled by the bundle's rule.  Starts anew afterwards."""
        answers = []
        spec = self._bundle.frontend
        if self._first == self._windows == 0 and self._samples >= _SHORTEST_S * spec.sample_rate_hz:
            heard = self._beginning[: self._samples]
            self._front_end.reset()
            self._front_end.push(fill_short_clip(heard, spec.window_samples, self._bundle.short_clip))
            answers.append(WindowScores(0, self._samples, np.array(self._infer(), np.float32)))
        self.start_anew()
        return answers

    def start_anew(self, number: int = 0) -> None:
        """Forget everything heard.

        Args:
            number: of the window that the next sample begins, counted from the beginning of a stretch whose windows
                another stream answered so far.
        """
        self._front_end.reset()
        self._first, self._samples, self._windows = number, 0, 0

    def _next_frames(self) -> int:
        # counted from the stretch's beginning, so that hops that are no whole number of frames do not drift
        begun = self._frames_before(self._first)
        return self._bundle.frontend.window_frames + self._frames_before(self._first + self._windows) - begun

    def _frames_before(self, number: int) -> int:
        return int(round(number * self._hop_s * self._bundle.frontend.frames_per_s))

    def _keep_beginning(self, part: np.ndarray) -> None:
        if self._samples < len(self._beginning):
            kept = part[: len(self._beginning) - self._samples]
            self._beginning[self._samples : self._samples + len(kept)] = kept

    def _answer(self) -> WindowScores:
        spec = self._bundle.frontend
        first = (self._next_frames() - spec.window_frames) * spec.hop_length
        logits = self._infer()
        self._windows += 1
        return WindowScores(first, first + spec.window_samples, np.array(logits, np.float32))
