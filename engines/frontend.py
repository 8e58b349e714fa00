"""The front end's one definition: from PCM to the network's input.

Everything here is plain NumPy in float64, frame by frame, and meant to be read. What runs on a node
(`engines.streaming`, later CUDA) and what trains (`trainer.frontend`) is tested against it.

Source: Slaney, "Auditory Toolbox" (1998) for the mel scale and the area normalisation, in librosa's numeric form.
"""

from typing import Any, Dict, NamedTuple

import numpy as np

from engines.errors import FrontendError, shown


class FrontendSpec(NamedTuple):
    """Constants of a log-mel front end; a bundle's own copy, never defaults of the serving side."""

    sample_rate_hz: int
    n_fft: int
    win_length: int  # samples; zero-padded on both sides to n_fft
    hop_length: int  # samples from one frame to the next
    n_mels: int
    fmin_hz: float
    fmax_hz: float
    window: str  # "hann": periodic
    mel_scale: str  # "slaney"
    mel_norm: str  # "slaney": triangles of equal area
    power: float  # exponent of the magnitude; 2.0
    center: bool  # False: a frame begins at its first sample, nothing is reflected
    amin: float  # floor of the mel power before the logarithm
    reference: str  # "max": 0 dB is the loudest cell of the window; "fixed": it is reference_db
    reference_db: float  # dB re full scale power 1; used by reference "fixed" alone
    top_db: float  # cells more than this below the reference are raised to it
    window_frames: int  # frames that the network sees at once
    scale: float  # network input = dB * scale + offset
    offset: float

    @property
    def window_samples(self) -> int:
        """Samples that one whole window of frames spans."""
        return (self.window_frames - 1) * self.hop_length + self.n_fft

    @property
    def window_s(self) -> float:
        """Duration of one whole window, seconds."""
        return self.window_samples / float(self.sample_rate_hz)

    @property
    def frames_per_s(self) -> float:
        """Rate of frames, hertz."""
        return self.sample_rate_hz / float(self.hop_length)


_SUPPORTED: Dict[str, Any] = {
    "window": ("hann",),
    "mel_scale": ("slaney",),
    "mel_norm": ("slaney",),
    "power": (2.0,),
    "center": (False,),
    "reference": ("max", "fixed"),
}
_N_FFT_RANGE = (256, 4096)


def frontend_spec_from_mapping(values: Dict[str, Any]) -> FrontendSpec:
    """Read and check the constants of a front end.

    Args:
        values: the `frontend` object of a manifest; every field of FrontendSpec and no other.

    Raises:
        FrontendError: a field is missing, unknown, of another type or outside what this version computes.
    """
    types = FrontendSpec.__annotations__  # the class's own fields, in order
    missing = sorted(set(types) - set(values))
    unknown = sorted(set(values) - set(types))
    if missing or unknown:
        raise FrontendError(
            "front end has missing fields %s and unknown fields %s; expected exactly %s"
            % (shown(missing), shown(unknown), sorted(types))
        )
    read = {name: _value_of_type(name, values[name], kind) for name, kind in types.items()}
    spec = FrontendSpec(**read)
    _check(spec)
    return spec


def _value_of_type(name: str, value: Any, kind: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    number = number and abs(value) < 1e300  # JSON as Python reads it has NaN, Infinity and integers without end
    if kind is float and number:
        return float(value)
    if kind is int and number and int(value) == value:
        return int(value)
    if kind in (str, bool) and isinstance(value, kind):
        return value
    raise FrontendError("front end field %s is %s; expected a value of type %s" % (name, shown(value), kind.__name__))


def _check(spec: FrontendSpec) -> None:
    for name, allowed in _SUPPORTED.items():
        if getattr(spec, name) not in allowed:
            raise FrontendError(
                "front end field %s is %s; this version computes %s"
                % (name, shown(getattr(spec, name)), " or ".join(map(repr, allowed)))
            )
    low, high = _N_FFT_RANGE
    conditions = [
        (
            low <= spec.n_fft <= high and spec.n_fft & (spec.n_fft - 1) == 0,
            "n_fft is %d; expected a power of two from %d to %d" % (spec.n_fft, low, high),
        ),
        (0 < spec.win_length <= spec.n_fft, "win_length is %d; expected 1 to n_fft" % spec.win_length),
        (0 < spec.hop_length <= spec.n_fft, "hop_length is %d; expected 1 to n_fft" % spec.hop_length),
        (8000 <= spec.sample_rate_hz <= 192000, "sample_rate_hz is %d; expected 8000 to 192000" % spec.sample_rate_hz),
        (
            0 <= spec.fmin_hz < spec.fmax_hz <= spec.sample_rate_hz / 2.0,
            "fmin_hz, fmax_hz are %g, %g; expected 0 <= fmin < fmax <= half the sample rate"
            % (spec.fmin_hz, spec.fmax_hz),
        ),
        (1 <= spec.n_mels <= 512, "n_mels is %d; expected 1 to 512" % spec.n_mels),
        (1 <= spec.window_frames <= 8192, "window_frames is %d; expected 1 to 8192" % spec.window_frames),
        (spec.amin > 0 and spec.top_db > 0, "amin and top_db must be above 0"),
        (
            np.all(np.isfinite([spec.reference_db, spec.scale, spec.offset, spec.amin, spec.top_db])),
            "reference_db, scale, offset, amin and top_db must be finite",
        ),
    ]
    for holds, complaint in conditions:
        if not holds:
            raise FrontendError("front end: %s" % complaint)


def mel_from_hz(frequency_hz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    frequency_hz = np.asarray(frequency_hz, np.float64)
    logarithmic = 15.0 + np.log(np.maximum(frequency_hz, 1e-9) / 1000.0) * (27.0 / np.log(6.4))
    return np.where(frequency_hz < 1000.0, frequency_hz * (3.0 / 200.0), logarithmic)


def hz_from_mel(mel: np.ndarray) -> np.ndarray:
    """Inverse of `mel_from_hz`."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < 15.0, mel * (200.0 / 3.0), 1000.0 * np.exp((np.log(6.4) / 27.0) * (mel - 15.0)))


def mel_filterbank(spec: FrontendSpec) -> np.ndarray:
    """Triangular filters of equal area.  Shape [n_mels, n_fft // 2 + 1], float64, one row a band."""
    limits = mel_from_hz(np.array([spec.fmin_hz, spec.fmax_hz]))
    edges_hz = hz_from_mel(np.linspace(limits[0], limits[1], spec.n_mels + 2))
    bins_hz = np.arange(spec.n_fft // 2 + 1) * (float(spec.sample_rate_hz) / spec.n_fft)
    width_hz = np.diff(edges_hz)
    distance_hz = edges_hz[:, None] - bins_hz[None, :]
    rising = -distance_hz[:-2] / width_hz[:-1, None]
    falling = distance_hz[2:] / width_hz[1:, None]
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]


def analysis_window(spec: FrontendSpec) -> np.ndarray:
    """Periodic Hann window of win_length, centred in n_fft.  Shape [n_fft], float64."""
    phase = 2.0 * np.pi * np.arange(spec.win_length) / spec.win_length
    left = (spec.n_fft - spec.win_length) // 2
    right = spec.n_fft - spec.win_length - left
    return np.pad(0.5 - 0.5 * np.cos(phase), (left, right), mode="constant")


def compute_mel_power_db(samples: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """Mel power in dB re full scale, before any reference.

    Args:
        samples: mono PCM in [-1, 1] at spec.sample_rate_hz.  Shape [T].

    Returns:
        Shape [n_mels, F], F = 1 + (T - n_fft) // hop_length, float64.

    Raises:
        FrontendError: samples have more than one axis, or fewer than n_fft.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1 or len(samples) < spec.n_fft:
        raise FrontendError(
            "samples of shape %s; expected one axis of at least n_fft = %d samples" % (samples.shape, spec.n_fft)
        )
    bank, window = mel_filterbank(spec), analysis_window(spec)
    frames = 1 + (len(samples) - spec.n_fft) // spec.hop_length
    power_db = np.empty((spec.n_mels, frames))
    for frame in range(frames):
        start = frame * spec.hop_length
        spectrum = np.fft.rfft(samples[start : start + spec.n_fft] * window)
        power_db[:, frame] = 10.0 * np.log10(np.maximum(spec.amin, bank.dot(np.abs(spectrum) ** 2)))
    return power_db


def apply_reference(power_db: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """Turn one window's mel power into the network's input: reference, top_db floor, scale and offset."""
    reference_db = power_db.max() if spec.reference == "max" else spec.reference_db
    return np.maximum(power_db - reference_db, -spec.top_db) * spec.scale + spec.offset


def compute_logmel(samples: np.ndarray, spec: FrontendSpec) -> np.ndarray:
    """The network's input for one whole window of sound: the definition.

    Args:
        samples: mono PCM in [-1, 1] at spec.sample_rate_hz.  Shape [spec.window_samples].

    Returns:
        Shape [n_mels, window_frames], float64.

    Raises:
        FrontendError: another number of samples.
    """
    if np.shape(samples) != (spec.window_samples,):
        raise FrontendError(
            "a window of shape %s; expected exactly %d samples (%d frames)"
            % (np.shape(samples), spec.window_samples, spec.window_frames)
        )
    return apply_reference(compute_mel_power_db(samples, spec), spec)
