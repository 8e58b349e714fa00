"""Reels: consecutive files of one recorder, heard in one go.

Recorders cut their sound into files where it suits them, and a siren does not mind. So files of one recorder that
follow each other are one stream. A stream is cut into reels, the pieces of work for processes and machines, where a
span of two hours begins, by the files' own times alone: however many processes share the work, the reels are the same.
Each reel first hears the five minutes before it (so the running background, the filters and what is sounding are as
if nothing had been cut), and a little of what follows, so that its last sounds are recognised.
"""

import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edge.errors import SourceError
from edge.sources.base import check_sample_rate
from edge.sources.recording import open_recording
from edge.sources.start_time import name_without_time, start_time_of

REEL_S = 7200.0
LEAD_S = 300.0  # what the running background remembers (edge.envelope)
TAIL_S = 30.0  # a window, its event's confirmation, and the pause that ends it
_WHOLE_SECOND_S = 1.0  # a name that tells whole seconds may be off by nearly one
_FINER_S = 0.05
_DATED_FOLDER = re.compile(r"(?<=/)(?:\d{4}(?:/\d\d){1,2}|\d{4}-?\d\d(?:-?\d\d)?|\d{4})(?=/)")


class Take(NamedTuple):
    """One file, as far as its header tells."""

    path: str
    size_bytes: int
    modified_ns: int
    sample_rate_hz: int
    channels: int
    frames: int
    start_epoch_s: Optional[float]  # when it began; None where nobody says
    recorder: str  # which recorder's: the path without what is a time in it

    @property
    def duration_s(self) -> float:
        """As its header promises."""
        return self.frames / float(self.sample_rate_hz)

    @property
    def end_epoch_s(self) -> float:
        """When it ended, of a file whose beginning is known."""
        assert self.start_epoch_s is not None
        return self.start_epoch_s + self.duration_s


class Unreadable(NamedTuple):
    """A file that cannot be heard, and why."""

    path: str
    error: str
    recorder: str


class Reel(NamedTuple):
    """Files to be heard in one go.  All have one sample rate."""

    lead: Tuple[Take, ...]  # heard before, for what is in the air when the reel's own begin
    own: Tuple[Take, ...]
    tail: Tuple[Take, ...]  # heard after, as far as needed

    @property
    def sample_rate_hz(self) -> int:
        """Of all its files."""
        return self.own[0].sample_rate_hz

    @property
    def duration_s(self) -> float:
        """Of its own files."""
        return sum(take.duration_s for take in self.own)

    @property
    def is_one_file(self) -> bool:
        """Whether it is a file by itself: then there is an answer for the whole of it."""
        return len(self.own) == 1 and not self.lead and not self.tail


def inspect_file(path: str, start_time: str) -> Take:
    """Read a file's header.  `start_time`: see `edge.sources.start_time`.  Raises SourceError: it cannot be heard."""
    with_header = open_recording(path)
    try:
        check_sample_rate(with_header.sample_rate_hz, path)
        rate_hz, channels, frames = with_header.sample_rate_hz, with_header.channels, with_header.frames
    finally:
        with_header.close()
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError("%s: cannot be read (%s)" % (path, error.strerror)) from None
    start_epoch_s = start_time_of(start_time, path)
    return Take(path, status.st_size, status.st_mtime_ns, rate_hz, channels, frames, start_epoch_s, recorder_of(path))


def recorder_of(path: str) -> str:
    """What is left of a path without the times in it: the same for all files of one recorder."""
    folder, name = os.path.split(os.path.abspath(path))
    stem = name_without_time(os.path.splitext(name)[0]).strip("-_. ")
    return os.path.join(_DATED_FOLDER.sub("*", folder + "/").rstrip("/"), stem).rstrip("/")


def reels_of(takes: Sequence[Take], *, joined: bool = True) -> List[Reel]:
    """Cut takes into reels: a function of the files alone.

    Args:
        joined: consecutive files of one recorder are one stream; False: each file is heard by itself.
    """
    dated = [take for take in takes if joined and take.start_epoch_s is not None]
    alone = [take for take in takes if not joined or take.start_epoch_s is None]
    reels = [Reel((), (take,), ()) for take in alone]
    for stream in _streams(dated):
        reels += _cut(stream)
    place = {take.path: number for number, take in enumerate(takes)}
    return sorted(reels, key=lambda reel: (reel.own[0].recorder, _start_or_zero(reel), place[reel.own[0].path]))


def overlaps_of(takes: Sequence[Take]) -> List[Tuple[str, str]]:
    """Files of one recorder that begin well before the one before them ends: a time is wrong, or there is a copy."""
    dated = sorted(
        (take for take in takes if take.start_epoch_s is not None),
        key=lambda take: (take.recorder, take.start_epoch_s or 0.0, take.path),
    )
    return [
        (take.path, before.path)
        for before, take in zip(dated, dated[1:])
        if before.recorder == take.recorder and (take.start_epoch_s or 0.0) <= before.end_epoch_s - _WHOLE_SECOND_S
    ]


def reel_key(reel: Reel, settings_digest: str) -> str:
    """Names what hearing this reel with these settings gives: the same key, the same result."""
    text = json.dumps([settings_digest, mapping_from_reel(reel)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def mapping_from_reel(reel: Reel) -> Dict[str, Any]:
    """As JSON holds it."""
    return {name: [list(take) for take in takes] for name, takes in reel._asdict().items()}


def reel_from_mapping(values: Dict[str, Any]) -> Reel:
    """Back from `mapping_from_reel`."""
    return Reel(*[tuple(Take(*take) for take in values[name]) for name in Reel._fields])


def _start_or_zero(reel: Reel) -> float:
    return reel.own[0].start_epoch_s or 0.0


def _streams(takes: Sequence[Take]) -> List[List[Take]]:
    """Files of one recorder that follow on each other, each stream in order of time."""
    ordered = sorted(takes, key=lambda take: (take.recorder, take.start_epoch_s or 0.0, take.path))
    streams: List[List[Take]] = []
    for take in ordered:
        if streams and _follows(streams[-1][-1], take):
            streams[-1].append(take)
        else:
            streams.append([take])
    return streams


def _follows(last: Take, take: Take) -> bool:
    if (last.recorder, last.sample_rate_hz, last.channels) != (take.recorder, take.sample_rate_hz, take.channels):
        return False
    assert last.start_epoch_s is not None and take.start_epoch_s is not None
    is_whole = last.start_epoch_s.is_integer() and take.start_epoch_s.is_integer()
    return abs(take.start_epoch_s - last.end_epoch_s) < (_WHOLE_SECOND_S if is_whole else _FINER_S)


def _cut(stream: List[Take]) -> List[Reel]:
    spans = [int((take.start_epoch_s or 0.0) // REEL_S) for take in stream]
    firsts = [i for i in range(len(stream)) if i == 0 or spans[i] != spans[i - 1]] + [len(stream)]
    return [
        Reel(
            tuple(reversed(_as_long_as(LEAD_S, reversed(stream[:first])))),
            tuple(stream[first:last]),
            tuple(_as_long_as(TAIL_S, stream[last:])),
        )
        for first, last in zip(firsts, firsts[1:])
    ]


def _as_long_as(duration_s: float, takes: Any) -> List[Take]:
    enough: List[Take] = []
    for take in takes:
        if sum(one.duration_s for one in enough) >= duration_s:
            break
        enough.append(take)
    return enough
