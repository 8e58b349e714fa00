"""When Home Assistant is told of the node: on each connection, after its own start, and when something has changed."""

import logging
import random
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from edge.config import Config
from edge.connection import Received
from edge.home_assistant.entities import Levels, birth_topic, discovery_payload, discovery_topic, levels_from_state
from edge.home_assistant.memory import Announced, Memory
from edge.messages import payload_from_values, topic_of, values_from_payload
from edge.records import Message

_LOGGER = logging.getLogger(__name__)
_PAUSE_S = 5.0  # between two announcements: Home Assistant drops part of one that comes while it sets up another
_STATES_AFTER_S = 2.0  # by then it has subscribed to what it was told of
_CLEARED_AFTER_S = 10.0  # a connection that has lasted so long has taken what was sent at its beginning
_BIRTH_DELAY_S = (1.0, 10.0)  # at random: not all nodes of a city at the same moment


class Announcer:
    """Publishes and takes back the node's announcement.  Usable from several threads.

    Args:
        labels: the model's classes.
        directory: where it is remembered what was announced; None: only as long as this lives.
        states: what the node's entities read, to be sent soon after an announcement.
        delay_s: how long to wait after Home Assistant's birth.
    """

    def __init__(
        self,
        config: Config,
        labels: Sequence[str],
        directory: Optional[Path] = None,
        states: Callable[[], List[Message]] = list,
        delay_s: Callable[[], float] = lambda: random.uniform(*_BIRTH_DELAY_S),
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._labels, self._states = config, tuple(labels), states
        self._delay_s, self._monotonic_s = delay_s, monotonic_s
        self._topic = discovery_topic(config) if config.home_assistant.discovery else None
        self._state_topics = {
            topic_of("state", config.mqtt.root, config.node.name, source.name): source.name for source in config.source
        }
        self._lock = threading.Lock()
        self._memory = Memory(directory)
        self._kept = self._memory.read()
        self._announced = self._begin(self._kept)
        self._keep()  # before anything is sent: what is not remembered can never be taken back
        self._announce_at_s: Optional[float] = None
        self._states_at_s: Optional[float] = None
        self._cleared_at_s: Optional[float] = None
        self._last_s = float("-inf")

    @property
    def subscriptions(self) -> Dict[str, Callable[[Received], None]]:
        """Topics to read, and who takes what comes."""
        return {} if self._topic is None else {birth_topic(self._config): self.hear_birth}

    def change(self, config: Config) -> None:
        """Another configuration of the same node."""
        with self._lock:
            self._config = config
            if self._topic is not None:
                self._announce_at_s = self._monotonic_s()

    def hear_birth(self, received: Received) -> None:
        """Somebody's word on Home Assistant's status topic; all but its start, said now, means nothing."""
        if received.payload != b"online" or received.retained:
            return
        with self._lock:
            if self._announce_at_s is None:
                self._announce_at_s = self._monotonic_s() + self._delay_s()

    def notice(self, message: Message) -> None:
        """A message of the node: what it tells of calibration decides which entities there are."""
        source = self._state_topics.get(message.topic)
        if self._topic is None or source is None:
            return
        with self._lock:
            before = self._announced.levels.get(source, Levels())
            now = levels_from_state(values_from_payload(message.payload), before)
            if now != before:
                self._announced = self._announced._replace(levels=dict(self._announced.levels, **{source: now}))
                if self._announce_at_s is None:
                    self._announce_at_s = self._monotonic_s()

    def messages_on_connect(self) -> List[Message]:
        """The announcement, after what an earlier configuration has left at the broker was taken back."""
        with self._lock:
            messages = [Message(topic, b"", 1, True, False) for topic in self._announced.to_clear]
            if messages:
                self._cleared_at_s = self._monotonic_s() + _CLEARED_AFTER_S
            return messages + self._announcement()

    def lose_connection(self) -> None:
        """There is none, or none that takes announcements; to be said before the next one."""
        with self._lock:
            self._cleared_at_s = None

    def messages_due(self) -> List[Message]:
        """What has to be sent by now; to be asked again and again while there is a connection."""
        with self._lock:
            now_s = self._monotonic_s()
            if self._cleared_at_s is not None and now_s >= self._cleared_at_s:
                self._cleared_at_s = None
                self._announced = self._announced._replace(to_clear=[])
                self._keep()
            if self._announce_at_s is not None and now_s >= max(self._announce_at_s, self._last_s + _PAUSE_S):
                return self._announcement()
            if self._states_at_s is None or now_s < self._states_at_s:
                return []
            self._states_at_s = None
        return self._states()

    def _begin(self, before: Announced) -> Announced:
        if before.topic == self._topic:
            return before._replace(levels=self._levels_of(before))
        to_clear = [topic for topic in before.to_clear if topic != self._topic]
        if before.topic is not None:
            to_clear.append(before.topic)
        return Announced(self._topic, {}, self._levels_of(before), to_clear)

    def _keep(self) -> None:
        if self._announced != self._kept:
            self._memory.write(self._announced)
            self._kept = self._announced

    def _levels_of(self, before: Announced) -> Dict[str, Levels]:
        names = [source.name for source in self._config.source]
        return {name: levels for name, levels in before.levels.items() if name in names}

    def _announcement(self) -> List[Message]:
        """With the lock held."""
        if self._topic is None:
            return []
        payload = discovery_payload(self._config, self._labels, self._announced.levels)
        current = {key: component["platform"] for key, component in payload["components"].items()}
        gone = {key: platform for key, platform in self._announced.components.items() if key not in current}
        # a component that has nothing but its platform is removed; one that was never there is passed over
        payload["components"].update((key, {"platform": platform}) for key, platform in gone.items())
        self._announced = self._announced._replace(components=dict(gone, **current))
        self._keep()
        now_s = self._monotonic_s()
        self._announce_at_s, self._last_s, self._states_at_s = None, now_s, now_s + _STATES_AFTER_S
        _LOGGER.debug("home assistant: announced at %s", self._topic)
        return [Message(self._topic, payload_from_values(payload), 1, True, False)]
