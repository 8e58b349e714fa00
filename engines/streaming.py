"""Log-mel of a stream, in NumPy: each frame is computed once, the window's reference is applied at read-out.

Cost of a hop of n new frames: n real FFTs, one mel product that passes most of the zeros by, one logarithm; and one
pass over the window for reference and floor. From the spectrum on all is single precision: off by a ten-thousandth of
a decibel at most on street sound, tones and clicks. The ring is written twice, one window apart, so that any window is
one contiguous slice and nothing is shifted.
"""

import numpy as np

from engines.frontend import FrontendSpec, analysis_window, mel_filterbank
from engines.logmel_stream import LogMelStream

_MAX_FRAMES_AT_ONCE = 64  # bounds the work buffers; samples wait until so many are there, or a window is read
_BANDS_AT_ONCE = 16  # of the mel product: fewer make more calls, more multiply more zeros; flat from 8 to 32
_DB_PER_NEPER = np.float32(10.0 / np.log(10.0))  # of power; NumPy's log is twice as fast as its log10


class StreamingLogMel(LogMelStream):
    """Takes samples in blocks of any size, keeps the last window of mel frames.

    Equal to `engines.frontend.compute_logmel` on the same samples, whatever the block sizes.
    """

    def __init__(self, spec: FrontendSpec) -> None:
        super().__init__(spec, _MAX_FRAMES_AT_ONCE)
        self._window = analysis_window(spec).astype(np.float32)
        self._mel = _BandedMel(mel_filterbank(spec))
        self._pending = np.zeros(self._capacity_samples, np.float32)
        self._windowed = np.zeros((_MAX_FRAMES_AT_ONCE, spec.n_fft), np.float32)
        self._ring_db = np.zeros((2 * spec.window_frames, spec.n_mels), np.float32)
        self._output = np.zeros((spec.n_mels, spec.window_frames), np.float32)

    def read_window(self) -> np.ndarray:
        """The network's input for the last window_frames frames.

        Returns:
            Shape [n_mels, window_frames], float32.  Reused by the next call; copy to keep.

        Raises:
            ValueError: fewer frames than a window have been computed since the last reset.
        """
        spec = self.spec
        self._require_window()
        self._compute_ready()
        end = (self._computed - 1) % spec.window_frames + spec.window_frames + 1
        window_db = self._ring_db[end - spec.window_frames : end]
        reference_db = window_db.max() if spec.reference == "max" else np.float32(spec.reference_db)
        # scale and offset are folded into one pass each; top_db is applied in the network's units
        np.multiply(window_db.T, np.float32(spec.scale), out=self._output)
        self._output += np.float32(spec.offset) - reference_db * np.float32(spec.scale)
        silence = np.float32(spec.offset - spec.top_db * spec.scale)
        limit = np.maximum if spec.scale > 0 else np.minimum
        return limit(self._output, silence, out=self._output)

    def _keep(self, part: np.ndarray) -> None:
        self._pending[self._pending_samples : self._pending_samples + len(part)] = part

    def _compute(self, frames: int) -> None:
        spec, stride = self.spec, self._pending.strides[0]
        shape, strides = (frames, spec.n_fft), (spec.hop_length * stride, stride)
        overlapping = np.lib.stride_tricks.as_strided(self._pending, shape, strides)
        windowed = np.multiply(overlapping, self._window, out=self._windowed[:frames])
        spectrum = np.fft.rfft(windowed, axis=1).astype(np.complex64, copy=False)  # NumPy 1 answers in double
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        power_db = np.log(np.maximum(self._mel.apply(power), np.float32(spec.amin)))  # in place NumPy 1.19 takes 20x
        power_db *= _DB_PER_NEPER
        self._store(power_db)
        used = frames * spec.hop_length
        self._pending[: self._pending_samples - used] = self._pending[used : self._pending_samples].copy()

    def _store(self, power_db: np.ndarray) -> None:
        window_frames = self.spec.window_frames
        kept = power_db[-window_frames:]
        at = (self._computed + len(power_db) - len(kept) + np.arange(len(kept))) % window_frames
        self._ring_db[at] = kept
        self._ring_db[at + window_frames] = kept


class _BandedMel:
    """Mel product in groups of neighbouring bands, each over the bins that its bands touch."""

    def __init__(self, bank: np.ndarray) -> None:
        self._n_mels = len(bank)
        self._groups = []
        for first in range(0, len(bank), _BANDS_AT_ONCE):
            rows = bank[first : first + _BANDS_AT_ONCE]
            touched = np.flatnonzero(rows.any(axis=0))
            low, high = (touched[0], touched[-1] + 1) if len(touched) else (0, 1)
            weights = np.ascontiguousarray(rows[:, low:high].T, np.float32)
            self._groups.append((slice(first, first + len(rows)), slice(low, high), weights))

    def apply(self, power: np.ndarray) -> np.ndarray:
        """[F, n_fft // 2 + 1] -> [F, n_mels], both float32."""
        mel = np.empty((len(power), self._n_mels), np.float32)
        for bands, bins, weights in self._groups:
            np.matmul(power[:, bins], weights, out=mel[:, bands])
        return mel
