"""A device's count of samples against the monotonic clock. Reads no clock itself."""

from collections import deque
from typing import Deque, Dict, Optional

from edge.sources.framing import Record

_WINDOW_S = 2.0  # of which the least lag counts
_COMPARED_WINDOWS = 5
_LIMIT_S = 0.1  # of change in 10 s, 1 %: a clock that is wrong, and no more, changes by 0.001 s
_REMEMBERED_WINDOWS = 15
_BAD_WINDOWS = 5  # of the remembered ones: so often is no accident, the device is not what it says
_GOOD_WINDOWS = 3  # in a row, and it is believed again


class DriftWatch:
    """Finds sound that a device lost without a word, and a device whose rate is not the one it promised.

    The smallest lag of a window counts: scheduling can only make a block late, never early. A loss is found 2 to 4 s
    after it happened.
    """

    def __init__(self, counters: Dict[str, int]) -> None:
        """`counters` gets "drifts" counted into: windows in which more or less came than should have."""
        self._counters = counters
        self._least_lags_s: Deque[float] = deque(maxlen=_COMPARED_WINDOWS)
        self._verdicts: Deque[bool] = deque(maxlen=_REMEMBERED_WINDOWS)
        self._loss_s = 0.0
        self._window_end_s: Optional[float] = None
        self._least_lag_s = float("inf")
        self._is_drifting = False

    @property
    def is_drifting(self) -> bool:
        """Whether it went wrong again and again, and has not gone right for 6 s since."""
        return self._is_drifting

    def reset(self) -> None:
        """Begin anew: what comes next is not counted on from what came before. What was found is remembered."""
        self._least_lags_s.clear()
        self._window_end_s, self._least_lag_s = None, float("inf")

    def see(self, record: Record, sample_rate_hz: int) -> None:
        """Take the next AUDIO record."""
        now_s = record.captured_ns * 1e-9
        if record.overflow:  # counted by whoever counts overflows
            self.reset()
        if self._window_end_s is None:
            self._window_end_s = now_s + _WINDOW_S
        self._least_lag_s = min(self._least_lag_s, now_s - record.first_frame / float(sample_rate_hz))
        if now_s >= self._window_end_s:
            self._end_window(self._least_lag_s)
            self._window_end_s, self._least_lag_s = now_s + _WINDOW_S, float("inf")

    def take_loss_s(self) -> float:
        """Seconds of sound found lost since the last call."""
        loss_s, self._loss_s = self._loss_s, 0.0
        return loss_s

    def _end_window(self, least_lag_s: float) -> None:
        change_s = least_lag_s - self._least_lags_s[0] if self._least_lags_s else 0.0
        is_bad = abs(change_s) > _LIMIT_S
        if is_bad:
            self._counters["drifts"] += 1
            self._loss_s += max(0.0, change_s)
            self._least_lags_s.clear()  # accounted for
        self._least_lags_s.append(least_lag_s)
        self._verdicts.append(is_bad)
        if sum(self._verdicts) >= _BAD_WINDOWS:
            self._is_drifting = True
        if self._is_drifting and not any(list(self._verdicts)[-_GOOD_WINDOWS:]):
            self._is_drifting = False
            self._verdicts.clear()
