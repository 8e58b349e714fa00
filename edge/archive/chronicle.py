"""Parts in the order of time, joined where streams were cut into reels: the rows of the tables.

An event that reached over a cut stands in two parts, each as far as it was heard there: the one before tells its
beginning, the one after how it went on. Nothing is held in memory but what reaches over the last cut.
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from edge.archive.level_rows import LevelScale, add_second
from edge.archive.part import FileRow, Part
from edge.archive.reels import Reel, Take, Unreadable
from edge.levels.totals import LevelTotals, level_of
from edge.records import JsonObject

_TOUCHING_S = 0.5  # two halves of one event may be heard so far from each other


class Failed(NamedTuple):
    """A reel that could not be heard, and why."""

    reel: Reel
    error: str


class Event(NamedTuple):
    """One event of the whole archive."""

    reel: Reel  # in which it began
    values: JsonObject  # of `EventChange`; times from the reel's own beginning

    @property
    def label(self) -> str:
        """Its class."""
        return str(self.values["label"])


class Chronicle:
    """Reads the parts of an archive.

    Args:
        reels: in the order of recorders and time (`reels_of`), without those that failed.
        part_of: opens a reel's part, and names it.
        labels: the bundle's.
        scale: what turns levels re full scale into rows.
    """

    def __init__(
        self,
        reels: Sequence[Reel],
        part_of: Callable[[Reel], Tuple[str, Part]],
        labels: Sequence[str],
        scale: LevelScale,
    ) -> None:
        self._reels, self._part_of, self.labels, self.scale = reels, part_of, tuple(labels), scale

    @property
    def reels(self) -> Sequence[Reel]:
        """In the order of recorders and time."""
        return self._reels

    def part_of(self, reel: Reel) -> Part:
        """What a reel gave."""
        return self._part_of(reel)[1]

    def events(self) -> Iterator[Event]:
        """Events, by recorder; those of one recorder by when they ended or their reel did."""
        crossing: List[Event] = []  # from the reel before over its end, or close to it
        before: Optional[Reel] = None
        for reel in self._reels:
            name, part = self._part_of(reel)
            found = [
                Event(reel, dict(values, event_id="%s-%d" % (name[:12], number)))
                for number, values in enumerate(part.events(), start=1)
            ]
            if before is None or not _is_continued(before, reel):
                yield from crossing
                crossing = []
            found, ended = _joined(crossing, found, before, reel)
            yield from ended
            late_s = reel.duration_s - _TOUCHING_S
            crossing = [event for event in found if _end_in(event, reel) >= late_s]
            yield from (event for event in found if _end_in(event, reel) < late_s)
            before = reel
        yield from crossing

    def event_rows(self) -> Iterator[JsonObject]:
        """Of the table `events`."""
        for event in self.events():
            values = event.values
            take, offset_s = place_of(event.reel, values["start_s"])
            row = dict(
                values,
                recorder=take.recorder,
                file=take.path,
                start=utc_of(event.reel, values["start_s"]),
                end=utc_of(event.reel, values["end_s"]),
                start_s=offset_s,
                end_s=offset_s + values["end_s"] - values["start_s"],
                duration_s=values["end_s"] - values["start_s"],
            )
            for name in ("laeq", "lafmax", "background_la90"):
                row.update(self.scale.pair(name, values[name + "_dbfs"]))
            if values["laeq_dbfs"] is not None:
                row.update(self.scale.calibration_values(self.part_of(event.reel).measured))
            yield row

    def classification_rows(self) -> Iterator[JsonObject]:
        """Of the table `classifications`."""
        for reel in self._reels:
            for heard in self._part_of(reel)[1].classifications():
                take, offset_s = place_of(reel, heard.start_s)
                row: JsonObject = dict(heard._asdict())
                row.update(("score_" + label, score) for label, score in heard.scores.items())
                row.update(
                    recorder=take.recorder,
                    file=take.path,
                    start=utc_of(reel, heard.start_s),
                    end=utc_of(reel, heard.end_s),
                    start_s=offset_s,
                    end_s=offset_s + heard.end_s - heard.start_s,
                    accepted=" ".join(heard.accepted),
                )
                yield row

    def file_rows(self, unreadable: Sequence[Unreadable], failed: Sequence[Failed]) -> Iterator[JsonObject]:
        """Of the table `files`: each file once.  Files that gave nothing come last."""
        began: Dict[str, int] = {}
        for row in self.event_rows():
            began[row["file"]] = began.get(row["file"], 0) + 1
        for reel in self._reels:
            takes = {take.path: take for take in reel.own}
            part = self.part_of(reel)
            totals = _totals_by_file(reel, part)
            for file in part.files():
                row = _file_row(takes[file.path], file, began.get(file.path, 0))
                if file.path in totals:
                    row.update(self.scale.span_values(totals[file.path], part.measured, row["duration_s"]))
                yield row
        for one in failed:
            for take in one.reel.own:
                yield _file_row(take, FileRow(take.path, 0.0, 0.0, "failed", one.error, None), 0)
        for lost in unreadable:
            yield {
                "recorder": lost.recorder,
                "file": lost.path,
                "status": "unreadable",
                "error": lost.error,
                "heard_s": 0.0,
                "events": 0,
            }


def place_of(reel: Reel, at_s: float) -> Tuple[Take, float]:
    """The file in which a moment of a reel lies, and when in it.  Times count from the reel's own beginning."""
    begin_s = -sum(take.duration_s for take in reel.lead)
    takes = reel.lead + reel.own + reel.tail
    for take in takes:
        if at_s < begin_s + take.duration_s or take is takes[-1]:
            break
        begin_s += take.duration_s
    return take, at_s - begin_s


def utc_of(reel: Reel, at_s: float) -> Optional[float]:
    """When a moment of a reel was; None where nobody says when it began."""
    start_s = reel.own[0].start_epoch_s
    return None if start_s is None else start_s + at_s


def _totals_by_file(reel: Reel, part: Part) -> Dict[str, LevelTotals]:
    """Levels of each of a reel's own files; a second counts where it begins."""
    totals: Dict[str, LevelTotals] = {}
    for second in part.seconds():
        path = place_of(reel, second.start_s)[0].path
        add_second(totals.setdefault(path, LevelTotals()), second, reel.sample_rate_hz)
    return totals


def _file_row(take: Take, file: FileRow, events: int) -> JsonObject:
    row: JsonObject = {
        "recorder": take.recorder,
        "file": take.path,
        "status": file.status,
        "error": file.error or None,
        "start": take.start_epoch_s,
        "end": None if take.start_epoch_s is None else take.end_epoch_s,
        "duration_s": take.duration_s,
        "heard_s": file.heard_s,
        "sample_rate_hz": take.sample_rate_hz,
        "channels": take.channels,
        "size_bytes": take.size_bytes,
        "events": events,
    }
    if file.clip is not None:
        row.update(file.clip._asdict())
    return row


def _is_continued(before: Reel, reel: Reel) -> bool:
    return bool(reel.lead) and reel.lead[-1] == before.own[-1]


def _end_in(event: Event, reel: Reel) -> float:
    """Its end, from the own beginning of a reel that may be later than the one in which it began."""
    return float(event.values["end_s"]) - _lag_s(event.reel, reel)


def _lag_s(first: Reel, later: Reel) -> float:
    """How much later a reel of the same stream begins."""
    return (utc_of(later, 0.0) or 0.0) - (utc_of(first, 0.0) or 0.0)


def _joined(
    crossing: Sequence[Event], found: Sequence[Event], before: Optional[Reel], reel: Reel
) -> Tuple[List[Event], List[Event]]:
    """Events of a reel, those that began in the one before joined with what was told of them there.

    Returns:
        The reel's events, and those of the reel before that did not go on.
    """
    waiting, events = list(crossing), []
    for event in found:
        first = None
        if before is not None and event.values["start_s"] <= _TOUCHING_S:
            first = next((one for one in waiting if _is_same(one, event, reel)), None)
        if first is None:
            events.append(event)
        else:
            waiting.remove(first)
            events.append(_whole(first, event, reel))
    return events, waiting


def _is_same(first: Event, event: Event, reel: Reel) -> bool:
    return first.label == event.label and event.values["start_s"] <= _end_in(first, reel) + _TOUCHING_S


def _added(one: Sequence[Any], other: Sequence[Any]) -> List[Any]:
    """Shares of one event in two reels."""
    highest = [level for level in (one[2], other[2]) if level is not None]
    return [one[0] + other[0], one[1] + other[1], max(highest, default=None)]


def _whole(first: Event, event: Event, reel: Reel) -> Event:
    """One event of two halves: it began as the first tells and ended as the second does."""
    lag_s = _lag_s(first.reel, reel)
    halves: List[Dict[str, Any]] = [first.values, event.values]
    lengths_s = [max(0.0, -first.values["start_s"] + lag_s), max(0.0, event.values["end_s"])]
    total_s = sum(lengths_s) or 1.0
    mean = sum(half["score_mean"] * length_s for half, length_s in zip(halves, lengths_s)) / total_s
    values = dict(
        first.values,
        end_s=event.values["end_s"] + lag_s,
        end_reason=event.values["end_reason"],
        score_max=max(half["score_max"] for half in halves),
        score_mean=mean,
        share=_added(first.values["share"], event.values["share"]),
    )
    heard, energy, values["lafmax_dbfs"] = values["share"]
    values["laeq_dbfs"] = level_of(energy, heard)
    return Event(first.reel, values)
