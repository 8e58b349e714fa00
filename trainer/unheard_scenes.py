"""Hours of street composed from what a model has not heard: a sound a minute, as sparse as a street's own.

The clips are those of the folds that a run held out, recording after recording; every fifth is foreign, of a category
that the run met in no role, and must raise nothing. The beds are the foreign clips that the run was made to reserve
and, in turn with them, made-up traffic noise. What `trainer.scenes scenes` composes from few free clips can be given
away; this cannot (UrbanSound8K's licence), but hundreds of recordings stand behind it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainer.composition import BEDS_REFUSED, Sound, compose_scene, read_sound
from trainer.data.clips import Clip, Dataset
from trainer.effects import draw_street
from trainer.foreign_judgement import find_unmet
from trainer.listener import Listener
from trainer.timeline import SUMMARY_NAME, write_scene

SCENE_S = 600.0
SOUNDS = 10  # in a scene
FOREIGN_EVERY = 5  # this many sounds hold one that is foreign, where there are foreign clips
SNRS_DB = (0.0, 6.0, 12.0)  # one scene after another
_TRAFFIC_S = 60.0


def write_unheard_scenes(
    listener: Listener,
    data: Dataset,
    foreign: Dataset | None,
    out_dir: Path,
    *,
    hours: float,
    folds: Sequence[int] = (),
    skip: Sequence[str] = (),
    seed: int = 0,
) -> list[Path]:
    """Compose scenes of ten minutes, as FLAC with their timelines, and `scenes.json` saying of what they are made.

    Args:
        foreign: None for no distractor, and beds of made-up traffic alone; none either where the run trained on all.
        hours: in all, rounded up to whole scenes.
        folds: of `data`; those that the run held out where none are given.
        skip: foreign categories that are a known class under another name.

    Raises:
        TrainerError: the model heard these folds.
    """
    rng = np.random.default_rng(seed)
    known = listener.unheard(data, list(folds))
    beds = _find_reserved(listener, foreign)
    unmet = find_unmet(listener, data, foreign, skip=skip)[0] if foreign else []
    strange = [clip for clip in unmet if clip not in beds]
    rate_hz = listener.spec.sample_rate_hz
    known_deal, strange_deal = _deal(known, rng), _deal(strange, rng)
    labels = {clip.category: clip.category for clip in known} | {clip.category: None for clip in strange}
    scenes = math.ceil(hours * 3600 / SCENE_S)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(scenes):
        is_strange = [bool(strange) and i % FOREIGN_EVERY == FOREIGN_EVERY - 1 for i in range(SOUNDS)]
        clips = [next(strange_deal if one else known_deal) for one in is_strange]
        snr_db = SNRS_DB[number % len(SNRS_DB)]
        scene = compose_scene(
            [read_sound(clip.path, clip.category, rate_hz) for clip in clips],
            _bed(beds, number, rate_hz, rng),
            seed=int(rng.integers(2**32)),
            snr_db=(snr_db, snr_db),
            duration_s=SCENE_S,
            sample_rate_hz=rate_hz,
            labels=labels,
        )
        paths.append(out_dir / ("scene-%03d-%02ddb.flac" % (number + 1, snr_db)))
        write_scene(paths[-1], scene)
    summary = {
        "model": listener.name,
        "data": data.name,
        "scenes": scenes,
        "hours": scenes * SCENE_S / 3600,
        "folds": sorted({clip.fold for clip in known}),
        "known_clips": len(known),
        "known_sources": len({clip.source_id for clip in known}),
        "foreign_categories": sorted({clip.category for clip in strange}),
        "foreign_sources": len({clip.source_id for clip in strange}),
        "beds": sorted({clip.name for clip in beds}) + ["made-up traffic"],
        "seed": seed,
    }
    (out_dir / SUMMARY_NAME).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return paths


def _find_reserved(listener: Listener, foreign: Dataset | None) -> list[Clip]:
    """Foreign clips that the run kept away from training for scenes."""
    if foreign is None or listener.record is None:
        return []
    wanted = set(listener.record.foreign_reserve)
    return [clip for clip in foreign.clips if clip.reserve in wanted and clip.source_id not in BEDS_REFUSED]


def _bed(beds: Sequence[Clip], number: int, rate_hz: int, rng: np.random.Generator) -> Sound:
    """A reserved clip and made-up traffic in turn."""
    if beds and number % 2 == 0:
        clip = beds[number // 2 % len(beds)]
        return read_sound(clip.path, clip.category, rate_hz)
    return Sound("made-up traffic", "traffic", draw_street([], int(_TRAFFIC_S * rate_hz), rng, rate_hz), ())


def _deal(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Clips without end: category after category, within it recording after recording, then their next clips."""
    hands = []
    for category in sorted({clip.category for clip in clips}):
        sources: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            if clip.category == category:
                sources[clip.source_id].append(clip)
        order = [sources[source] for source in rng.permutation(sorted(sources))]
        order = [[hand[i] for i in rng.permutation(len(hand))] for hand in order]
        rounds = itertools.zip_longest(*order)
        hands.append(itertools.cycle([clip for one in rounds for clip in one if clip is not None]))
    return itertools.chain.from_iterable(zip(*hands, strict=True)) if hands else iter(())
