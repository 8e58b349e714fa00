"""Whether there may be speech in a piece of sound: Silero VAD, a small recurrent network, on ONNX Runtime.

Built to miss as little as can be, at the price of crying wolf. The piece is heard three times: as it is; with rumble
taken out and quiet stretches made as loud as loud ones, since somebody may speak before the horn blows; and so again
with steady noise taken out, rain or an engine. Of each hearing the quarter of a second that is most like speech counts,
and the mean of the three against a low threshold. What cannot be judged raises, and whoever asks must take that for
speech. `tests/benchmarks/bench_speech.py` measures how much it finds, and how much it takes for speech that is none.

The network is that of the package silero-vad 6.2.3 (MIT, `silero_vad_licence.txt`), its file for ONNX's opset 15, which
ONNX Runtime 1.10 on Python 3.6 reads too; the package itself needs PyTorch.
"""

import hashlib
from pathlib import Path
from typing import Any, List

import numpy as np

from edge.errors import ClipError

SPEECH_THRESHOLD = 0.1  # the network's authors speak of speech from 0.5 on
_FOLDER = Path(__file__).resolve().parent
_MODEL = _FOLDER / "silero_vad_16k_op15.onnx"
_MODEL_SHA256 = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"
_SPOKEN = _FOLDER / "spoken.flac"  # a second of a synthetic voice, for the self-test
_RATE_HZ = 16000
_FRAME_SAMPLES = 512
_CONTEXT_SAMPLES = 64  # of the frame before, which the network hears again
_STATE_SHAPE = (2, 1, 128)
_MOMENT_FRAMES = 8  # of 32 ms
_RUMBLE_HZ = 150.0  # wind and engines, below any voice's formants
_LEVEL_DBFS = -20.0  # of all hearings but the first
_LEVEL_SAMPLES = 16000  # over which it is the same
_FAINTEST_DBFS = -70.0  # what is fainter is made no louder than that would be
_NOISE_FFT, _NOISE_OVERLAP = 512, 384
_NOISE_SMOOTHED_FRAMES = 5  # of 8 ms
_NOISE_PERCENTILE = 30.0  # of a band's power over the piece: what is always there
_NOISE_TIMES = 1.95  # as much of it is taken away
_NOISE_LEFT = 0.1  # of the amplitude, at least
_SELFTEST_LEAST = 0.9


class SpeechDetector:
    """Judges pieces of sound one by one; each by itself.  One thread at a time.

    Raises:
        ClipError: ONNX Runtime or the network is missing, or not what it should be.
    """

    def __init__(self) -> None:
        self._session = _session()

    def score(self, samples: np.ndarray, sample_rate_hz: int) -> float:
        """How likely there is speech in it at any moment.

        Args:
            samples: mono, in [-1, 1].  Shape [T], float32.
            sample_rate_hz: theirs.

        Returns:
            0 to 1; speech from SPEECH_THRESHOLD on.

        Raises:
            ClipError: what came out is no probability.
        """
        import soxr

        if not np.isfinite(samples).all():
            raise ClipError("sound that holds values which are no numbers cannot be examined for speech")
        if sample_rate_hz != _RATE_HZ:
            samples = soxr.resample(samples, sample_rate_hz, _RATE_HZ)
        padded = np.pad(samples, (0, max(0, _FRAME_SAMPLES - len(samples))), "constant")
        scores = self._frame_scores(
            np.stack([padded, _levelled(padded), _levelled(_without_noise(padded))]).astype(np.float32)
        )
        if not (np.isfinite(scores).all() and scores.min() >= 0.0 and scores.max() <= 1.0):
            raise ClipError("the speech detector answers with what is no probability; see `soundclr-edge check`")
        length = min(_MOMENT_FRAMES, len(scores))
        return float(np.mean([np.convolve(one, np.ones(length) / length, "valid").max() for one in scores.T]))

    def run_selftest(self) -> None:
        """See that it knows a voice from noise on this machine.  Raises ClipError: it does not."""
        spoken, rate_hz = _read_spoken()
        noise = (0.05 * np.random.RandomState(1).randn(_RATE_HZ)).astype(np.float32)
        heard, missed = self.score(spoken, rate_hz), self.score(noise, _RATE_HZ)
        if heard < _SELFTEST_LEAST or missed >= SPEECH_THRESHOLD:
            raise ClipError(
                "the speech detector does not work here: %.3f for a voice (expected at least %.1f), %.3f for noise "
                "(expected below %.1f); install another version of onnxruntime, or turn clips off"
                % (heard, _SELFTEST_LEAST, missed, SPEECH_THRESHOLD)
            )

    def _frame_scores(self, views: np.ndarray) -> np.ndarray:
        """Probabilities by frame of sounds [V, T], each followed by itself.  Shape [frames, V]."""
        padded = np.pad(views, ((0, 0), (_CONTEXT_SAMPLES, -views.shape[1] % _FRAME_SAMPLES)), "constant")
        state = np.zeros((_STATE_SHAPE[0], len(views), _STATE_SHAPE[2]), np.float32)
        rate = np.array(_RATE_HZ, np.int64)
        scores: List[np.ndarray] = []
        for end in range(_CONTEXT_SAMPLES + _FRAME_SAMPLES, padded.shape[1] + 1, _FRAME_SAMPLES):
            frame = np.ascontiguousarray(padded[:, end - _FRAME_SAMPLES - _CONTEXT_SAMPLES : end])
            answer, state = self._session.run(None, {"input": frame, "state": state, "sr": rate})
            scores.append(answer[:, 0])
        return np.array(scores)


def _levelled(samples: np.ndarray) -> np.ndarray:
    """Without rumble, and every second of it about as loud as the others.  Shape [T]."""
    from scipy.signal import butter, sosfilt

    clear = sosfilt(butter(2, _RUMBLE_HZ / (_RATE_HZ / 2.0), "highpass", output="sos"), samples.astype(np.float64))
    summed = np.concatenate([[0.0], np.cumsum(np.square(clear))])
    at = np.arange(len(clear))
    begin, end = np.maximum(at - _LEVEL_SAMPLES // 2, 0), np.minimum(at + _LEVEL_SAMPLES // 2, len(clear))
    power = (summed[end] - summed[begin]) / (end - begin)
    gain = 10.0 ** (_LEVEL_DBFS / 20.0) / np.sqrt(np.maximum(power, 10.0 ** (_FAINTEST_DBFS / 10.0)))
    return np.clip(clear * gain, -1.0, 1.0)


def _without_noise(samples: np.ndarray) -> np.ndarray:
    """Spectral subtraction (Boll 1979) of what is steady in it.  Shape [T]."""
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import istft, stft

    _, _, spectrum = stft(samples, nperseg=_NOISE_FFT, noverlap=_NOISE_OVERLAP)
    power = uniform_filter1d(np.square(np.abs(spectrum)), _NOISE_SMOOTHED_FRAMES, axis=1, mode="constant")
    noise = np.percentile(power, _NOISE_PERCENTILE, axis=1, keepdims=True)
    gain = np.sqrt(np.maximum(1.0 - _NOISE_TIMES * noise / np.maximum(power, 1e-12), _NOISE_LEFT**2))
    _, clear = istft(spectrum * gain, nperseg=_NOISE_FFT, noverlap=_NOISE_OVERLAP)
    return np.pad(clear[: len(samples)], (0, max(0, len(samples) - len(clear))), "constant")


def _session() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ClipError(
            "clips need ONNX Runtime to look for speech, which cannot be loaded (%s); install it: pip install "
            "onnxruntime" % error
        ) from error
    try:
        content = _MODEL.read_bytes()
    except OSError as error:
        raise ClipError("the speech detector %s cannot be read: %s; install anew" % (_MODEL, error.strerror)) from error
    if hashlib.sha256(content).hexdigest() != _MODEL_SHA256:
        raise ClipError("the speech detector %s is not the one that was measured; install anew" % _MODEL)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions are made at run time and share no base that could be named
        if type(error).__module__.split(".")[0] != "onnxruntime" and not isinstance(error, RuntimeError):
            raise
        raise ClipError(
            "the speech detector is refused by ONNX Runtime %s: %s"
            % (onnxruntime.__version__, str(error).splitlines()[0])
        ) from error


def _read_spoken() -> Any:
    from edge.clips.sealed import Clip, samples_from_flac

    try:
        content = _SPOKEN.read_bytes()
    except OSError as error:
        raise ClipError("%s cannot be read: %s; install anew" % (_SPOKEN, error.strerror)) from error
    samples, rate_hz = samples_from_flac(Clip({}, content), str(_SPOKEN))
    return samples.astype(np.float32) / 32768.0, rate_hz
