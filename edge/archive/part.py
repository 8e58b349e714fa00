"""A part: what one reel gave, as gzipped JSON lines. Levels in it are re full scale, times count from the reel's own
beginning; calibration, dates and columns come when tables are made, so that none of them needs the sound again.
"""

import gzip
import io
import json
import zlib
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from edge.archive.reels import Reel, mapping_from_reel, reel_from_mapping
from edge.archive.seconds import OwnShare, Second
from edge.archive.spectrum import Column
from edge.errors import EdgeError
from edge.records import Classification, EventChange, JsonObject

SCHEMA = 1


class PartError(EdgeError):
    """A part that was not written whole, or by nobody we know."""


class UnreadablePartError(EdgeError):
    """A part that the disk does not give now; it may be whole all the same."""


class Clip(NamedTuple):
    """The answer for a file that was heard by itself, as a whole."""

    label: Optional[str]
    score: float
    foreign: float
    accepted: bool
    reason: Optional[str]


class FileRow(NamedTuple):
    """What became of one file."""

    path: str
    start_s: float  # since the reel's own beginning
    heard_s: float
    status: str  # "heard", "cut_short", "damaged"
    error: str
    clip: Optional[Clip]


class Measured(NamedTuple):
    """How levels were measured."""

    bandwidth_hz: Optional[float]  # None: the weightings hold to 16 kHz
    band_names: Tuple[str, ...]  # of the third octaves


class PartWriter:
    """Collects what a reel gives, compressed as it comes."""

    def __init__(self, reel: Reel, labels: Sequence[str], measured: Measured) -> None:
        self._labels = list(labels)
        self._bytes = io.BytesIO()
        # without a time in the header: the same sound gives the same bytes
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=4, fileobj=self._bytes, mtime=0)
        self._write(["part", SCHEMA, mapping_from_reel(reel), self._labels, list(measured)])

    def write_classification(self, heard: Classification, begin_s: float) -> None:
        """One window.  `begin_s`: the reel's own beginning, in the classification's time."""
        row = heard._replace(
            start_s=round(heard.start_s - begin_s, 3),
            end_s=round(heard.end_s - begin_s, 3),
            score=round(float(heard.score), 6),
            foreign=round(float(heard.foreign), 4),
            level_dbfs=_rounded(heard.level_dbfs),
            background_dbfs=_rounded(heard.background_dbfs),
        )
        scores = [round(float(heard.scores[label]), 6) for label in self._labels]
        self._write(["hop"] + list(row._replace(scores=scores)))  # type: ignore[arg-type]

    def write_event(self, event: EventChange, begin_s: float, share: OwnShare) -> None:
        """One event, at its end."""
        values = event._asdict()
        values.update(start_s=round(event.start_s - begin_s, 3), end_s=round(event.end_s - begin_s, 3))
        for name in ("laeq_dbfs", "lafmax_dbfs", "background_la90_dbfs"):
            values[name] = _rounded(values[name])
        self._write(["event", dict(values, share=list(share))])

    def write_second(self, second: Second) -> None:
        """One second of levels."""
        row: List[Any] = ["second"]
        for name, value in second._asdict().items():
            if isinstance(value, tuple):
                row.append([float("%.6g" % one) if name == "band_energies" else round(one, 2) for one in value])
            else:
                row.append(float("%.6g" % value) if isinstance(value, float) else value)
        self._write(row)

    def write_spectrum(self, column: Column) -> None:
        """One column of the picture's spectrum."""
        self._write(["spectrum", *column])

    def write_file(self, row: FileRow) -> None:
        """One of the reel's own files."""
        fields: List[Any] = ["file"]
        self._write(fields + list(row))

    def finish(self) -> bytes:
        """The whole part."""
        self._write(["end"])
        self._file.close()
        return self._bytes.getvalue()

    def _write(self, row: List[Any]) -> None:
        self._file.write((json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii"))


class Part:
    """Reads a part, row by row.

    Args:
        path: of the file that holds it.

    Raises:
        PartError: it is none, or not whole.
        UnreadablePartError: the disk does not give it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            header: Any = next(self._rows(), ["nothing"])
            kind, schema, reel, labels, (bandwidth_hz, band_names) = header
            if (kind, schema) != ("part", SCHEMA):
                raise ValueError("no part of this version")
            self.reel = reel_from_mapping(reel)
            self.labels: Tuple[str, ...] = tuple(labels)
            self.measured = Measured(bandwidth_hz, tuple(band_names))
        except (TypeError, ValueError, LookupError):
            raise PartError("%s: no result of this program, or of another version; remove it" % path) from None

    def classifications(self) -> Iterator[Classification]:
        """Windows, in the order of time."""
        for row in self._rows("hop"):
            heard = Classification(*row[1:])
            scores: Any = heard.scores  # their values, in the labels' order
            yield heard._replace(scores=dict(zip(self.labels, scores)), accepted=tuple(heard.accepted))

    def events(self) -> List[JsonObject]:
        """Events, by their start."""
        return sorted((row[1] for row in self._rows("event")), key=lambda event: (event["start_s"], event["label"]))

    def seconds(self) -> Iterator[Second]:
        """Seconds of levels, in the order of time."""
        for row in self._rows("second"):
            second = Second(*row[1:])
            yield second._replace(laf_dbfs=tuple(second.laf_dbfs))

    def spectrum(self) -> Iterator[Column]:
        """Columns of the picture's spectrum."""
        for row in self._rows("spectrum"):
            yield row[1], row[2], row[3]

    def files(self) -> List[FileRow]:
        """The reel's own files."""
        rows = [FileRow(*row[1:]) for row in self._rows("file")]
        return [row._replace(clip=Clip(*row.clip)) if row.clip is not None else row for row in rows]

    def check_whole(self) -> None:
        """Raise PartError unless the part ends as one ends."""
        for _ in self._rows("end"):
            return
        raise PartError("%s: ends too early; remove it, and its files are heard again" % self.path)

    def _rows(self, kind: str = "") -> Iterator[List[Any]]:
        start = '["%s' % kind
        try:
            with gzip.open(self.path, "rt", encoding="ascii") as file:
                for line in file:
                    if line.startswith(start):
                        yield json.loads(line)
        except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:  # gzip's own complaints have none
                raise UnreadablePartError(
                    "%s: cannot be read (%s); mend that and give the same command again" % (self.path, error.strerror)
                ) from None
            raise PartError(
                "%s: cannot be read (%s); remove it, and its files are heard again" % (self.path, error)
            ) from None


def _rounded(level: Optional[float]) -> Optional[float]:
    return None if level is None else round(float(level), 2)
