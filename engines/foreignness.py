"""How unlike anything known a sound is: the one definition of it, for the node's decision and the trainer's figures."""

import numpy as np

from engines.bundle import ForeignRule

_MAX_LOG_ODDS = 50.0  # beyond it a probability is 0 or 1 in any precision, and an exponential overflows in the end


def foreignness(logits: np.ndarray, method: str, n_labels: int) -> np.ndarray:
    """The raw score x of `engines.bundle.ForeignRule`: higher is less like anything known.

    Args:
        logits: raw outputs of N windows.  Shape [N, n_labels + 1]; for "energy" [N, n_labels] will do.
        method: "reject_logit" or "energy".

    Returns:
        Shape [N], float64.
    """
    known = np.asarray(logits[:, :n_labels], np.float64)
    top = known.max(axis=1)
    x = -(top + np.log(np.exp(known - top[:, None]).sum(axis=1)))
    if method == "reject_logit":
        x += logits[:, n_labels]
    return x


def foreign_probability(x: np.ndarray, rule: ForeignRule) -> np.ndarray:
    """Raw scores on the rule's scale of 0 to 1.  Shape [N] in and out."""
    log_odds = rule.slope * x + rule.intercept
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -_MAX_LOG_ODDS, _MAX_LOG_ODDS)))
