"""The sound that every benchmark hears: the demonstration's street."""

from pathlib import Path

import edge

STREET = Path(edge.__file__).parent / "demonstration" / "street.ogg"


def load_street(rate_hz: int):
    """The street, mono at this rate.  Shape [T], float32."""
    import numpy as np  # here: some benchmarks measure memory, and stay small themselves
    import soxr

    from edge.sources.recording import open_recording

    recording = open_recording(STREET)
    try:
        frames = recording.read(recording.frames)
        return soxr.resample(frames.mean(axis=1), recording.sample_rate_hz, rate_hz).astype(np.float32)
    finally:
        recording.close()
