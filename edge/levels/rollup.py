"""Hours and days made of minutes, each told once, also where the node was restarted or off when it ended.

What was recorded before the machine knew the time is told as minutes that say so, and waits here: it comes into its
hour and day as soon as a time server has set the clock within the same start of the machine. After another start of
it nobody can say any more when that was; such minutes are in no hour.
"""

import logging
import math
from collections import OrderedDict, deque
from typing import Deque, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from edge.levels.keepsakes import KeepsakeError, KeptMark, kept_from_bytes
from edge.levels.lden import NoiseDays
from edge.levels.local_day import LocalCalendar
from edge.levels.period import Period
from edge.records import JsonObject

_LOGGER = logging.getLogger(__name__)
LENGTHS_S = {"summary_hour": 3600.0, "summary_day": 86400.0}
_MOST_HELD = 3 * 1440  # minutes of unknown time; each is 300 bytes here
_MINUTE_S = 60.0
_ROUNDING_S = 1e-3

_Key = Tuple[str, float]  # type and start


class Told(NamedTuple):
    """An hour or a day that is over."""

    type_name: str  # "summary_hour", "summary_day"
    period: Period
    values: JsonObject  # beside the period's own


class Rollup:
    """One source's hours and days.  For one thread at a time.

    Args:
        calendar: of the place, for Lden; None: there is none to be told.
        machine_boot_id: of this start of the machine.
    """

    def __init__(self, calendar: Optional[LocalCalendar], machine_boot_id: str) -> None:
        self._machine_boot_id = machine_boot_id
        self._open: Dict[_Key, Period] = {}
        self._told: Set[_Key] = set()  # before this start
        self._days = NoiseDays(calendar)
        self._held: Deque[bytes] = deque()  # keepsakes of minutes whose time is a guess
        self._has_warned = False

    def add(self, minute: Period) -> None:
        """Take a minute whose time is true."""
        for type_name in LENGTHS_S:
            self._add_to(_key_of(type_name, minute), minute)
        self._days.add(minute)

    def hold(self, keepsake: bytes) -> None:
        """Take a minute whose time is a guess, as it is kept."""
        if len(self._held) >= _MOST_HELD:
            self._held.popleft()
            if not self._has_warned:  # a node that no time server ever reaches would say so each minute for years
                self._has_warned = True
                _LOGGER.warning("roll-up: the clock has not been set for days; what is older will be in no hour")
        self._held.append(keepsake)

    def date_held(self, utc_offset_s: float) -> None:
        """The clock is set: what was held gets its true time, and comes where it belongs.

        Args:
            utc_offset_s: UTC minus monotonic time.
        """
        while self._held:
            kept = kept_from_bytes(self._held.popleft())
            minute, shift_s = kept.minute, kept.dating.monotonic_s + utc_offset_s - kept.minute.end_s
            minute.start_s, minute.end_s = minute.start_s + shift_s, minute.end_s + shift_s
            for type_name in LENGTHS_S:
                key = _key_of(type_name, minute)
                if key not in self._told:
                    self._add_to(key, minute)
            self._days.add(minute)

    def over_by(self, epoch_s: float) -> List[Told]:
        """Hours and days that are over at this time, oldest first; what a wrong clock had begun in the future as well.

        Each is told of once; what comes into it afterwards, because the clock was put back, is told by itself.
        """
        return self._close(
            key
            for key in self._open
            if key[1] + LENGTHS_S[key[0]] <= epoch_s + _ROUNDING_S or key[1] > epoch_s + _MINUTE_S
        )

    def finish(self) -> List[Told]:
        """Everything that is under way; nothing more comes."""
        return self._close(self._open)

    def restore(self, kept: Iterable[bytes]) -> None:
        """Take up where an earlier start left off: what it kept, in the order in which it was told."""
        unreadable, undated, minutes = "", 0, 0
        for content in OrderedDict.fromkeys(kept):  # one that was saved from a damaged file may be there twice
            try:
                one = kept_from_bytes(content)
            except KeepsakeError as error:
                unreadable = str(error)
                continue
            if isinstance(one, KeptMark):
                key = (one.type_name, one.start_s)
                self._open.pop(key, None)
                self._told.add(key)
                continue
            minutes += 1
            if one.dating is None:
                self.add(one.minute)
            elif one.dating.machine_boot_id == self._machine_boot_id:
                self.hold(content)
            else:
                undated += 1
        self._report(minutes, undated, unreadable)

    def _report(self, minutes: int, undated: int, unreadable: str) -> None:
        if minutes:
            _LOGGER.info("roll-up: goes on from what earlier starts kept: %d minutes", minutes)
        if undated:
            _LOGGER.warning(
                "roll-up: %d minutes were recorded before the machine knew the time, and it was switched off before it "
                "did; they are in no hour",
                undated,
            )
        if unreadable:
            _LOGGER.error("roll-up: some of what was kept cannot be read and is left out: %s", unreadable)

    def _add_to(self, key: _Key, minute: Period) -> None:
        if key not in self._open:
            self._open[key] = Period(key[1], key[1] + LENGTHS_S[key[0]])
        self._open[key].merge(minute)

    def _close(self, keys: Iterable[_Key]) -> List[Told]:
        told = []
        for type_name, start_s in sorted(keys, key=lambda key: (key[1] + LENGTHS_S[key[0]], -key[1])):
            period = self._open.pop((type_name, start_s))
            values = self._days.values_at(period.end_s) if type_name == "summary_day" else {}
            told.append(Told(type_name, period, values))
        return told


def _key_of(type_name: str, minute: Period) -> _Key:
    length_s = LENGTHS_S[type_name]
    return type_name, math.floor(minute.middle_s / length_s) * length_s
