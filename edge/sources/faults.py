"""What can be wrong with a source, by name: the codes that messages carry. Standard library only."""

from typing import NamedTuple

NO_PORTAUDIO = "no_portaudio"
MISSING = "missing"
AMBIGUOUS = "ambiguous"
BUSY = "busy"
DENIED = "denied"
REFUSED = "refused"
NO_START = "no_start"
STALL = "stall"
DIED = "died"
GARBLED = "garbled"
DRIFT = "drift"
MUTED = "muted"
STUCK = "stuck"

FAULTS = {
    NO_PORTAUDIO: "PyAudio or PortAudio is not installed",
    MISSING: "no such device now; it is waited for",
    AMBIGUOUS: "several devices fit the name",
    BUSY: "another program has the device",
    DENIED: "this user may not open the device",
    REFUSED: "the device is there and does not open",
    NO_START: "PortAudio hangs while it looks for the device",
    STALL: "the stream is open and gives nothing",
    DIED: "the capture process died, or the device stopped",
    GARBLED: "the capture process talks nonsense",
    DRIFT: "the device gives far more or fewer samples than it promised",
    MUTED: "nothing but one value for half a minute: muted, or broken",
    STUCK: "the same sound round and round: a buffer that nobody fills",
}


class Fault(NamedTuple):
    """Why a source gives no sound that can be trusted."""

    code: str  # key of FAULTS
    message: str  # one line for people
