"""Where captured blocks lie in a microphone's stream, and what was lost between them. Reads no clock."""

from typing import Dict, NamedTuple, Optional

from edge.records import Gap
from edge.sources.drift import DriftWatch
from edge.sources.framing import Record


class Placement(NamedTuple):
    """Where one block begins."""

    first_sample: int  # since the source's first opening, lost ones counted
    gap: Optional[Gap]


class CaptureTimeline:
    """Counts samples so that stream time keeps up with monotonic time across losses and restarts."""

    def __init__(self, counters: Dict[str, int]) -> None:
        """`counters` gets "overflows", "skips", "drifts" and "lost_samples" counted into."""
        self._counters = counters
        self._next_sample = 0
        self._next_frame = 0  # of the child's own count
        self._end_s = 0.0  # when the last sample was captured
        self._rate_hz = 0
        self._interruption: Optional[str] = None
        self._drift = DriftWatch(counters)

    @property
    def heard(self) -> bool:
        """Whether there has been any sound at all."""
        return self._rate_hz > 0

    @property
    def is_drifting(self) -> bool:
        """Whether the device has for long given far more or fewer samples than it promised, and not mended since."""
        return self._drift.is_drifting

    def interrupt(self, reason: str) -> None:
        """Nothing follows directly; a lost device is worth more as a reason than what followed from it."""
        if self._interruption is None or reason == "device_lost":
            self._interruption = reason

    def begin_stream(self) -> None:
        """A child has started anew: it counts its frames from 0."""
        self._drift.reset()

    def watch(self, record: Record, sample_rate_hz: int) -> None:
        """Take note of an AUDIO record, every one and before `place`: how fast the device counts."""
        self._drift.see(record, sample_rate_hz)

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
        first_sample = self._next_sample
        self._rate_hz = sample_rate_hz
        self._interruption = None
        self._next_sample += record.frames
        self._next_frame = record.first_frame + record.frames
        self._end_s = captured_s + record.frames / float(sample_rate_hz)
        return Placement(first_sample, gap)

    def _gap_before(self, record: Record, captured_s: float, sample_rate_hz: int) -> Optional[Gap]:
        by_clock = max(0, round((captured_s - self._end_s) * sample_rate_hz))
        unreported = round(self._drift.take_loss_s() * sample_rate_hz)
        if self._interruption is not None:
            return Gap(self._interruption, by_clock)
        dropped = max(0, record.first_frame - self._next_frame)
        if record.overflow:
            return Gap("overflow", max(dropped, by_clock))
        if dropped:
            self._counters["skips"] += 1
            return Gap("skipped", dropped)
        return Gap("overflow", unreported) if unreported else None
