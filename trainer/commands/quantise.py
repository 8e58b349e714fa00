"""`soundclr-train quantise`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from engines.bundle import Bundle, load_bundle
from engines.network_build import MODEL_FILES
from trainer.commands.options import Commands, check_seed
from trainer.data.datasets import read_dataset
from trainer.data.waveforms import Waveforms, read_waveforms
from trainer.errors import TrainerError
from trainer.frontend import LogMel
from trainer.inference import cut_windows
from trainer.places import check_folder
from trainer.quantise import MIN_CALIBRATION_WINDOWS, add_variants, measure_loss

_PRECISIONS = ("fp16", "int8")


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    quantise = commands.add_parser(
        "quantise", help="add networks in half precision and in eight bits to a bundle, and say what they cost"
    )
    quantise.add_argument("bundle", type=Path, help="folder of the bundle")
    quantise.add_argument("--data", type=Path, required=True, help="data set of the bundle's classes to calibrate on")
    quantise.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    quantise.add_argument(
        "--precision", action="append", choices=_PRECISIONS, default=None, help="only this; may be repeated"
    )
    quantise.add_argument(
        "--clips", type=int, default=200, help="clips to calibrate on, and as many to compare on (default: %(default)s)"
    )
    quantise.add_argument("--seed", type=int, default=0, help="of the choice of clips (default: %(default)s)")
    quantise.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    check_seed(arguments.seed)
    if arguments.clips < 1:
        raise TrainerError("--clips %d; expected at least 1" % arguments.clips)
    check_folder("--out", arguments.out)
    bundle = load_bundle(arguments.bundle)
    calibration, compared = _choose_clips(bundle, arguments)
    precisions = arguments.precision or list(_PRECISIONS)
    made = add_variants(bundle, _windows(bundle, calibration)[0], arguments.out, precisions)
    inputs, labels = _windows(bundle, compared)
    losses = [
        measure_loss(bundle, made.path / MODEL_FILES[name], name, inputs, labels)._asdict() for name in precisions
    ]
    json.dump({"bundle": str(made.path), "against_fp32": losses}, sys.stdout, indent=1)
    print()
    return 0


def _choose_clips(bundle: Bundle, arguments: argparse.Namespace) -> tuple[Waveforms, Waveforms]:
    data = read_dataset(arguments.data)
    clips = [clip for clip in data.clips if clip.category in bundle.labels]
    if len(clips) < 2 * MIN_CALIBRATION_WINDOWS:
        raise TrainerError(
            "%s has %d clips of the bundle's classes; expected at least %d to calibrate and to compare on"
            % (arguments.data, len(clips), 2 * MIN_CALIBRATION_WINDOWS)
        )
    order = np.random.default_rng(arguments.seed).permutation(len(clips))
    half = min(arguments.clips, len(clips) // 2)
    rate_hz = bundle.frontend.sample_rate_hz
    first, second = (
        read_waveforms([clips[i] for i in part], bundle.labels, rate_hz)
        for part in (order[:half], order[half : 2 * half])
    )
    return first, second


def _windows(bundle: Bundle, clips: Waveforms) -> tuple[np.ndarray, np.ndarray]:
    """The first window of each clip as the network's input, and the clips' labels."""
    windows = np.stack([cut_windows(samples, bundle.frontend, bundle.short_clip)[0] for samples in clips.samples])
    with torch.no_grad():
        return LogMel(bundle.frontend)(torch.from_numpy(windows.astype(np.float32))).numpy(), clips.labels
