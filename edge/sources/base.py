"""What every source of sound has in common."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Dict, Optional, Type, TypeVar

from edge.errors import SourceError
from edge.records import AudioBlock
from edge.sources.faults import Fault
from edge.sources.framing import BLOCK_S

MIN_SAMPLE_RATE_HZ = 8000
MAX_SAMPLE_RATE_HZ = 192000

_AnySource = TypeVar("_AnySource", bound="Source")


class EndOfSource(Exception):  # noqa: N818 - an end, not an error
    """A finite source has given all it had. A clean end, not an error."""


class Source(ABC):
    """A stream of mono blocks. Opened, read and closed by one thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sample_rate_hz = 0  # valid after open()
        self.counters: Dict[str, int] = {}  # of what went wrong since the source was made

    @abstractmethod
    def open(self) -> None:
        """Start at the first sample.

        Raises:
            SourceError: the input cannot be used; the message says what was given and how to mend it.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back everything that open() took. Safe to call twice, and without open()."""

    @abstractmethod
    def read(self, timeout_s: float) -> Optional[AudioBlock]:
        """The next block, about BLOCK_S long.

        Args:
            timeout_s: Longest wait, seconds.

        Returns:
            The block, or None where nothing came within timeout_s: ask again.

        Raises:
            EndOfSource: the source is finite and has ended.
            SourceError: the input cannot be used.
        """

    @abstractmethod
    def describe(self) -> str:
        """One line for people: what is heard, from where, in which format."""

    @property
    @abstractmethod
    def status(self) -> str:
        """ "online" where sound is coming, "offline" where not."""

    @property
    def fault(self) -> Optional[Fault]:
        """What keeps it from giving sound that can be trusted; None where nothing does."""
        return None

    def __enter__(self: _AnySource) -> _AnySource:
        self.open()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


def check_sample_rate(sample_rate_hz: int, what: str) -> None:
    """Refuse a rate that no microphone or recording of ours has; `what` opens the message."""
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise SourceError(
            "%s: sample rate is %d Hz, expected %d to %d Hz; resample it first (sox IN -r 44100 OUT)"
            % (what, sample_rate_hz, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ)
        )


def check_channel(channel: int, channels: int, what: str) -> None:
    """Refuse to hear a channel that is not there; `what` opens the message."""
    if channel >= channels:
        raise SourceError(
            "%s: channel is %d, but there are %d, counted from 0; choose 0 to %d, or -1 for their mean"
            % (what, channel, channels, channels - 1)
        )


def block_samples_at(sample_rate_hz: int) -> int:
    """Samples in one block of a stream at sample_rate_hz."""
    return max(1, int(sample_rate_hz * BLOCK_S))
