"""A composed scene on disk: its sound, and beside it the timeline that is the truth about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import soundfile

from trainer.composition import BED_LEVEL_DBFS, Scene
from trainer.errors import TrainerError

SUMMARY_NAME = "scenes.json"  # of a folder of scenes; no timeline


class TrueEvent(NamedTuple):
    """What the timeline says; the label of a distractor is None."""

    label: str | None
    start_s: float
    end_s: float
    snr_db: float


def write_scene(path: Path, scene: Scene) -> None:
    """Write a scene as FLAC of 16 bit with its timeline beside it, `.json`."""
    write_sound(path, scene, format="FLAC", subtype="PCM_16")
    write_timeline(path.with_suffix(".json"), path.name, scene)


def write_sound(path: Path, scene: Scene, **encoding: str | float) -> None:
    """Write the sound alone; `encoding` as soundfile names it."""
    with soundfile.SoundFile(str(path), "w", scene.sample_rate_hz, 1, **encoding) as file:
        for start in range(0, len(scene.samples), scene.sample_rate_hz):  # libsndfile's Vorbis fails on long writes
            file.write(scene.samples[start : start + scene.sample_rate_hz])


def write_timeline(path: Path, sound_name: str, scene: Scene) -> None:
    """Write the timeline alone."""
    timeline = {
        "schema": 1,
        "file": sound_name,
        "duration_s": len(scene.samples) / scene.sample_rate_hz,
        "bed": scene.bed_file,
        "bed_dbfs": BED_LEVEL_DBFS,
        "events": [event._asdict() for event in scene.events],
    }
    path.write_text(json.dumps(timeline, indent=1) + "\n", encoding="utf-8")


def read_timeline(path: Path) -> tuple[Path, float, list[TrueEvent]]:
    """A timeline as `write_timeline` wrote it: the sound's path, its duration in seconds, its events.

    Raises:
        TrainerError: it is none.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        events = [TrueEvent(row["label"], row["start_s"], row["end_s"], row["snr_db"]) for row in values["events"]]
        return Path(path).parent / values["file"], float(values["duration_s"]), events
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainerError(
            "%s is no timeline (%s: %s); expected what `python -m trainer.scenes` writes"
            % (path, type(error).__name__, error)
        ) from error
