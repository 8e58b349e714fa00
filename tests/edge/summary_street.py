"""A source that measures, on a machine whose clocks the test holds, and what its summaries keep and tell."""

import json

from edge.clock import SourceClock, SystemClock
from edge.levels.summaries import SourceSummaries
from edge.levels.totals import Condition
from edge.messages import MessageFactory
from edge.records import EventChange
from tests.edge.level_frames import RATE_HZ, frame_at

LABELS = ("siren", "dog_bark")
START_S = 1793534400.0  # 2026-11-01T12:00:00Z
BOOTED_S = 1000.0  # of the monotonic clock at START_S


class Machine:
    """True time, and what its clocks say of it."""

    def __init__(self, start_s=START_S, synced=True, error_s=0.0):
        self.true_s, self.synced, self.error_s = start_s, synced, error_s
        self._booted_s = start_s - BOOTED_S
        self.system = SystemClock(
            lambda: self.synced, lambda: self.true_s - self._booted_s, lambda: self.true_s + self.error_s
        )


class MeasuringSource:
    """One start of the daemon: sound of a steady level goes in, messages come out.

    Args:
        kept: what earlier starts kept; None: nothing outlives this one.
    """

    def __init__(self, machine=None, kept=(), start_time_s=None, calendar=None, settle_s=8.0, condition=Condition()):
        self.machine, self.condition = machine or Machine(), condition
        self.messages, self.kept = [], list(kept or ())
        clock = SourceClock(start_time_s, None if start_time_s is not None else self.machine.system)
        self.clock, self.frame = clock, 0
        factory = MessageFactory("soundclr", "corner", "bundle", "boot", LABELS)
        self.summaries = SourceSummaries("mic", clock, factory, self._publish, LABELS, calendar, settle_s)
        self.summaries.restore(kept)

    def _publish(self, message):
        self.messages.append(message)
        if message.keepsake is not None:
            assert message.keepsake.owner == "mic"
            self.kept.append(message.keepsake.content)

    def hear(self, seconds, laf_dbfs=-50.0, events=(), heard=1.0):
        """Sound for whole seconds, at one level or one for each frame."""
        for _ in range(seconds):
            frames = (
                []
                if self.condition is None
                else [
                    frame_at(
                        self.frame + n,
                        laf_dbfs if isinstance(laf_dbfs, float) else laf_dbfs(self.frame + n),
                        heard=heard,
                    )
                    for n in range(8)
                ]
            )
            first_s = self.frame / 8.0
            self.frame += 8
            self.machine.true_s += 1.0
            self.clock.observe(int(first_s * RATE_HZ), RATE_HZ, self.machine.system.now().monotonic_s - 1.0)
            self.summaries.note(
                frames, RATE_HZ, self.condition, [e for e in events if first_s < e.at_s <= first_s + 1.0]
            )
            self.summaries.advance(first_s, first_s + 1.0)

    def skip(self, seconds):
        """Sound that is lost and counted."""
        self.frame += 8 * seconds
        self.machine.true_s += seconds

    def told(self, type_name="summary"):
        """Payloads of one type."""
        values = [json.loads(message.payload.decode("utf-8")) for message in self.messages]
        return [value for value in values if value["type"] == type_name]


class Timed(EventChange):
    """An event's change with the moment at which it became known."""

    at_s = 0.0


def change(at_s, event_id, phase, label, start_s, end_s):
    """What the detector says of an event at a moment of the stream."""
    told = Timed(event_id, phase, label, start_s, end_s, "quiet" if phase == "end" else None, 0.9, 0.8, 0.25)
    told.at_s = at_s
    return told
