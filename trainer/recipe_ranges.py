"""What each field of a recipe may be: its kind, its choices or its range, in one table.

Wide where a value is merely unusual, narrow where training would divide by zero, never end, or silently do something
else than what is asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from trainer.errors import TrainerError


class Range(NamedTuple):
    """Numbers from `low` to `high`."""

    low: float
    high: float
    above: bool = False  # `low` itself is not among them
    below: bool = False  # nor is `high`

    def holds(self, value: float) -> bool:
        """Whether the value is one of them; NaN is in no range."""
        high_enough = value > self.low if self.above else value >= self.low
        return high_enough and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        return "%s%.10g and %s %.10g" % (
            "above " if self.above else "at least ",
            self.low,
            "below" if self.below else "at most",
            self.high,
        )


_SHARE, _PART = Range(0, 1), Range(0, 1, below=True)
_RATE, _EXPONENT = Range(0, 1000, above=True), Range(0, 1000, above=True)
_LEVEL_DB, _SPREAD_DB = Range(-200, 200), Range(0, 200)
_CLIPS, _EPOCHS, _BANDS = Range(0, 65536), 1_000_000, Range(0, 8192)

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "scheme": ("ce", "supcon", "hybrid"),
    "in_channels": (1, 3),
    "short_clip": ("centre_silence",),
    "precision": ("float32", "bfloat16"),
    "draw": ("balanced", "pass"),
    "projection": ("mlp", "linear"),
    "schedule": ("cosine", "one_cycle", "exponential"),
    "augmentation.mask_fill": ("silence", "loudest"),
    "augmentation.place": ("random", "centre"),
    "augmentation.mix_by": ("share", "snr"),
    "augmentation.filter_kind": ("linear", "step"),
    "frontend.reference": ("max", "fixed"),
}
RANGES: Mapping[str, Range] = {
    "epochs": Range(1, _EPOCHS),
    "classifier_epochs": Range(0, _EPOCHS),
    "batch": Range(2, _CLIPS.high),
    "classes_per_batch": _CLIPS,
    "views": Range(1, 64),
    "foreign_batch": _CLIPS,
    "learning_rate": _RATE,
    "classifier_learning_rate": _RATE,
    "weight_decay": Range(0, 1000),
    "warm_up": _SHARE,
    "alpha": _SHARE,
    "temperature": Range(1e-4, 1e4),
    "ema_decay": _PART,  # at 1 the average would never leave the start
    "source_balance": _SHARE,
    "seed": Range(0, 2**32 - 1),  # times what parts epochs and processes it stays within torch's 64 bits
    "projection_dim": Range(1, 65536),
    "dropout": _PART,
    "feature_dropout": _PART,
    "drop_path": _PART,
    "logit_scale": Range(0, 1e4, above=True),
    "label_smoothing": _PART,
    "mixup": Range(0, _EXPONENT.high),
    "lr_decay": Range(0, 1, above=True),
    "distil_weight": _SHARE,
    "distil_temperature": Range(1e-4, 1e4),
    "lr_floor": _SHARE,
    "average_tail": _SHARE,
    "augmentation.cut_p": _SHARE,
    "augmentation.cut_min_s": Range(0.01, 3600),
    "augmentation.noise_fill_p": _SHARE,
    "augmentation.background_p": _SHARE,
    "augmentation.background_snr_db": _LEVEL_DB,
    "augmentation.foreign_background_share": _SHARE,
    "augmentation.made_up_foreign_p": _SHARE,
    "augmentation.gain_db": _LEVEL_DB,
    "augmentation.mix_p": _SHARE,
    "augmentation.mix_beta": _EXPONENT,
    "augmentation.response_db": _SPREAD_DB,
    "augmentation.low_pass_p": _SHARE,
    "augmentation.warp_p": _SHARE,
    "augmentation.warp_pitch_bands": Range(0, 512),
    "augmentation.warp_tempo": _PART,
    "augmentation.frequency_masks": Range(0, 64),
    "augmentation.frequency_mask_bands": _BANDS,  # one wider than the picture blanks it: harmless, though of no use
    "augmentation.time_masks": Range(0, 64),
    "augmentation.time_mask_frames": _BANDS,
    "augmentation.scale_max": Range(1, 10),
    "augmentation.mix_snr_db": _LEVEL_DB,
    "augmentation.filter_p": _SHARE,
    "augmentation.filter_db": _SPREAD_DB,
    "augmentation.filter_bands": Range(1, 512),
    "augmentation.filter_width_bands": Range(0, 512),
    "augmentation.mixstyle_p": _SHARE,
    "augmentation.mixstyle_alpha": _EXPONENT,
    "augmentation.click_p": _SHARE,
}


def check_field(name: str, value: Any, standard: Any) -> None:
    """Refuse a value that its field cannot have.

    Args:
        name: as `--set` takes it: `epochs`, `augmentation.mix_p`. Ranges of `frontend.` are the front end's own.
        standard: the field's value in the standard recipe, which tells its kind.

    Raises:
        TrainerError: it is of another kind, none of the choices, out of range, or no number.
    """
    if not _is_like(value, standard):
        raise refusal(name, value, _list_choices(name) or "a value like %s" % json.dumps(standard))
    if name in CHOICES and value not in CHOICES[name]:
        raise refusal(name, value, _list_choices(name))
    numbers = [one for one in (value if isinstance(value, list | tuple) else [value]) if _is_number(one)]
    allowed = RANGES.get(name)
    if allowed is not None and not all(allowed.holds(one) for one in numbers):
        raise refusal(name, value, "%s%s" % ("both " if len(numbers) > 1 else "", allowed))
    if not all(_is_finite(one) for one in numbers):
        raise refusal(name, value, "a finite number")
    if len(numbers) > 1 and numbers[0] > numbers[1]:
        raise refusal(name, value, "the lower one first")


def refusal(name: str, value: Any, expected: str) -> TrainerError:
    """The error of a field: what was given, and what was expected."""
    return TrainerError("recipe field %s is %s; expected %s" % (name, json.dumps(value, default=repr), expected))


def _is_like(value: Any, standard: Any) -> bool:
    """Whether a value is of a standard one's kind: a whole number will do for any, a truth value for no number."""
    if isinstance(standard, tuple):
        pair = isinstance(value, list | tuple) and len(value) == len(standard)
        return pair and all(_is_like(one, other) for one, other in zip(value, standard, strict=True))
    if isinstance(standard, float):
        return _is_number(value)
    return type(value) is type(standard)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _list_choices(name: str) -> str:
    return " or ".join(map(str, CHOICES.get(name, ())))
