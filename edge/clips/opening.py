"""Clips, tried out before they are promised: a node whose clips cannot be right does not start with them."""

import logging
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

import numpy as np

from edge.clips.keeper import ClipKeeper, Publish
from edge.clips.keys import PublicKey, read_public_key
from edge.clips.leftover import LeftoverClips
from edge.clips.sealed import flac_from_samples
from edge.clips.shelf import FOLDER, Shelf
from edge.clips.speech import SpeechDetector
from edge.clock import is_system_clock_synchronised
from edge.config import ClipsConfig
from edge.errors import ClipError, ConfigError
from edge.messages import MessageFactory
from engines.errors import shown

_LOGGER = logging.getLogger(__name__)
_DAY_S = 86400.0


def open_clips(
    config: ClipsConfig,
    labels: Sequence[str],
    state_directory: Optional[Path],
    factory: MessageFactory,
    publish: Publish,
    node: str,
) -> Union[ClipKeeper, LeftoverClips, None]:
    """A keeper that is ready, where clips are wanted; where not, whoever deletes those of before, if there are any.

    Args:
        labels: the model's.

    Raises:
        ClipError, ConfigError: there is no key, no detector that works, no such label, no place for clips.
    """
    if state_directory is None:
        if config.enabled:
            raise ConfigError("[clips]: enabled without a state directory; give one with --state-dir")
        return None
    shelf = Shelf(
        state_directory / FOLDER,
        config.quota_bytes,
        config.max_age_days * _DAY_S,
        is_synced=is_system_clock_synchronised,
    )
    if not config.enabled:
        return LeftoverClips(shelf) if shelf.directory.exists() else None
    key, detector = prove_clips(config, labels)
    _LOGGER.info(
        "clips of %s are kept for %g days, encrypted to key %s, where no speech is found",
        ", ".join(config.labels),
        config.max_age_days,
        key.fingerprint.hex(),
    )
    return ClipKeeper(config, key, detector, shelf, factory, publish, node)


def prove_clips(config: ClipsConfig, labels: Sequence[str]) -> Tuple[PublicKey, SpeechDetector]:
    """Key and detector, tried out.  Raises ClipError, ConfigError: something is not as it must be."""
    unknown = [label for label in config.labels if label not in labels]
    if unknown:
        raise ConfigError(
            "[clips]: labels has %s, which the model does not know; expected of %s"
            % (shown(", ".join(unknown)), ", ".join(labels))
        )
    try:
        key = read_public_key(Path(config.public_key_file))
    except ClipError as error:
        raise ConfigError("[clips] public_key_file: %s" % error) from error
    detector = SpeechDetector()
    detector.run_selftest()
    flac_from_samples(np.zeros(1000, np.float32), 16000)  # libsndfile
    return key, detector
