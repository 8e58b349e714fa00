"""What measuring sound levels takes of this machine's processor."""

import time

import numpy as np

from edge.levels.meter import LevelMeter

_BLOCK_S = 0.05  # as a microphone's
_WARM_UP_S = 1.0


def share_of_core(third_octaves: bool, sample_rate_hz: int = 48000, sound_s: float = 5.0) -> float:
    """Processor time over the time of the sound, of one source.

    Raises:
        LevelsError: SciPy is not there.
    """
    meter, block_samples = LevelMeter(sample_rate_hz, third_octaves), int(sample_rate_hz * _BLOCK_S)
    block = 0.05 * np.random.RandomState(1).randn(block_samples).astype(np.float32)
    warm_up, blocks = int(_WARM_UP_S / _BLOCK_S), int(sound_s / _BLOCK_S)
    began_s = 0.0
    for number in range(warm_up + blocks):
        if number == warm_up:
            began_s = time.process_time()
        meter.push(block, number * block_samples)
    return (time.process_time() - began_s) / (blocks * _BLOCK_S)
