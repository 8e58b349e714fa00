"""What a process, or a machine of a cluster, is asked to do: JSON in, bytes out, a model opened once."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from edge.archive.reels import Reel, mapping_from_reel, reel_from_mapping
from edge.config import Config, EventsConfig, GateConfig, LevelsConfig, ModelConfig, NodeConfig, SourceConfig
from edge.errors import SourceError
from edge.records import Calibration, JsonObject
from edge.scorer import Scorer
from engines.bundle import Bundle, load_bundle, sha256_of_file

OnProgress = Callable[[float], None]


class Outcome(NamedTuple):
    """What came of one piece of work."""

    number: int  # its place in the list that was given
    result: Optional[bytes]  # None where it failed
    error: str  # why


def settings_from_config(config: Config, bundle: Path, calibration: Optional[Calibration] = None) -> JsonObject:
    """What results depend on besides the sound, for JSON.

    Args:
        calibration: results depend on it only where the gate is in dB re 20 uPa.

    Raises:
        EngineError: the bundle is not whole.
    """
    bundle = load_bundle(bundle).path.resolve()  # of one that ships, it was its name
    return {
        "bundle": str(bundle),
        "manifest_sha256": sha256_of_file(bundle / "manifest.json"),
        "model": dict(config.model._replace(bundle=str(bundle))._asdict()),
        "gate": dict(config.gate._asdict()),
        "levels": dict(config.levels._asdict()),
        "calibration": list(calibration) if calibration is not None and config.gate.floor_db is not None else None,
        "events": dict(config.events._asdict()),
    }


def config_from_settings(settings: JsonObject) -> Config:
    """The part of a configuration that `settings_from_config` kept."""
    return Config(
        NodeConfig("archive"),
        (SourceConfig("archive", "stdin"),),
        model=ModelConfig(**settings["model"]),
        gate=GateConfig(**settings["gate"]),
        levels=LevelsConfig(**settings["levels"]),
        events=EventsConfig(**settings["events"]),
    )


def hear_task(reel: Reel) -> str:
    """Asks for a reel's part."""
    return json.dumps({"reel": mapping_from_reel(reel)})


def print_task(path: str, start_time: str, *, as_json: bool) -> str:
    """Asks for the lines that `classify` prints of a file, after one with the complaint of it as JSON."""
    return json.dumps({"file": path, "start_time": start_time, "as_json": as_json})


class Worker:
    """Holds bundle and scorer for one process, or one thread of a cluster's worker."""

    def __init__(self, settings: JsonObject) -> None:
        """Raises EngineError: the bundle is not what it was, or nothing here can run it."""
        from edge.installation import find_state_directory
        from edge.scorer_choice import choose_scorer

        self.config = config_from_settings(settings)
        self._calibration = Calibration(*settings["calibration"]) if settings["calibration"] else None
        self.bundle: Bundle = load_bundle(Path(settings["bundle"]))
        found = sha256_of_file(self.bundle.path / "manifest.json")
        if found != settings["manifest_sha256"]:
            from engines.errors import BundleError

            raise BundleError(
                "%s: another bundle than where the work was given out; put the same one on every machine"
                % self.bundle.path
            )
        self.scorer: Scorer = choose_scorer(self.bundle, self.config.model, find_state_directory()).scorer

    def do(self, task: str, on_progress: OnProgress = lambda heard_s: None) -> bytes:
        """One piece of work.  Raises SourceError: its file cannot be heard."""
        asked: Dict[str, Any] = json.loads(task)
        if "reel" in asked:
            from edge.archive.hearing import hear_reel

            reel = reel_from_mapping(asked["reel"])
            return hear_reel(reel, self.bundle, self.scorer, self.config, self._calibration, on_progress)
        return self._printed(asked["file"], asked["start_time"], asked["as_json"])

    def close(self) -> None:
        """Release the model."""
        self.scorer.close()

    def _printed(self, path: str, start_time: str, as_json: bool) -> bytes:
        from edge.classify import lines_of_file

        lines: List[str] = []
        complaint = ""
        try:
            for line in lines_of_file(
                path, self.bundle, self.scorer, self.config, as_json=as_json, start_time=start_time
            ):
                lines.append(line)
        except SourceError as error:  # what was heard of it until then is printed all the same
            complaint = str(error)
        return "".join([json.dumps(complaint), "\n"] + lines).encode("utf-8", "surrogateescape")
