"""What Home Assistant was told, kept across restarts: what is gone has to be taken back."""

import json
import logging
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from edge.home_assistant.entities import Levels
from engines.whole_file import write_whole

_LOGGER = logging.getLogger(__name__)
_NAME = "home-assistant.json"
_MAX_BYTES = 1 << 20
_MOST_COMPONENTS = 500  # more are forgotten: they stay in Home Assistant until somebody deletes them


class Announced(NamedTuple):
    """The state of what was retained under the discovery prefix."""

    topic: Optional[str] = None  # of the announcement; None: there is none
    components: Dict[str, str] = {}  # platform by key, of everything that was ever announced there
    levels: Dict[str, Levels] = {}  # by source, as last known
    to_clear: List[str] = []  # topics of before, which are still to be emptied


class Memory:
    """Args: directory: None remembers nothing."""

    def __init__(self, directory: Optional[Path]) -> None:
        self._path = directory / _NAME if directory is not None else None

    def read(self) -> Announced:
        """What was announced last; nothing where there is no file, or one that cannot be read."""
        if self._path is None or not self._path.exists():
            return Announced()
        try:
            with open(str(self._path), "rb") as file:
                values = json.loads(file.read(_MAX_BYTES).decode("utf-8"))
            return _announced_from(values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            _LOGGER.warning(
                "what was announced to Home Assistant cannot be read from %s (%s); entities that are gone by now stay "
                "in Home Assistant until they are deleted there",
                self._path,
                error,
            )
            return Announced()

    def write(self, announced: Announced) -> None:
        """Keep it; a disk that takes nothing is told of and does no harm."""
        if self._path is None:
            return
        values = announced._asdict()
        values["components"] = dict(list(announced.components.items())[-_MOST_COMPONENTS:])
        values["levels"] = {source: list(levels) for source, levels in announced.levels.items()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(values).encode("utf-8"))
        except OSError as error:
            _LOGGER.warning("what was announced to Home Assistant cannot be kept in %s: %s", self._path, error)


def _announced_from(values: Dict[str, Any]) -> Announced:
    topic = values["topic"]
    levels = {source: Levels(*found) for source, found in values["levels"].items()}
    announced = Announced(topic, dict(values["components"]), levels, list(values["to_clear"]))
    texts = list(announced.components.values()) + announced.to_clear + ([topic] if topic is not None else [])
    texts += [unit for _, unit in levels.values() if unit is not None]
    if not all(isinstance(text, str) and text and not set(text) & set("#+\0") for text in texts):
        raise ValueError("not as it was written")
    return announced
