"""What one source has to tell: its status and faults, what was heard, and its state. Knows when each is due."""

import logging
import time
from typing import Callable, Optional, Tuple

from edge.clock import SourceClock
from edge.config import PublishConfig
from edge.level_news import LevelNews
from edge.messages import MessageFactory
from edge.pipeline import Heard, Pipeline
from edge.records import Classification, Message
from edge.sources.faults import Fault

_LOGGER = logging.getLogger(__name__)

Publish = Callable[[Message], None]


class SourceNews:
    """Builds the source's messages and publishes those that are due.

    Args:
        name: the source's.
        clock: dates them.
        publish: takes messages; must not block.
        config: how often to tell what.
        frames_per_s: of the bundle's front end.
    """

    def __init__(
        self,
        name: str,
        clock: SourceClock,
        factory: MessageFactory,
        publish: Publish,
        config: PublishConfig,
        frames_per_s: float,
    ) -> None:
        self._name, self._clock, self._factory, self._publish, self._config = name, clock, factory, publish, config
        self._levels = LevelNews(name, clock, factory, publish)
        self._grace_s = 1.0 / frames_per_s  # hops are whole frames, and one may be that much shorter
        self._active: Tuple[str, ...] = ()
        self._next_classification_s = self._next_state_s = 0.0
        self.status = "offline"
        self.fault: Optional[Fault] = None
        self.latest: Optional[Classification] = None

    def status_message(self) -> Message:
        """Whether sound comes that is sound."""
        return self._factory.build_status(self.status, self._name)

    def state_message(self) -> Message:
        """What is active now, how loud it is, and what is wrong."""
        latest = self.latest
        time_of = self._clock.utc_of(latest.end_s) if latest is not None else self._clock.utc_now()
        return self._factory.build_state(
            self._name,
            time_of,
            self._active,
            latest.level_dbfs if latest is not None else None,
            latest.background_dbfs if latest is not None else None,
            self.fault,
            self._levels.state_values,
        )

    def set_status(self, status: str) -> None:
        """Tell a new one."""
        if status != self.status:
            self.status = status
            self._publish(self.status_message())

    def set_fault(self, fault: Optional[Fault]) -> None:
        """A new fault, or the end of one, is told at once."""
        is_news = (fault.code if fault else None) != (self.fault.code if self.fault else None)
        self.fault = fault
        if is_news:
            self._publish(self.state_message())

    def tell_heard(self, heard: Heard, pipeline: Pipeline) -> None:
        """Every event, levels each second, and classifications as often as configured."""
        self._levels.take(heard.levels, pipeline.sample_rate_hz, pipeline.condition, pipeline.band_names)
        for classification in heard.classifications:
            self.latest = classification
            if classification.end_s >= self._next_classification_s - self._grace_s:
                self._next_classification_s = classification.end_s + self._config.classification_interval_s
                self._publish(self._factory.build_classification(self._name, classification, self._clock))
        for event in heard.events:
            at_s = event.start_s if event.phase == "start" else event.end_s
            _LOGGER.info("source %s: %s of %s at %.1f s", self._name, event.phase, event.label, at_s)
            self._publish(self._factory.build_event(self._name, event, self._clock, pipeline.condition))

    def break_off(self) -> None:
        """Nobody knows when sound comes again: tell what there is of the second under way."""
        self._levels.finish()

    def tell_state(self, active: Tuple[str, ...]) -> None:
        """On change, and from time to time; the levels in it are those since the last one that came by the clock."""
        now_s = time.monotonic()
        is_due = now_s >= self._next_state_s
        if active == self._active and not is_due:
            return
        self._active = active
        self._publish(self.state_message())
        if is_due:
            self._next_state_s = now_s + self._config.state_interval_s
            self._levels.begin_state()
