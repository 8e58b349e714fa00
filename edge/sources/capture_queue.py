"""Sound on its way from PortAudio's thread to the pipe. Standard library only: the child's memory is budgeted."""

import threading
import time
from collections import deque
from typing import Deque, Optional

from edge.sources import framing
from edge.sources.framing import BLOCK_S

_CAPACITY_BLOCKS = int(4.0 / BLOCK_S)  # 4 s of sound held for a parent that is late
_INPUT_OVERFLOW = 2  # paInputOverflow


class CaptureQueue:
    """Between PortAudio's thread, which must never wait, and the pipe, which may.

    Where the parent does not keep up the newest sound is kept. The older half goes at once, not block by block:
    what is left must be long enough in one piece to be judged.
    """

    def __init__(self, sample_rate_hz: int, frame_bytes: int, *, capacity_blocks: int = _CAPACITY_BLOCKS) -> None:
        self._rate_hz = sample_rate_hz
        self._frame_bytes = frame_bytes
        self._capacity_blocks = capacity_blocks
        self._waiting: Deque[framing.Record] = deque()
        self._changed = threading.Condition()
        self._first_frame = 0

    def put(self, data: bytes, status: int) -> None:
        """Take one buffer from the device."""
        now_ns = int(time.monotonic() * 1e9)
        frames = len(data) // self._frame_bytes
        captured_ns = now_ns - frames * 1000000000 // self._rate_hz
        overflow = bool(status & _INPUT_OVERFLOW)
        with self._changed:
            if len(self._waiting) >= self._capacity_blocks:
                self._drop_older_half()
            self._waiting.append(
                framing.Record(framing.AUDIO, data, self._first_frame, captured_ns, frames, 0, overflow)
            )
            self._first_frame += frames
            self._changed.notify()

    def get(self, timeout_s: float) -> Optional[framing.Record]:
        """The oldest buffer; None where there was none in time."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def begin_anew(self) -> None:
        """Forget what came so far, as if the stream began now."""
        with self._changed:
            self._waiting.clear()
            self._first_frame = 0

    def _drop_older_half(self) -> None:
        dropped, overflow = 0, False
        for _ in range(max(1, len(self._waiting) // 2)):
            record = self._waiting.popleft()
            dropped += record.frames + record.dropped_frames
            overflow = overflow or record.overflow
        if self._waiting:  # the next one tells of it, and of what those that went would have told
            first = self._waiting.popleft()
            self._waiting.appendleft(
                first._replace(dropped_frames=first.dropped_frames + dropped, overflow=first.overflow or overflow)
            )
