"""From raw outputs to an answer: temperature, rejection of foreign sound, level gate, thresholds by class.

No function here reads a clock or keeps state: the same logits and levels give the same answer.
"""

from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from edge.config import GateConfig
from engines.bundle import Bundle
from engines.foreignness import foreign_probability, foreignness


class Verdict(NamedTuple):
    """What one window's outputs and level amount to."""

    scores: Dict[str, float]  # label -> probability among the known classes; sums to 1
    label: Optional[str]  # the best of them; None for digital silence
    score: float
    foreign: float  # 0 to 1
    accepted: Tuple[str, ...]
    sustained: Tuple[str, ...]  # labels that keep a running event alive: the same with a lower threshold
    reason: Optional[str]


def decide(
    logits: np.ndarray,
    level_dbfs: Optional[float],
    background_dbfs: Optional[float],
    bundle: Bundle,
    gate: GateConfig,
    off_ratio: float,
    level_db: Optional[float] = None,
) -> Verdict:
    """Judge one window.

    Args:
        logits: raw outputs.  Shape [n_outputs].
        level_dbfs: loudest 125 ms of the window; None for digital silence.
        background_dbfs: running background; None while it is unknown: then the floor alone gates.
        off_ratio: share of its threshold that keeps a class's running event alive.
        level_db: LAFmax of the window, dB re 20 uPa; None where the source is not calibrated.
    """
    known = np.asarray(logits[: len(bundle.labels)], np.float64)
    probabilities = softmax(known / bundle.decision.temperature)
    scores = {label: float(p) for label, p in zip(bundle.labels, probabilities)}
    rule = bundle.decision.foreign
    foreign = float(foreign_probability(foreignness(logits[None], rule.method, len(bundle.labels)), rule)[0])
    if level_dbfs is None:
        return Verdict(scores, None, 0.0, foreign, (), (), "silence")
    label = max(bundle.labels, key=lambda name: scores[name])
    reason: Optional[str] = None
    if not gate_open(level_dbfs, background_dbfs, gate, level_db):
        reason = "below_gate"
    elif foreign >= rule.threshold:
        reason = "foreign"
    thresholds = bundle.decision.thresholds
    accepted = tuple(name for name in bundle.labels if scores[name] >= thresholds[name]) if reason is None else ()
    sustained = (
        tuple(name for name in bundle.labels if scores[name] >= off_ratio * thresholds[name]) if reason is None else ()
    )
    if reason is None and not accepted:
        reason = "unsure"
    return Verdict(scores, label, scores[label], foreign, accepted, sustained, reason)


def gate_open(
    level_dbfs: float, background_dbfs: Optional[float], gate: GateConfig, level_db: Optional[float] = None
) -> bool:
    """Is a sound loud enough to be named: over the floor, and over the background where that is known?

    The floor in dB re 20 uPa stands in for the other wherever there is one and the sound's level is known so.
    """
    if gate.floor_db is not None and level_db is not None:
        is_over_floor = level_db >= gate.floor_db
    else:
        is_over_floor = level_dbfs >= gate.floor_dbfs
    return is_over_floor and (background_dbfs is None or level_dbfs >= background_dbfs + gate.over_background_db)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities.  Shape [K] in and out; sums to 1 whatever the magnitude."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
