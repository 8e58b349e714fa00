"""Dating again what was recorded before the machine knew the time.

A message that was built while the clock was `unsynced` keeps the monotonic time of its moment beside it. Once a time
server has set the clock, the same moment has a true UTC: every time in the payload moves by one and the same amount,
so durations stay, and `clock` becomes `synced`. That holds within one start of the machine, also across restarts of
the daemon; what another start left behind stays `unsynced`, because nobody knows how long the machine was off.
What a reader was sent before keeps its guess: it said that it was one.
"""

from typing import Optional

from edge.clock import SystemClock, read_machine_boot_id
from edge.message_fields import COMMON_FIELDS
from edge.message_types import MESSAGE_TYPES
from edge.messages import payload_from_values, time_ms_of, values_from_payload
from edge.records import Message
from edge.rfc3339 import epoch_s_from_rfc3339, rfc3339_from_ms


class Redater:
    """Corrects the times of messages on their way out, as soon as that is possible.  Usable from several threads.

    Args:
        system: the machine's clocks.
        machine_boot_id: of this start of the machine; the kernel's where None.
    """

    def __init__(self, system: Optional[SystemClock] = None, machine_boot_id: Optional[str] = None) -> None:
        self._system = system or SystemClock()
        self._machine_boot_id = read_machine_boot_id() if machine_boot_id is None else machine_boot_id

    def correct(self, message: Message) -> Message:
        """The message with true times, where they can be known by now; else the very message, to be asked again."""
        if message.dating is None or message.dating.machine_boot_id != self._machine_boot_id:
            return message
        offset_s, synced = self._system.read()
        return redate(message, offset_s) if synced else message


def redate(message: Message, utc_offset_s: float) -> Message:
    """Move every time of a message to where its moment lies now that the clock is set.

    Args:
        message: as it was built.  One without `dating`, or that is not as this version builds them, is given back as
            it is.
        utc_offset_s: UTC minus monotonic time, in the start of the machine that `dating` names.
    """
    values = values_from_payload(message.payload)
    kind = MESSAGE_TYPES.get(_text(values.get("type")))
    if message.dating is None or kind is None or time_ms_of(message.payload) is None:
        return message
    names = [field.name for field in COMMON_FIELDS + kind.fields if field.kind == "time"]
    try:
        time_ms = int(round((message.dating.monotonic_s + utc_offset_s) * 1000.0))
        shift_ms = time_ms - values["ts_ms"]
        values.update((name, _moved(values[name], shift_ms)) for name in names if values.get(name) is not None)
        values.update(ts_ms=time_ms, clock="synced")
        return message._replace(payload=payload_from_values(values), dating=None)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return message


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moved(time_utc: str, shift_ms: int) -> str:
    return rfc3339_from_ms(int(round(epoch_s_from_rfc3339(time_utc) * 1000.0)) + shift_ms)
