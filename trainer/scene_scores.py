"""How well a daemon's events agree with the timelines of composed scenes.

    python -m trainer.scene_scores DIR [--bundle DIR] [--json]

An event is right when it has a true event's label, overlaps it, and its onset lies within the collar; each true event
is found once. False alarms are counted apart, per hour: events of a label that does not sound at that time, what
distractors raise among them. A second event of one sounding, or one whose onset is off, costs F1 but alarms nobody
wrongly.
"""

# ruff: noqa: T201 - the command line below talks to a person
from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.bundle import load_bundle
from engines.errors import EngineError
from trainer.data.clips import share_folds
from trainer.errors import TrainerError
from trainer.listener import read_heard
from trainer.timeline import SUMMARY_NAME, TrueEvent, read_timeline

COLLAR_S = 2.0
_EDGE_COMMAND = (sys.executable, "-m", "edge", "classify", "--json")
_RUN_LIMIT_S = 600.0  # for one scene; hearing one takes seconds


class HeardEvent(NamedTuple):
    """What the daemon said."""

    label: str
    start_s: float
    end_s: float


class Comparison(NamedTuple):
    """One scene's events against its timeline."""

    duration_s: float
    matches: list[tuple[int, int]]  # indices of a true and a heard event
    onset_errors_s: list[float]  # |heard - true| of the matches
    missed: list[int]  # true events nobody found
    superfluous: list[int]  # heard events that match nothing, false alarms among them
    false_alarms: list[int]  # heard events whose label does not sound while they last
    distractor_alarms: list[int]  # of the false alarms: those while a distractor sounds
    labels: dict[str, LabelScores]


class LabelScores(NamedTuple):
    """One label in scenes together."""

    true: int
    found: int
    false_alarms: int


class SceneScores(NamedTuple):
    """Scenes together."""

    scenes: int
    hours: float
    matched: int
    missed: int
    superfluous: int
    false_alarms: int
    distractor_alarms: int
    distractors: int
    precision: float
    recall: float
    f1: float  # micro
    onset_error_median_s: float | None  # None where nothing matched
    false_alarms_per_hour: float
    false_alarms_per_hour_bound: float  # exact Poisson: 95 % sure that the true rate is below
    labels: dict[str, LabelScores]


Hear = Callable[[Path], list[HeardEvent]]


def compare_events(
    heard: Sequence[HeardEvent], truth: Sequence[TrueEvent], *, duration_s: float, collar_s: float = COLLAR_S
) -> Comparison:
    """Match a scene's events with its timeline, nearest onsets first."""
    pairs = sorted(
        (abs(event.start_s - true.start_s), i, j)
        for i, true in enumerate(truth)
        for j, event in enumerate(heard)
        if event.label == true.label and _overlap(event, true) and abs(event.start_s - true.start_s) <= collar_s
    )
    found: dict[int, int] = {}
    errors_s = []
    for error_s, i, j in pairs:
        if i not in found and j not in found.values():
            found[i] = j
            errors_s.append(error_s)
    superfluous = [j for j in range(len(heard)) if j not in found.values()]
    alarms = [
        j for j in superfluous if not any(true.label == heard[j].label and _overlap(heard[j], true) for true in truth)
    ]
    return Comparison(
        duration_s,
        sorted(found.items()),
        errors_s,
        [i for i, true in enumerate(truth) if true.label is not None and i not in found],
        superfluous,
        alarms,
        [j for j in alarms if any(true.label is None and _overlap(heard[j], true) for true in truth)],
        _count_labels(
            [true.label for true in truth if true.label is not None],
            [heard[j].label for j in found.values()],
            [heard[j].label for j in alarms],
        ),
    )


def summarise(comparisons: Sequence[Comparison], distractors: int) -> SceneScores:
    """Add scenes up.  `distractors`: how many sounded in them."""

    def count(field: str) -> int:
        return sum(len(getattr(comparison, field)) for comparison in comparisons)

    if not comparisons:
        raise TrainerError("no scene to score; expected at least one")
    hours = sum(comparison.duration_s for comparison in comparisons) / 3600
    matched, missed, superfluous, alarms = map(count, ("matches", "missed", "superfluous", "false_alarms"))
    errors_s = [error_s for comparison in comparisons for error_s in comparison.onset_errors_s]
    return SceneScores(
        len(comparisons),
        hours,
        matched,
        missed,
        superfluous,
        alarms,
        count("distractor_alarms"),
        distractors,
        _share(matched, matched + superfluous),
        _share(matched, matched + missed),
        _share(2 * matched, 2 * matched + missed + superfluous),
        float(np.median(errors_s)) if errors_s else None,
        alarms / hours,
        poisson_upper_bound(alarms) / hours,
        _add_labels([comparison.labels for comparison in comparisons]),
    )


def poisson_upper_bound(count: int, *, confidence: float = 0.95) -> float:
    """The expectation under which as few as `count` events come with probability 1 - confidence: exact, one-sided.

    0 events give 3.0, the "rule of three".
    """
    low, high = 0.0, 2.0 * count + 20.0 + 10.0 * math.log(1.0 / (1.0 - confidence))
    for _ in range(200):
        middle = 0.5 * (low + high)
        log_terms = [k * math.log(middle) - middle - math.lgamma(k + 1) for k in range(count + 1)]
        low, high = (middle, high) if sum(map(math.exp, log_terms)) > 1.0 - confidence else (low, middle)
    return 0.5 * (low + high)


def check_bundle(folder: Path, bundle: Path | None) -> None:
    """Refuse to score a model on scenes of what it was trained on, where the scenes say what they are made of.

    Raises:
        TrainerError: no bundle is named, or the bundle was trained on a fold that sounds in the scenes.
        BundleError: the bundle cannot be read.
    """
    path = Path(folder) / SUMMARY_NAME
    made_of = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if "folds" not in made_of:
        return  # of free clips that no model of ours was trained on
    if bundle is None:
        raise TrainerError(
            "these scenes are made of folds %s of %s for %s; name its bundle with --bundle (the daemon's own may have "
            "been trained on them)" % (made_of["folds"], made_of["data"], made_of["model"])
        )
    heard = read_heard(load_bundle(bundle).training)
    trained = set(heard.folds) & set(made_of["folds"])
    if trained and share_folds(heard.data, made_of["data"]):
        raise TrainerError(
            "bundle %s was trained on folds %s of %s, which sound in these scenes; compose others with "
            "`python -m trainer.scenes unheard`" % (bundle, sorted(trained), made_of["data"])
        )


def score_scenes(folder: Path, hear: Hear, *, collar_s: float = COLLAR_S) -> dict[str, SceneScores]:
    """Hear every scene of a folder and score by SNR ("6 dB") and all together ("all").

    A scene whose sounds have several SNRs counts under the range, "12 to 18 dB".
    """
    groups: dict[str, list[tuple[Comparison, int]]] = {}
    for path in sorted(Path(folder).glob("*.json")):
        if path.name == SUMMARY_NAME:
            continue
        sound, duration_s, truth = read_timeline(path)
        comparison = compare_events(hear(sound), truth, duration_s=duration_s, collar_s=collar_s)
        distractors = sum(true.label is None for true in truth)
        for group in (_snr_name(truth), "all"):
            groups.setdefault(group, []).append((comparison, distractors))
    if not groups:
        raise TrainerError("%s holds no timeline; expected the folder that `python -m trainer.scenes` wrote" % folder)
    return {
        name: summarise([comparison for comparison, _ in rows], sum(count for _, count in rows))
        for name, rows in sorted(groups.items())
    }


def hear_with_edge(
    path: Path, *, command: Sequence[str] = _EDGE_COMMAND, bundle: Path | None = None
) -> list[HeardEvent]:
    """The events that `soundclr-edge classify --json` prints, in a process of its own: the trainer imports no edge."""
    arguments = [*command, *(["--bundle", str(bundle)] if bundle else []), str(path)]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=_RUN_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainerError("%s: %s" % (" ".join(arguments), error)) from error
    if done.returncode != 0:
        raise TrainerError(
            "%s ended with status %d: %s" % (" ".join(arguments), done.returncode, done.stderr.strip()[-500:])
        )
    return _heard_from_lines(done.stdout.splitlines())


def format_scores(scores: dict[str, SceneScores]) -> str:
    """A table for people; also valid Markdown."""
    lines = [
        "| over the bed | scenes | F1 | precision | recall | median onset error | false alarms an hour (95 % bound)"
        " | of distractors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        onset = "-" if score.onset_error_median_s is None else "%.2f s" % score.onset_error_median_s
        lines.append(
            "| %s | %d | %.2f | %.2f | %.2f | %s | %.1f (< %.1f) | %d in %d |"
            % (
                name,
                score.scenes,
                score.f1,
                score.precision,
                score.recall,
                onset,
                score.false_alarms_per_hour,
                score.false_alarms_per_hour_bound,
                score.distractor_alarms,
                score.distractors,
            )
        )
    lines += ["", "| label | sounded | found | false alarms an hour |", "|---|---|---|---|"]
    every = scores["all"]
    lines += [
        "| %s | %d | %d | %.1f |" % (name, label.true, label.found, label.false_alarms / every.hours)
        for name, label in every.labels.items()
    ]
    return "\n".join(lines)


def _as_json(score: SceneScores) -> dict[str, Any]:
    labels = {name: label._asdict() for name, label in score.labels.items()}
    return {**score._asdict(), "labels": labels}


def _count_labels(true: Sequence[str], found: Sequence[str], alarms: Sequence[str]) -> dict[str, LabelScores]:
    names = sorted({*true, *alarms})
    return {name: LabelScores(true.count(name), found.count(name), alarms.count(name)) for name in names}


def _add_labels(parts: Sequence[dict[str, LabelScores]]) -> dict[str, LabelScores]:
    names = sorted({name for part in parts for name in part})
    return {
        name: LabelScores(*map(sum, zip(*(part[name] for part in parts if name in part), strict=True)))
        for name in names
    }


def _overlap(event: HeardEvent, true: TrueEvent) -> bool:
    return event.start_s < true.end_s and true.start_s < event.end_s


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _snr_name(truth: Sequence[TrueEvent]) -> str:
    ratios_db = [true.snr_db for true in truth] or [0.0]
    low, high = math.floor(min(ratios_db)), math.ceil(max(ratios_db))
    return "%2d dB" % low if low == high else "%2d to %d dB" % (low, high)


def _heard_from_lines(lines: Sequence[str]) -> list[HeardEvent]:
    try:
        objects = [json.loads(line) for line in lines if line.strip()]
        return [
            HeardEvent(row["label"], float(row["start_s"]), float(row["end_s"]))
            for row in objects
            if row["type"] == "event"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError(
            "`classify --json` printed something unexpected (%s: %s); expected one JSON object a line"
            % (type(error).__name__, error)
        ) from error


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m trainer.scene_scores", description=__doc__.splitlines()[0])
    parser.add_argument("scenes", type=Path, help="folder that `python -m trainer.scenes` wrote")
    parser.add_argument("--bundle", type=Path, help="model to score (default: the daemon's own)")
    parser.add_argument("--collar", type=float, default=COLLAR_S, help="onset tolerance, seconds (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one line on stderr where something cannot be used."""
    arguments = build_parser().parse_args(argv)
    try:
        check_bundle(arguments.scenes, arguments.bundle)
        scores = score_scenes(
            arguments.scenes, lambda path: hear_with_edge(path, bundle=arguments.bundle), collar_s=arguments.collar
        )
    except (TrainerError, EngineError, ValueError) as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    print(
        json.dumps({name: _as_json(score) for name, score in scores.items()})
        if arguments.json
        else format_scores(scores)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
