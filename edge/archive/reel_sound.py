"""The sound of a reel, file after file, as the blocks of one stream."""

from typing import Iterator, List, NamedTuple, Tuple

import numpy as np

from edge.archive.reels import LEAD_S, TAIL_S, Reel, Take
from edge.errors import SourceError
from edge.records import AudioBlock, Gap
from edge.sources.pcm import FullScaleGuard, mono_from_frames, overloaded_frames
from edge.sources.recording import Recording, open_recording

_BLOCK_S = 1.0  # nobody waits for a block here, and each costs the same


class FileHeard(NamedTuple):
    """What became of one of a reel's own files."""

    take: Take
    first_sample: int  # of the reel's stream
    frames: int  # heard
    error: str  # why it could not be heard to its end; "" where it was
    shortfall: str  # what is missing at the end of a file that was cut short; "" where nothing is


class ReelSound:
    """Reads a reel once.

    Samples are counted from the beginning of the lead. A file that is damaged or shorter than its header says leaves a
    gap, so that those after it keep their place.

    Args:
        channel: from 0; -1 for the mean of all.
    """

    def __init__(self, reel: Reel, channel: int = -1) -> None:
        self._reel, self._channel = reel, channel
        self._rate_hz = reel.sample_rate_hz
        lead = _whole_blocks_before(reel)
        self._lead = [(take, first, take.frames) for take, first in lead]
        self.first_own_sample = sum(end - first for _, first, end in self._lead)
        self.end_own_sample = self.first_own_sample + sum(take.frames for take in reel.own)
        self.files: List[FileHeard] = []  # the reel's own, as far as they have been heard
        self._shortfall = ""  # of the file read last

    def blocks(self) -> Iterator[AudioBlock]:
        """Lead and own files; the last error of each own file stands in `files`."""
        at, missing = 0, 0
        for take, first, end in self._lead + [(take, 0, take.frames) for take in self._reel.own]:
            is_own = at >= self.first_own_sample
            began, heard, error = at, 0, ""
            try:
                for frames in self._frames(take, first, end):
                    yield self._block(frames, at, missing)
                    at, heard, missing = at + len(frames), heard + len(frames), 0
            except SourceError as failed:
                error = str(failed)
            except OSError as failed:  # a disk that ails, a share that went away
                error = "%s: cannot be read (%s)" % (take.path, failed.strerror)
            missing += end - first - heard
            at = began + end - first
            if is_own:
                self.files.append(FileHeard(take, began, heard, error, "" if error else self._shortfall))

    def tail_blocks(self) -> Iterator[AudioBlock]:
        """What follows the reel, until it is cut short or long enough.  After `blocks`."""
        at, left = self.end_own_sample, int(TAIL_S * self._rate_hz)
        last = self.files[-1] if self.files else None
        if last is None or last.error or last.frames < last.take.frames:
            return
        for take in self._reel.tail:
            try:
                for frames in self._frames(take, 0, min(take.frames, left)):
                    yield self._block(frames, at, 0)
                    at, left = at + len(frames), left - len(frames)
            except (SourceError, OSError):
                return  # its own reel complains of it

    def _block(self, frames: np.ndarray, at: int, missing: int) -> AudioBlock:
        gap = Gap("skipped", missing) if missing and at > missing else None
        samples, overloaded = mono_from_frames(frames, self._channel), overloaded_frames(frames, self._channel)
        return AudioBlock(samples, self._rate_hz, at, at / float(self._rate_hz), gap, overloaded)

    def _frames(self, take: Take, first: int, end: int) -> Iterator[np.ndarray]:
        recording = open_recording(take.path)
        try:
            _check_unchanged(take, recording)
            if first:
                recording.seek(first)
            guard = FullScaleGuard(take.path)
            while first < end:
                frames = recording.read(min(end - first, int(_BLOCK_S * self._rate_hz)))
                if not len(frames):
                    break
                yield guard.check(frames, first, self._rate_hz)
                first += len(frames)
            self._shortfall = recording.shortfall(first) if end == take.frames else ""
        finally:
            recording.close()


def _check_unchanged(take: Take, recording: Recording) -> None:
    if (recording.sample_rate_hz, recording.channels) != (take.sample_rate_hz, take.channels):
        raise SourceError("%s: has changed since it was first looked at; give the command again" % take.path)


def _whole_blocks_before(reel: Reel) -> List[Tuple[Take, int]]:
    """The files of the lead and where in each to begin: whole seconds before the reel's own, LEAD_S at most."""
    there = sum(take.frames for take in reel.lead)
    skipped = there - min(int(LEAD_S), there // reel.sample_rate_hz) * reel.sample_rate_hz
    lead = []
    for take in reel.lead:
        first = min(skipped, take.frames)
        skipped -= first
        if first < take.frames:
            lead.append((take, first))
    return lead
