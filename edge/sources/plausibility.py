"""Whether what a microphone gives can be sound at all. What sounds is never the same twice. Reads no clock."""

from collections import OrderedDict
from typing import Optional

from edge.sources.faults import MUTED, STUCK

_MUTED_AFTER_S = 30.0  # some microphones gate their noise: a pause of digital silence is no fault
_STUCK_AFTER_S = 3.0
_SOUND_AGAIN_S = 1.0  # of different blocks, before a stuck buffer counts as freed: longer than any ring of a driver
_ROUNDING_S = 1e-6  # of durations added up
_REMEMBERED_BLOCKS = 512  # a ring that is no multiple of a block repeats after several blocks only


class SoundWatch:
    """Notices a device that gives one value for ever (muted), or the same blocks round and round (stuck).

    It outlives the stream: a device that is opened anew has to prove itself.
    """

    def __init__(self, muted_after_s: float = _MUTED_AFTER_S, stuck_after_s: float = _STUCK_AFTER_S) -> None:
        self._muted_after_s, self._stuck_after_s = muted_after_s, stuck_after_s
        self._index = 0
        self._last_seen = OrderedDict()  # type: OrderedDict[int, int]  # hash of a block: its index
        self._lag_blocks = 0
        self._constant = b""
        self._constant_s = self._repeating_s = self._different_s = 0.0
        self._fault: Optional[str] = None

    @property
    def fault(self) -> Optional[str]:
        """MUTED, STUCK, or None."""
        return self._fault

    def begin_stream(self) -> None:
        """The device was opened anew: what comes next is compared with nothing before it, and still has to be heard."""
        self._last_seen.clear()
        self._lag_blocks, self._repeating_s = 0, 0.0

    def see(self, payload: bytes, frame_bytes: int, duration_s: float) -> None:
        """Take the next block of PCM."""
        self._index += 1
        if _is_constant(payload, frame_bytes):
            frame = payload[:frame_bytes]
            self._constant_s = self._constant_s + duration_s if frame == self._constant else duration_s
            self._constant = frame
        else:
            self._constant_s = 0.0
            self._note_repetition(payload, duration_s)
        self._judge()

    def _note_repetition(self, payload: bytes, duration_s: float) -> None:
        digest = hash(payload)
        lag_blocks = self._index - self._last_seen.pop(digest, -_REMEMBERED_BLOCKS)
        self._last_seen[digest] = self._index
        if len(self._last_seen) > _REMEMBERED_BLOCKS:
            self._last_seen.popitem(last=False)
        if lag_blocks < _REMEMBERED_BLOCKS and lag_blocks == self._lag_blocks:
            self._repeating_s, self._different_s = self._repeating_s + duration_s, 0.0
            return
        self._lag_blocks = lag_blocks
        self._repeating_s, self._different_s = 0.0, self._different_s + duration_s

    def _judge(self) -> None:
        if self._constant_s >= self._muted_after_s - _ROUNDING_S:
            self._fault = MUTED
        elif self._repeating_s >= self._stuck_after_s - _ROUNDING_S:
            self._fault = STUCK
        elif self._fault == MUTED and self._constant_s == 0.0:  # noqa: SIM114 - two ends of two troubles
            self._fault = None
        elif self._fault == STUCK and self._different_s >= _SOUND_AGAIN_S - _ROUNDING_S:
            self._fault = None


def _is_constant(payload: bytes, frame_bytes: int) -> bool:
    return payload[frame_bytes:] == payload[:-frame_bytes]
