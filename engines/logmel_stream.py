"""What every streaming log-mel shares: which samples wait, which frames they complete."""

from abc import ABC, abstractmethod

import numpy as np

from engines.frontend import FrontendSpec


class LogMelStream(ABC):
    """Takes samples in blocks of any size and computes each frame once, in batches.

    Args:
        frames_at_once: bounds the buffers; samples wait until they complete so many frames, or a window is read.
    """

    def __init__(self, spec: FrontendSpec, frames_at_once: int) -> None:
        self.spec = spec
        self._capacity_samples = spec.n_fft + (frames_at_once - 1) * spec.hop_length
        self._pending_samples = 0  # from the first sample of the next frame on
        self._computed = 0  # frames in the ring, or gone from it, since the last reset

    def reset(self) -> None:
        """Forget everything heard: after a gap, nothing may be glued to what was before."""
        self._pending_samples = self._computed = 0

    @property
    def frames(self) -> int:
        """Frames that the samples since the last reset have completed."""
        return self._computed + self._ready_frames()

    def push(self, samples: np.ndarray) -> int:
        """Take mono float32 samples [T] at the spec's rate.  Returns how many frames they completed."""
        before, taken, count = self.frames, 0, samples.shape[-1]
        while taken < count:
            room = self._capacity_samples - self._pending_samples
            part = samples[..., taken : taken + room]
            self._keep(part)
            self._pending_samples += part.shape[-1]
            taken += part.shape[-1]
            if self._pending_samples == self._capacity_samples:
                self._compute_ready()
        return self.frames - before

    def samples_until_frames(self, frames: int) -> int:
        """How many more samples `push` needs until `frames` frames have been computed; 0 where they are there."""
        needed = (frames - self._computed - 1) * self.spec.hop_length + self.spec.n_fft
        return max(0, needed - self._pending_samples)

    @abstractmethod
    def _keep(self, part: np.ndarray) -> None:
        """Store samples behind the `_pending_samples` that wait; they fit."""

    @abstractmethod
    def _compute(self, frames: int) -> None:
        """Compute this many of the next frames and drop the samples that no later frame needs."""

    def _compute_ready(self) -> None:
        ready = self._ready_frames()
        if ready:
            self._compute(ready)
            self._computed += ready
            self._pending_samples -= ready * self.spec.hop_length

    def _require_window(self) -> None:
        if self.frames < self.spec.window_frames:
            raise ValueError("%d frames so far; a window needs %d" % (self.frames, self.spec.window_frames))

    def _ready_frames(self) -> int:
        if self._pending_samples < self.spec.n_fft:
            return 0
        return (self._pending_samples - self.spec.n_fft) // self.spec.hop_length + 1
