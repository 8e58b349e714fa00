"""`soundclr-edge classify`: the daemon's own way of the data over recordings, as fast as it goes."""

import json
from typing import Any, Dict, Iterator, List, Optional, TextIO

from edge.clock import SourceClock
from edge.config import Config, SourceConfig
from edge.errors import SourceError, complaint, one_line
from edge.pipeline import Heard, Pipeline
from edge.records import Classification, EventChange, JsonObject
from edge.rfc3339 import rfc3339_from_epoch
from edge.scorer import Scorer
from edge.sources import source_from_config
from edge.sources.base import EndOfSource
from edge.sources.start_time import start_time_of
from engines.bundle import Bundle

_READ_TIMEOUT_S = 10.0


def classify_file(
    path: str, bundle: Bundle, scorer: Scorer, config: Config, start_time: str = ""
) -> Iterator[JsonObject]:
    """Everything the node would say of one recording.

    Args:
        start_time: when it began (`edge.sources.start_time`); the objects then say `start` and `end` in UTC too.

    Yields:
        Objects as the contract has them: `classification` for each hop, `event` at each end, `file` last.

    Raises:
        SourceError: the file cannot be heard; one line.
    """
    source_config = SourceConfig("file", "file", path=path, realtime=False)
    clock = SourceClock(start_time_of(start_time, path)) if start_time else None
    with source_from_config(source_config) as source:
        pipeline = Pipeline(
            bundle,
            scorer,
            source.sample_rate_hz,
            config.gate,
            config.events,
            config.model.hop_s,
            "file",
            levels=config.levels,
        )
        try:
            while True:
                block = source.read(_READ_TIMEOUT_S)
                if block is not None:
                    for line in _lines(path, pipeline.push(block)):
                        yield _dated(line, clock)
        except EndOfSource:
            pass  # a file's regular end
        except SourceError:
            pipeline.finish("stop")  # the scorer serves the next file: nothing of this one may stay in it
            raise
        for line in _lines(path, pipeline.finish("stop")):
            yield _dated(line, clock)
        yield _answer_line(path, pipeline)


def classify_files(
    paths: List[str],
    bundle: Bundle,
    scorer: Scorer,
    config: Config,
    *,
    as_json: bool,
    results: TextIO,
    complaints: TextIO,
    start_time: str = "",
) -> int:
    """Classify each file; one that fails does not stop the others.  Returns the number of files that failed."""
    failed = 0
    for path in paths:
        try:
            for line in lines_of_file(path, bundle, scorer, config, as_json=as_json, start_time=start_time):
                results.write(line)
            results.flush()
        except SourceError as error:
            failed += 1
            complaints.write(complaint(error))
    return failed


def lines_of_file(
    path: str, bundle: Bundle, scorer: Scorer, config: Config, *, as_json: bool, start_time: str
) -> Iterator[str]:
    """What is printed of one recording, each line with its end.  Raises SourceError: the file cannot be heard."""
    for line in classify_file(path, bundle, scorer, config, start_time):
        if as_json:
            yield json.dumps(line, sort_keys=False, allow_nan=False) + "\n"
        elif line["type"] != "classification":
            yield _describe(line) + "\n"


def _lines(path: str, heard: Heard) -> Iterator[JsonObject]:
    for classification in heard.classifications:
        yield _classification_line(path, classification)
    for event in heard.events:
        if event.phase == "end":
            yield _event_line(path, event)


def _dated(line: JsonObject, clock: Optional[SourceClock]) -> JsonObject:
    if clock is not None:
        start, end = clock.utc_of_all(line["start_s"], line["end_s"])
        line.update(start=rfc3339_from_epoch(start.epoch_s), end=rfc3339_from_epoch(end.epoch_s))
    return line


def _classification_line(path: str, heard: Classification) -> JsonObject:
    return {
        "type": "classification",
        "file": path,
        "start_s": round(heard.start_s, 3),
        "end_s": round(heard.end_s, 3),
        "scores": _rounded(heard.scores),
        "foreign": round(heard.foreign, 4),
        "label": heard.label,
        "accepted": list(heard.accepted),
        "reason": heard.reason,
        "level_dbfs": _rounded_or_none(heard.level_dbfs),
        "background_dbfs": _rounded_or_none(heard.background_dbfs),
    }


def _event_line(path: str, event: EventChange) -> JsonObject:
    return {
        "type": "event",
        "file": path,
        "label": event.label,
        "start_s": round(event.start_s, 3),
        "end_s": round(event.end_s, 3),
        "score_max": round(event.score_max, 4),
        "score_mean": round(event.score_mean, 4),
        "start_uncertainty_s": round(event.start_uncertainty_s, 3),
        "end_reason": event.end_reason,
        "laeq_dbfs": _rounded_or_none(event.laeq_dbfs),
        "lafmax_dbfs": _rounded_or_none(event.lafmax_dbfs),
        "background_la90_dbfs": _rounded_or_none(event.background_la90_dbfs),
    }


def _answer_line(path: str, pipeline: Pipeline) -> JsonObject:
    answer = pipeline.clip_answer()
    if answer is None:
        raise SourceError("%s holds less than 50 ms of sound; expected at least that much" % path)
    verdict = answer.verdict
    return {
        "type": "file",
        "file": path,
        "label": verdict.label,
        "scores": _rounded(verdict.scores),
        "foreign": round(verdict.foreign, 4),
        "accepted": bool(verdict.accepted),
        "reason": verdict.reason,
        "windows": answer.windows,
    }


def _describe(line: Dict[str, Any]) -> str:
    path = one_line(line["file"])
    if line["type"] == "event":
        return "%s  %8.2f to %8.2f s  %-18s %.2f" % (
            path,
            line["start_s"],
            line["end_s"],
            line["label"],
            line["score_max"],
        )
    if line["label"] is None:
        return "%s: nothing but digital silence" % path
    verdict = "accepted" if line["accepted"] else "not accepted (%s)" % line["reason"]
    return "%s: %s %.2f, foreign %.2f, %s" % (
        path,
        line["label"],
        line["scores"][line["label"]],
        line["foreign"],
        verdict,
    )


def _rounded(scores: Dict[str, float]) -> Dict[str, float]:
    return {label: round(score, 6) for label, score in scores.items()}


def _rounded_or_none(level_dbfs: Any) -> Any:
    return None if level_dbfs is None else round(level_dbfs, 2)
