"""What a training run is made of: every number that shapes it, in one record that travels with its checkpoints."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from engines.errors import FrontendError
from engines.frontend import FrontendSpec, frontend_spec_from_mapping
from trainer.errors import TrainerError
from trainer.recipe_ranges import check_field, refusal

# UrbanSound8K as commonly copied holds nothing above 11 kHz; 64 mels leave no band without an FFT bin.
URBAN_FRONTEND = FrontendSpec(
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
    scale=1 / 40,
    offset=1.0,
)


class Augmentation(NamedTuple):
    """Strengths of the augmentations; probability 0 switches one off.

    The defaults here and in `Recipe` are those of checkpoints that do not name a field: they never change. What is
    best at present stands in `trainer.recipes`.
    """

    cut_p: float = 0.2  # a clip is cut to a random length, so that length says nothing about the class
    cut_min_s: float = 0.3
    noise_fill_p: float = 0.5  # the rest of a short clip's window holds faint noise instead of digital silence
    background_p: float = 0.3  # coloured noise or a foreign clip beneath
    background_snr_db: tuple[float, float] = (3.0, 30.0)
    foreign_background_share: float = 0.4  # of those: a foreign clip, else noise
    made_up_foreign_p: float = 0.3  # foreign clips that are made up instead of recorded (trainer.data.made_up)
    gain_db: tuple[float, float] = (-30.0, 6.0)
    mix_p: float = 0.3  # two known clips in one window, the target shared as their amplitudes are
    mix_beta: float = 0.4  # of the share's Beta distribution: small values keep one sound well above the other
    response_db: float = 4.0  # random frequency response of a microphone (FilterAugment, Nam et al., 2021)
    low_pass_p: float = 0.1  # a random upper band limit
    warp_p: float = 0.5  # pitch and tempo
    warp_pitch_bands: float = 1.5
    warp_tempo: float = 0.1
    frequency_masks: int = 2
    frequency_mask_bands: int = 10
    time_masks: int = 1
    time_mask_frames: int = 24
    mask_fill: str = "silence"  # or loudest, as SoundCLR's own code does
    roll: bool = True  # in time, whole circle
    scale_max: float = 1.0  # SoundCLR's random scale: pitch and tempo together, by up to this factor either way
    place: str = "random"  # where in its window a clip shorter than it lies; or centre
    peak_first: bool = True  # a clip's peak is brought to full scale before the gain; else its own level counts
    mix_by: str = "share"  # of two known clips: Beta share of the amplitude; or snr: their ratio in dB, evenly drawn
    mix_snr_db: tuple[float, float] = (-10.0, 10.0)
    filter_p: float = 0.0  # FilterAugment (Nam et al., 2022)
    filter_kind: str = "linear"  # the gain runs straight from boundary to boundary; or step: one gain a band
    filter_db: float = 6.0  # gains lie within this, either way
    filter_bands: tuple[int, int] = (3, 6)  # fewest and most
    filter_width_bands: int = 3  # mel bands of the narrowest
    mixstyle_p: float = 0.0  # Freq-MixStyle (Kim et al., 2022; Schmid et al., 2022)
    mixstyle_alpha: float = 0.4  # of the share's Beta distribution
    click_p: float = 0.0  # a knock on the microphone or its cable, up to full scale


class Recipe(NamedTuple):
    """One training run. Nothing outside this record, the data and the weights it starts from shapes the weights."""

    scheme: str = "hybrid"  # ce: cross-entropy; supcon: contrastive, then a classifier on the frozen network; hybrid
    backbone: str = "tf_efficientnet_lite0"  # any of timm's
    in_channels: int = 1  # 3 repeats the log-mel, as the paper does
    pretrained: bool = True  # the backbone starts from ImageNet (or --weights), else from chance
    frontend: FrontendSpec = URBAN_FRONTEND
    augmentation: Augmentation = Augmentation()
    short_clip: str = "centre_silence"
    epochs: int = 20  # passes over as many clips as there are known ones
    classifier_epochs: int = 10  # of supcon's second stage, after those
    batch: int = 64  # known clips a step
    classes_per_batch: int = (
        0  # P of the P x K batches, K = batch / P clips of each; 0 draws clips whatever their class
    )
    views: int = 1  # of each known clip in a batch, augmented apart
    foreign_batch: int = 12  # foreign clips a step, where there are any
    learning_rate: float = 1e-3  # peak of the one-cycle schedule
    weight_decay: float = 1e-2
    classifier_learning_rate: float = 1e-2  # peak, in supcon's second stage
    warm_up: float = 0.15  # share of the steps
    alpha: float = 0.5  # weight of the contrastive loss
    temperature: float = 0.1
    contrast_mixtures: bool = True  # mixtures of two classes are everybody's negatives, else no part of the contrast
    ema_decay: float = 0.99  # of the moving average of the weights, until the tail begins
    source_balance: float = 0.5  # exponent: 0 draws clips evenly, 1 draws sources evenly
    precision: str = "float32"  # or bfloat16: autocast, for GPUs (and CPUs with AVX512-BF16)
    compile: bool = False  # torch.compile
    sync_batch_norm: bool = False  # batch norm over all GPUs' clips together
    seed: int = 0
    name: str = "street"  # of the table in trainer.recipes that it was begun from
    draw: str = "balanced"  # clips of a batch: with replacement, by source_balance; or pass: each once an epoch
    projection: str = "mlp"  # head of the contrastive loss: two layers; or linear, as SoundCLR's
    projection_dim: int = 128
    dropout: float = 0.2  # of the scaled unit features, before the classifier
    feature_dropout: float = 0.0  # of the features, before they are made unit vectors
    drop_path: float = 0.1  # stochastic depth, where the backbone knows it
    logit_scale: float = 16.0  # of the cosine classifier, at the start
    learn_logit_scale: bool = True
    learn_temperature: bool = False  # the contrastive loss's scale 1 / temperature is learnt, from `temperature` on
    label_smoothing: float = 0.0
    mixup: float = 0.0  # alpha of mixup for the classifier alone: the contrastive loss sees the clips unmixed; 0: off
    schedule: str = "cosine"  # linear rise, half a cosine down; one_cycle: PyTorch's; exponential: by lr_decay an epoch
    lr_decay: float = 0.98
    decay_all: bool = False  # weight decay on biases, norms and the logit scale too
    distil_weight: float = 0.0  # of the teachers' soft answers; the labels' weight is what is left
    distil_temperature: float = 2.0
    lr_floor: float = 0.0  # share of the peak rate that the cosine ends at: steps stay long enough to average over
    average_tail: float = 0.0  # share of the steps, at the end, whose plain mean is kept in place of the moving one

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return self.epochs + (self.classifier_epochs if self.scheme == "supcon" else 0)


def recipe_to_mapping(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain JSON values."""
    values = recipe._asdict()
    values["frontend"] = recipe.frontend._asdict()
    values["augmentation"] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in recipe.augmentation._asdict().items()
    }
    return values


def check_recipe(recipe: Recipe) -> Recipe:
    """The recipe, where every value is one that it can be trained by.

    Asked wherever a recipe enters a run: from the command line, a checkpoint, or a program. What only data and backbone
    can tell (more classes in a batch than there are, a picture too small for the network) is found when they are there.

    Raises:
        TrainerError: a value of another kind or out of its range, or two that do not go together.
    """
    for name, standard in Recipe._field_defaults.items():
        if name not in ("frontend", "augmentation"):
            check_field(name, getattr(recipe, name), standard)
    for name, standard in Augmentation._field_defaults.items():
        check_field("augmentation." + name, getattr(recipe.augmentation, name), standard)
    try:
        frontend_spec_from_mapping(recipe.frontend._asdict())
    except FrontendError as error:
        raise TrainerError("recipe: %s" % error) from error
    if recipe.scheme == "supcon" and not recipe.classifier_epochs:
        raise refusal("classifier_epochs", 0, "at least 1 with scheme supcon: its classifier would stay untrained")
    if recipe.classes_per_batch and recipe.batch % recipe.classes_per_batch:
        raise refusal("batch", recipe.batch, "a multiple of classes_per_batch, %d" % recipe.classes_per_batch)
    return recipe


def recipe_from_json(text: str) -> Recipe:
    """The recipe of a checkpoint.  Raises TrainerError where it is another version's, or none to train by."""
    try:
        values = json.loads(text)
        values["frontend"] = FrontendSpec(**values["frontend"])
        augmentation: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values["augmentation"].items()
        }
        values["augmentation"] = Augmentation(**augmentation)
        return check_recipe(Recipe(**values))
    except (ValueError, KeyError, TypeError, AttributeError, TrainerError) as error:
        raise TrainerError("the checkpoint's recipe is not one of this version (%s); train again" % error) from error
