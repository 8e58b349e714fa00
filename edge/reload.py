"""A new configuration while the node runs: proven before anything of the old one is given up."""

import logging
import threading
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from edge.clips.opening import prove_clips
from edge.config import Config, SourceConfig
from edge.connection import Connection
from edge.errors import EdgeError
from edge.levels.filtering import scipy_signal
from edge.scorer_choice import choose_scorer
from edge.sources import source_from_config
from edge.sources.devices import DeviceMissingError, choose_device, list_devices
from engines.bundle import Bundle, load_bundle
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)
_LONGEST_S = 2400.0  # for proving a model: a slow board builds its engine in minutes


def is_new_node(old: Config, new: Config, *, is_same_model: bool) -> bool:
    """Whether what is in every message, or the way to the broker, changes: then the whole node begins anew."""
    return (
        not is_same_model
        or _of_node(old) != _of_node(new)
        or old.levels.tells_bands != new.levels.tells_bands
        or [source.name for source in old.source] != [source.name for source in new.source]
    )


def _of_node(config: Config) -> Tuple[object, ...]:
    return config.node, config.mqtt, config.store, config.prometheus, config.home_assistant, config.clips


def changed_sources(old: Config, new: Config) -> List[str]:
    """Names of the sources, in a node that stays the same, that have to be opened anew."""
    of_all = old._replace(source=()) != new._replace(source=())
    return [source.name for source in new.source if of_all or source not in old.source]


class Reload:
    """One look at a new configuration, in a thread of its own: the watchdog does not wait for a model's self-test.

    Args:
        read_config: reads and checks it.
        config, bundle: what is in force.
        state_directory: where engines are kept.
    """

    def __init__(
        self, read_config: Callable[[], Config], config: Config, bundle: Bundle, state_directory: Optional[Path] = None
    ) -> None:
        self._read_config, self._old_config, self._old_bundle = read_config, config, bundle
        self._state_directory = state_directory
        self._give_up_s = time.monotonic() + _LONGEST_S
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self.config: Optional[Config] = None  # once proven
        self.bundle = bundle
        self.complaint = ""  # why the old one stays
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether there is an answer: a proven configuration, or a complaint."""
        if not self._thread.is_alive():
            return True
        if time.monotonic() < self._give_up_s:
            return False
        self.config, self.complaint = None, "it could not be proven within %.0f s" % _LONGEST_S
        return True

    def _run(self) -> None:
        try:
            config = self._read_config()
            self.bundle = self._prove(config)
            self.config = config
        except (EdgeError, EngineError) as error:
            self.complaint = str(error)
        except Exception as error:  # the thread's boundary: a reload never ends a node that runs
            _LOGGER.exception("reload: a fault inside")
            self.complaint = "a fault inside: %s" % error

    def _prove(self, config: Config) -> Bundle:
        bundle = load_bundle(Path(config.model.bundle))
        if config.model != self._old_config.model or bundle != self._old_bundle:
            with choose_scorer(bundle, config.model, self._state_directory).scorer as scorer:
                scorer.run_selftest()
        else:
            bundle = self._old_bundle
        if config.levels.enabled:
            scipy_signal()
        if config.clips.enabled:
            prove_clips(config.clips, bundle.labels)  # reads the key's file
        if config.mqtt != self._old_config.mqtt:
            Connection(config.mqtt, config.node.name).abort()  # reads its files
        for source in config.source:
            if source not in self._old_config.source:
                _prove_source(source)
        return bundle


def _prove_source(source: SourceConfig) -> None:
    if source.type == "file":
        with source_from_config(source):
            return
    if source.type == "microphone":
        source_from_config(source)
        try:
            choose_device(list_devices(), source.device)
        except DeviceMissingError as error:
            _LOGGER.warning("source %s: %s; it is waited for", source.name, error)
