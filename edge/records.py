"""What travels through the node, from source to message. All are immutable; none reads a clock.

Time in every record is the source's own: the index of a sample since the source was opened for the first time,
lost samples counted. `edge.clock` maps it to monotonic time and to UTC when a message is built.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np


class Gap(NamedTuple):
    """Sound that was lost between two blocks."""

    reason: str  # "overflow", "skipped", "stall", "device_lost", "restart", or a fault's code: what came was no sound
    lost_samples: int  # at the source's rate; 0 where nobody knows


class AudioBlock(NamedTuple):
    """Consecutive samples of one source."""

    samples: np.ndarray  # float32 [T], mono, in [-1, 1]
    sample_rate_hz: int
    first_sample: int  # index of samples[0] since the source's first opening, lost samples counted
    captured_at_s: float  # monotonic time at which samples[0] was captured (files: as if played in real time)
    gap: Optional[Gap] = None  # what was lost directly before this block
    overloaded: Optional[np.ndarray] = None  # indices of samples whose overload the mean of channels hides; None: none


class WindowScores(NamedTuple):
    """The network's raw answer for one window."""

    first_sample: int  # at the bundle's rate, since the last gap
    end_sample: int  # one past the last
    logits: np.ndarray  # float32 [n_outputs]


class Classification(NamedTuple):
    """What one window was found to hold."""

    start_s: float  # seconds since the source's first sample
    end_s: float
    scores: Dict[str, float]  # label -> probability among the known classes
    label: Optional[str]  # the best of the known classes; None for digital silence
    score: float
    foreign: float  # 0 to 1: how unlike anything known
    accepted: Tuple[str, ...]  # labels that pass gate, rejection and their own thresholds
    level_dbfs: Optional[float]  # loudest 125 ms of the window; None for digital silence
    background_dbfs: Optional[float]  # running background; None while unknown
    reason: Optional[str]  # why nothing is accepted: "silence", "below_gate", "foreign", "unsure"; None otherwise


class EventChange(NamedTuple):
    """The start, an update or the end of one sounding of one class."""

    event_id: str
    phase: str  # "start", "update", "end"
    label: str
    start_s: float
    end_s: float  # so far, until phase is "end"
    end_reason: Optional[str]  # "quiet", "gap", "restart", "stop"; None before the end
    score_max: float
    score_mean: float
    start_uncertainty_s: float  # half width of the span in which the true start lies
    laeq_dbfs: Optional[float] = None  # A-weighted mean level of the event so far
    lafmax_dbfs: Optional[float] = None  # its highest A-weighted Fast level
    background_la90_dbfs: Optional[float] = None  # LA90 of the 60 s before it, other events left out


class LevelFrame(NamedTuple):
    """Sound levels of one eighth of a second of one source, as they come from `edge.levels`: no calibration in them.

    Levels are dB re full scale (0 dB: an RMS of 1), None where nothing valid was heard. Energies are mean squares times
    samples, so that sums over frames are energies again.
    """

    first_sample: int  # of the source's stream, lost samples counted
    end_sample: int  # one past the last
    heard_samples: int  # of these, those that count: no gap, filters settled
    overload_samples: int  # of these, at full scale: what was louder is not known
    energy_a: float  # sum of squares of the A-weighted samples that count
    energy_c: float
    energy_z: float
    laf_dbfs: Optional[float]  # A-weighted, Fast, at the frame's end: what percentiles are made of
    lafmax_dbfs: Optional[float]  # highest of all its samples
    lafmin_dbfs: Optional[float]
    lasmax_dbfs: Optional[float]  # the same, Slow
    lcpeak_dbfs: Optional[float]  # highest C-weighted instantaneous level
    # of the third octaves, where they are asked for: of the whole second that ends with this frame, all of its samples;
    # None in the other frames, and where not all of that second counts
    band_energies: Optional[Tuple[float, ...]] = None


class Calibration(NamedTuple):
    """What turns a source's levels re full scale into sound pressure levels re 20 uPa."""

    offset_db: float  # dB re 20 uPa of a sound whose RMS is full scale
    calibrated_on: str  # YYYY-MM-DD
    method: str  # "calibrator" or "data_sheet"


class Dating(NamedTuple):
    """What a message, dated while the system's clock was not set, can be dated again by (`edge.redating`)."""

    machine_boot_id: str  # the kernel's: the monotonic clock of another start of the machine says nothing here
    monotonic_s: float  # of the moment that the message's `time` tells


class Keepsake(NamedTuple):
    """What the node keeps for itself of what it tells: written with the message, sent to nobody."""

    owner: str  # name of the source
    content: bytes


class Message(NamedTuple):
    """One MQTT message, ready to send."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    durable: bool  # goes through the store before it is sent
    dating: Optional[Dating] = None  # by which its times can be corrected; None where they are final
    keepsake: Optional[Keepsake] = None  # None too in what a store gives out


JsonObject = Dict[str, Any]
