"""How sound shorter than the network's window is filled: one rule, the same in training and on the node."""

import numpy as np

from engines.errors import FrontendError

SHORT_CLIP_RULES = ("centre_silence",)


def fill_short_clip(samples: np.ndarray, window_samples: int, rule: str) -> np.ndarray:
    """Extend a clip to one window.

    `centre_silence` puts the clip in the middle of digital silence. It repeats nothing: a copy of UrbanSound8K
    that was padded by looping gives gun shots and horns away by their repetition.

    Args:
        samples: mono PCM.  Shape [T], T <= window_samples.

    Returns:
        Shape [window_samples], the dtype of samples; a new array unless nothing had to be added.
    """
    if rule not in SHORT_CLIP_RULES:
        raise FrontendError("short_clip rule %r; expected one of %s" % (rule, ", ".join(SHORT_CLIP_RULES)))
    missing = window_samples - len(samples)
    if missing < 0:
        raise FrontendError(
            "a clip of %d samples is longer than the window of %d; cut it into windows instead"
            % (len(samples), window_samples)
        )
    return np.pad(samples, (missing // 2, missing - missing // 2), mode="constant") if missing else samples
