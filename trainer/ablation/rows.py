"""The rows of the ablation: each a recipe, most of them the reference recipe with one ingredient changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trainer.errors import TrainerError
from trainer.recipe import Recipe
from trainer.recipes import RECIPES, change_recipe, fix_reference

REFERENCE = "reference"  # the recipe that the others change
FIXED_REFERENCE = "fixed-reference"
DISTILLED = "distilled"
HEADLINE = ("ce", "supcon", REFERENCE, DISTILLED, "trial")  # the rows that deserve several seeds
HEADLINE_SEEDS = (0, 1, 2)


class Row(NamedTuple):
    """One row of the table."""

    name: str
    text: str  # what is different, in words
    changes: dict[str, Any]  # of the reference recipe, by field
    epochs_share: float = 1.0  # of the reference's
    batch_share: float = 1.0  # likewise; a half of both means as many steps

    @property
    def needs_teachers(self) -> bool:
        """Left out where none are named."""
        return "distil_weight" in self.changes


def _off(name: str, text: str, **changes: Any) -> Row:
    return Row("no-" + name, "without " + text, {"augmentation." + field: value for field, value in changes.items()})


def _on(name: str, text: str, **changes: Any) -> Row:
    return Row(name, "with " + text, {"augmentation." + field: value for field, value in changes.items()})


# What did not help stays as a row. A row whose changes the reference already has says so in the table.
ROWS: Sequence[Row] = (
    Row(REFERENCE, "the recipe that the other rows change", {}),
    Row("ce", "cross-entropy alone", {"scheme": "ce"}),
    Row("supcon", "contrastive first, then a linear classifier on the frozen network", {"scheme": "supcon"}),
    Row("hybrid", "contrastive and cross-entropy together", {"scheme": "hybrid"}),
    Row("batches-of-32", "batches of 32 clips in place of 64, twice the steps", {"batch": 32, "foreign_batch": 6}),
    Row("batches-of-classes", "P x K batches: 8 classes, as many clips of each", {"classes_per_batch": 8}),
    Row("two-views", "two views of half as many clips a batch, as many steps", {"views": 2}, 0.5, 0.5),
    Row(
        "classes-and-views",
        "P x K batches of 8 classes, half as many clips of each in two views, as many steps",
        {"classes_per_batch": 8, "views": 2},
        0.5,
        0.5,
    ),
    Row("temperature-0.05", "contrastive temperature 0.05, the paper's", {"temperature": 0.05}),
    Row("learnt-temperature", "learnt contrastive temperature", {"learn_temperature": True}),
    Row("fixed-logit-scale", "logit scale 16 that is not learnt", {"learn_logit_scale": False}),
    Row("no-average", "the last step's weights, no moving average", {"ema_decay": 0.0}),
    Row("slow-average", "moving average over twice as many steps", {"ema_decay": 0.995}),
    Row("tail-average", "plain mean of the last quarter's weights", {"average_tail": 0.25}),
    Row("longer-steps", "twice the learning rate, which falls to 0.4 of it", {"learning_rate": 2e-3, "lr_floor": 0.4}),
    Row("no-source-balance", "clips drawn evenly, whatever their source", {"source_balance": 0.0}),
    Row("no-foreign", "without foreign sound (outlier exposure)", {"foreign_batch": 0}),
    Row("from-chance", "no ImageNet weights", {"pretrained": False}),
    Row("label-smoothing", "label smoothing 0.1", {"label_smoothing": 0.1}),
    Row("twice-as-long", "twice the epochs", {}, 2.0),
    Row(
        "finer-time",
        "a frame every 256 samples in place of 512: jackhammers blow 8 to 20 times a second; the network costs twice",
        {"frontend.hop_length": 256},
    ),
    Row(
        "short-frames",
        "frames of 23 ms in place of 46, a frame every 256 samples: blows 50 ms apart stay apart; costs twice",
        {"frontend.win_length": 512, "frontend.hop_length": 256},
    ),
    Row("mixup", "mixup 0.3 for the classifier alone, the contrastive loss unmixed", {"mixup": 0.3}),
    _off("cut", "cutting clips to random lengths", cut_p=0.0),
    _off("noise-fill", "faint noise around short clips", noise_fill_p=0.0),
    _off("background", "noise or a foreign clip beneath", background_p=0.0),
    _off("mixing", "mixing two clips' waveforms", mix_p=0.0),
    _off("response", "random responses and low-passes", response_db=0.0, low_pass_p=0.0),
    _off("warp", "shifts of pitch and tempo", warp_p=0.0),
    _on("wide-tempo", "shifts of tempo by 40 % in place of 10: tools and engines differ in their rate", warp_tempo=0.4),
    _on("wide-response", "random responses within 8 dB in place of 4", response_db=8.0),
    _off("masks", "masks", frequency_masks=0, time_masks=0),
    _off("roll", "rolling in time", roll=False),
    _on("mixing-at-snr", "waveforms mixed at -10 to 10 dB in place of a Beta share", mix_p=0.3, mix_by="snr"),
    _on("random-scale", "the paper's random scale, 1.25, in place of the warp", scale_max=1.25, warp_p=0.0),
    _on("filter-linear", "FilterAugment, linear, in place of the smooth response", filter_p=0.8, response_db=0.0),
    _on("filter-step", "FilterAugment, steps, likewise", filter_p=0.8, filter_kind="step", response_db=0.0),
    _on("mixstyle", "Freq-MixStyle on four clips of ten", mixstyle_p=0.4),
    _on("clicks", "clicks of 2 to 30 ms, up to full scale, in three windows of ten", click_p=0.3),
    _on("loud-masks", "masks filled with the loudest value, the paper's quirk", mask_fill="loudest"),
    Row(DISTILLED, "half the classifier's loss from the teachers' answers", {"distil_weight": 0.5}),
    Row("distilled-whole", "all of the classifier's loss from the teachers' answers", {"distil_weight": 1.0}),
    Row(FIXED_REFERENCE, "fixed reference and gain of the clip's own level", {}),
)


def list_rows() -> list[str]:
    """All names: the rows, then the named recipes."""
    return [row.name for row in ROWS] + list(RECIPES)


def describe_row(name: str) -> str:
    """What is different, in words; a named recipe is a row of its own.  Raises TrainerError."""
    for row in ROWS:
        if row.name == name:
            return row.text
    if name in RECIPES:
        return "the recipe `%s`, whole" % name
    raise TrainerError("no row %r; there are %s" % (name, ", ".join(list_rows())))


def row_recipe(name: str, reference: Recipe) -> Recipe:
    """The recipe of a row; a named recipe's own does not depend on the reference.  Raises TrainerError."""
    for row in ROWS:
        if row.name == name:
            changed = fix_reference(reference) if name == FIXED_REFERENCE else reference
            epochs, batch = reference.epochs * row.epochs_share, reference.batch * row.batch_share
            changed = changed._replace(epochs=max(1, round(epochs)), batch=max(1, round(batch)))
            return _keep_durations(change_recipe(changed, row.changes), reference.frontend.hop_length)
    describe_row(name)  # or refuse
    return RECIPES[name]


def _keep_durations(recipe: Recipe, hop_length: int) -> Recipe:
    """The window and its masks as long as they were with another hop."""
    finer = hop_length / recipe.frontend.hop_length
    frontend, augmentation = recipe.frontend, recipe.augmentation
    return recipe._replace(
        frontend=frontend._replace(window_frames=round((frontend.window_frames - 1) * finer) + 1),
        augmentation=augmentation._replace(time_mask_frames=round(augmentation.time_mask_frames * finer)),
    )
