"""Log-mel of a stream on the device: only new samples go up, and the result lies where the network reads it.

Samples wait in page-locked memory until a window is wanted; then one copy (none on Tegra, where the device reads them
in place), one kernel for the new frames and one for the window are queued. Nothing here waits for the device but the
reuse of that memory, long after it was read.
"""

from typing import Any, Optional

import numpy as np

from engines.cuda.device import CudaDevice
from engines.cuda.kernels import MAX_STREAMS, LogMelKernels
from engines.frontend import FrontendSpec
from engines.logmel_stream import LogMelStream

_MAX_FRAMES_AT_ONCE = 128  # bounds the sample ring
_BYTES = 4  # of a float32


class CudaLogMel(LogMelStream):
    """Takes samples in blocks of any size, keeps the last window of mel frames on the device.

    Equal to `engines.frontend.compute_logmel` on the same samples, whatever the block sizes.

    Args:
        device: open, and closed after this is last used; it owns the memory.
        streams: microphones heard in step; `push` takes [T] for one and [streams, T] for several.
    """

    def __init__(self, device: CudaDevice, spec: FrontendSpec, streams: int = 1) -> None:
        if not 1 <= streams <= MAX_STREAMS:
            raise ValueError("%d streams; expected 1 to %d" % (streams, MAX_STREAMS))
        super().__init__(spec, min(_MAX_FRAMES_AT_ONCE, spec.window_frames))
        self._device, self._streams = device, streams
        self._kernels = LogMelKernels(device, spec)
        self._ring_samples = self._capacity_samples + self._capacity_samples % 2  # even: samples are read in pairs
        self._host_ring = device.host_array((streams, self._ring_samples))
        if device.maps_host_memory:
            self._ring = device.address_of(self._host_ring)
        else:
            self._ring = device.allocate(self._host_ring.nbytes)
        self._mel_ring = device.allocate(_BYTES * streams * spec.window_frames * spec.n_mels)
        self._frame_db = device.allocate(_BYTES * streams * spec.window_frames)
        self._output = device.host_array((streams, spec.n_mels, spec.window_frames))
        self.input_pointer = device.allocate(self._output.nbytes)  # float32 [streams, n_mels, window_frames]
        self._head = 0  # place of the first waiting sample
        self._uploaded = 0  # waiting samples that are on the device already
        self._read: Optional[Any] = None  # passes when the device has read what was queued last

    def reset(self) -> None:
        """Forget everything heard: after a gap, nothing may be glued to what was before."""
        super().reset()
        self._head = self._uploaded = 0

    def update_input(self) -> None:
        """Queue what brings the network's input at `input_pointer` to the last window_frames frames.  Does not wait.

        Raises:
            ValueError: fewer frames than a window have been computed since the last reset.
            RuntimeUnavailableError: the device failed.
        """
        self._require_window()
        self._compute_ready()
        oldest = self._computed % self.spec.window_frames
        self._kernels.compute_window(
            self._mel_ring, self._frame_db, self.spec.window_frames, oldest, self.input_pointer, self._streams
        )

    def read_window(self) -> np.ndarray:
        """The network's input, fetched to the host; for self-tests and people.

        Returns:
            Shape [n_mels, window_frames], with the streams in front where there are several; float32.  Reused by the
            next call; copy to keep.

        Raises:
            ValueError: fewer frames than a window have been computed since the last reset.
            RuntimeUnavailableError: the device failed.
        """
        self.update_input()
        self._device.download(self._output, self.input_pointer)
        return self._output if self._streams > 1 else self._output[0]

    def _keep(self, part: np.ndarray) -> None:
        if self._read is not None:
            self._device.wait(self._read)
            self._read = None
        at = (self._head + self._pending_samples) % self._ring_samples
        count = part.shape[-1]
        before_end = min(count, self._ring_samples - at)
        self._host_ring[:, at : at + before_end] = part[..., :before_end]
        self._host_ring[:, : count - before_end] = part[..., before_end:]

    def _compute(self, frames: int) -> None:
        self._upload_new()
        slot = self._computed % self.spec.window_frames
        self._kernels.compute_frames(
            self._ring,
            self._ring_samples,
            self._head,
            self._mel_ring,
            self._frame_db,
            self.spec.window_frames,
            slot,
            frames,
            self._streams,
        )
        self._read = self._device.mark()
        used = frames * self.spec.hop_length
        self._head = (self._head + used) % self._ring_samples
        self._uploaded -= used

    def _upload_new(self) -> None:
        begin, end = self._head + self._uploaded, self._head + self._pending_samples
        self._uploaded = self._pending_samples
        if self._device.maps_host_memory:
            return
        size = self._ring_samples
        pieces = [(begin, min(end, size)), (max(begin, size) - size, end - size)]
        for stream in range(self._streams):
            for first, last in pieces:
                if last > first:
                    address = self._ring + _BYTES * (stream * size + first)
                    self._device.upload(address, self._host_ring[stream, first:last])
