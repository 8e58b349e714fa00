"""Front ends for tests."""

from engines.frontend import FrontendSpec

STREET = FrontendSpec(
    sample_rate_hz=22050,
    n_fft=1024,
    win_length=1024,
    hop_length=512,
    n_mels=64,
    fmin_hz=0.0,
    fmax_hz=11025.0,
    window="hann",
    mel_scale="slaney",
    mel_norm="slaney",
    power=2.0,
    center=False,
    amin=1e-10,
    reference="max",
    reference_db=0.0,
    top_db=80.0,
    window_frames=171,
    scale=0.025,
    offset=1.0,
)
TINY = STREET._replace(
    sample_rate_hz=16000, n_fft=512, win_length=512, hop_length=256, n_mels=32, fmax_hz=8000.0, window_frames=61
)
