"""Where captured blocks lie in a microphone's stream, and what was lost between them. Reads no clock."""

from typing import Dict, NamedTuple, Optional

from edge.records import Gap
from edge.sources.framing import Record

_DRIFT_WINDOW_S = 10.0
_DRIFT_LIMIT = 0.02  # of the window; a clock that is wrong, and no more, stays below 0.0002


class Placement(NamedTuple):
    """Where one block begins."""

    first_sample: int  # since the source's first opening, lost ones counted
    gap: Optional[Gap]


class CaptureTimeline:
    """Counts samples so that stream time keeps up with monotonic time across losses and restarts."""

    def __init__(self, counters: Dict[str, int]) -> None:
        """`counters` gets "overflows" and "lost_samples" counted into."""
        self._counters = counters
        self._next_sample = 0
        self._next_frame = 0  # of the child's own count
        self._end_s = 0.0  # when the last sample was captured
        self._rate_hz = 0
        self._interruption: Optional[str] = None
        self._drift = _DriftWatch()

    @property
    def heard(self) -> bool:
        """Whether there has been any sound at all."""
        return self._rate_hz > 0

    def interrupt(self, reason: str) -> None:
        """The stream broke off; a lost device is worth more as a reason than what followed from it."""
        if self._interruption is None or reason == "device_lost":
            self._interruption = reason

    def place(self, record: Record, sample_rate_hz: int) -> Placement:
        """Append one AUDIO record.

        A child that starts anew counts its frames from 0, so interrupt() comes first. Where the rate changes with
        it, the count goes on in samples of the new rate.
        """
        captured_s = record.captured_ns * 1e-9
        if self.heard and sample_rate_hz != self._rate_hz:
            self._next_sample = round(self._next_sample * sample_rate_hz / float(self._rate_hz))
        gap = self._gap_before(record, captured_s, sample_rate_hz) if self.heard else None
        if record.overflow:
            self._counters["overflows"] += 1
        if gap is not None:
            self._counters["lost_samples"] += gap.lost_samples
            self._next_sample += gap.lost_samples
            self._drift.reset()
        first_sample = self._next_sample
        self._rate_hz = sample_rate_hz
        self._interruption = None
        self._next_sample += record.frames
        self._next_frame = record.first_frame + record.frames
        self._end_s = captured_s + record.frames / float(sample_rate_hz)
        return Placement(first_sample, gap)

    def _gap_before(self, record: Record, captured_s: float, sample_rate_hz: int) -> Optional[Gap]:
        by_clock = max(0, round((captured_s - self._end_s) * sample_rate_hz))
        if self._interruption is not None:
            return Gap(self._interruption, by_clock)
        dropped = max(0, record.first_frame - self._next_frame)
        if record.overflow:
            return Gap("overflow", max(dropped, by_clock))
        if dropped:
            return Gap("overflow", dropped)
        lag_s = captured_s - self._next_sample / float(sample_rate_hz)
        unreported_s = self._drift.loss_s(captured_s, lag_s)
        return Gap("overflow", round(unreported_s * sample_rate_hz)) if unreported_s else None


class FrozenWatch:
    """Notices a device that repeats one block, zeros for instance: what sounds is never the same twice."""

    def __init__(self, limit_blocks: int) -> None:
        self._limit_blocks = limit_blocks
        self._last = b""
        self._repeats = 0

    @property
    def is_frozen(self) -> bool:
        """Whether the last limit_blocks blocks were all the same."""
        return self._repeats >= self._limit_blocks

    def see(self, payload: bytes) -> None:
        """Take the next block."""
        self._repeats = self._repeats + 1 if payload == self._last else 0
        self._last = payload


class _DriftWatch:
    """Finds sound that a device lost without a word: frames fall behind the clock.

    The smallest lag of a window counts: scheduling can only make a block late, never early.
    """

    def __init__(self) -> None:
        self._window_end_s: Optional[float] = None
        self._least_s = 0.0
        self._reference_s: Optional[float] = None

    def reset(self) -> None:
        """Begin anew, after a gap that is accounted for."""
        self._window_end_s = self._reference_s = None

    def loss_s(self, now_s: float, lag_s: float) -> float:
        """Seconds of sound found lost at the end of a window; 0.0 otherwise."""
        if self._window_end_s is None:
            self._window_end_s, self._least_s = now_s + _DRIFT_WINDOW_S, lag_s
            return 0.0
        self._least_s = min(self._least_s, lag_s)
        if now_s < self._window_end_s:
            return 0.0
        grown_s = 0.0 if self._reference_s is None else self._least_s - self._reference_s
        self._reference_s = self._least_s
        self._window_end_s, self._least_s = now_s + _DRIFT_WINDOW_S, lag_s
        return grown_s if grown_s > _DRIFT_LIMIT * _DRIFT_WINDOW_S else 0.0
