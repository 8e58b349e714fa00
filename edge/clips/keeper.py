"""The thread that decides on clips: too many? speech in it? If not, encrypted and onto the shelf; and tells of each.

It stands beside the hearing. What it is offered waits in a short queue, and what finds no place there is not kept.
Whatever goes wrong, no clip is written. It is watched, but unlike hearing and sending it does not keep the watchdog
from being fed: a disk that hangs under the clips is no reason to stop hearing.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Optional

from edge.clips.keys import PublicKey, read_public_key
from edge.clips.recorder import ClipOffer
from edge.clips.sealed import SCHEMA, Clip, flac_from_samples, seal
from edge.clips.shelf import Shelf, ShelfError, TooLargeError, stored_clips
from edge.clips.speech import SPEECH_THRESHOLD, SpeechDetector
from edge.config import ClipsConfig
from edge.errors import ClipError
from edge.message_types import WITHHELD
from edge.messages import MessageFactory
from edge.records import JsonObject, Message
from edge.rfc3339 import rfc3339_from_epoch
from edge.supervision import Stage

_LOGGER = logging.getLogger(__name__)
_QUEUE = 4  # of offers: some 10 MB
_HOUR_S = 3600.0
_TIDY_S = 600.0
_WORK_S = 120.0  # for one clip: a slow board, a slow card

Publish = Callable[[Message], None]


class ClipKeeper:
    """Takes offers from any thread.

    Args:
        key: what clips are encrypted to.
        detector: of speech; used by this thread alone.
        publish: takes messages; must not block.
    """

    def __init__(
        self,
        config: ClipsConfig,
        key: PublicKey,
        detector: SpeechDetector,
        shelf: Shelf,
        factory: MessageFactory,
        publish: Publish,
        node: str,
    ) -> None:
        self._config, self._key, self._detector, self._shelf = config, key, detector, shelf
        self._factory, self._publish, self._node = factory, publish, node
        self._offers: "queue.Queue[Optional[ClipOffer]]" = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._lock = threading.Lock()
        self._withheld = dict.fromkeys(WITHHELD, 0)
        self._written = 0
        self._written_at_s: Deque[float] = deque(maxlen=config.max_per_hour)
        self._disk_state = "ok"
        self._stop_at_s = float("inf")
        self.stage = Stage("clips")

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def take_key(self) -> None:
        """After a reload: the same file may hold another key by now."""
        try:
            key = read_public_key(Path(self._config.public_key_file))
        except ClipError as error:  # it was there a moment ago, when the configuration was proven
            _LOGGER.error("%s; clips stay encrypted to key %s", error, self._key.fingerprint.hex())
            return
        if key != self._key:
            self._key = key
            _LOGGER.info("clips are encrypted to key %s from now on", key.fingerprint.hex())

    def offer(self, offer: ClipOffer) -> None:
        """Look at it soon.  Never waits."""
        if time.monotonic() >= self._stop_at_s:
            self._withhold(offer, "stop")
            return
        try:
            self._offers.put_nowait(offer)
        except queue.Full:
            self._withhold(offer, "busy")

    def close(self, timeout_s: float) -> None:
        """Decide on what waits, as far as there is time; the rest is not kept.  Twice is no error."""
        self._stop_at_s = time.monotonic() + timeout_s
        if not self._thread.is_alive():
            return
        with contextlib.suppress(queue.Full):  # then the thread notices the time by itself, unless it hangs
            self._offers.put(None, timeout=timeout_s)
        self._thread.join(max(0.0, self._stop_at_s - time.monotonic()) + 0.2)
        if self._thread.is_alive():
            _LOGGER.error("clips: one was not decided on within %g s; left behind", timeout_s)

    def health(self) -> JsonObject:
        """The fields of `health` that tell of clips."""
        with self._lock:
            values: Dict[str, Any] = {"clips_withheld_" + reason: count for reason, count in self._withheld.items()}
            values["clips_written"] = self._written
        state = "stalled" if self.stage.overdue_s > 0 else self._disk_state
        shelf = self._shelf
        values.update(clips_state=state, clips_kept=shelf.count, clips_bytes=shelf.bytes, clips_freed=shelf.freed)
        return values

    def describe(self) -> str:
        """How it fares, for a person at `systemctl status`."""
        health = self.health()
        withheld = sum(health["clips_withheld_" + reason] for reason in WITHHELD)
        trouble = "" if health["clips_state"] == "ok" else " (disk %s)" % health["clips_state"]
        return "%d clips kept, %d withheld%s" % (health["clips_kept"], withheld, trouble)

    def _run(self) -> None:
        self._seed_rate()
        next_tidy_s = 0.0
        while True:
            if time.monotonic() >= next_tidy_s:
                next_tidy_s = time.monotonic() + _TIDY_S
                self._tidy()
            self.stage.wait("an event whose clip is wanted", _TIDY_S + _WORK_S)
            try:
                offer = self._offers.get(timeout=max(0.0, next_tidy_s - time.monotonic()))
            except queue.Empty:
                continue
            if offer is None:
                return
            self.stage.wait("a clip to be examined and written", _WORK_S)
            self._decide(offer)
            if time.monotonic() >= self._stop_at_s and self._offers.empty():
                return

    def _seed_rate(self) -> None:
        """A restart does not make the hour begin anew."""
        now_s = time.time()
        try:
            clips = stored_clips(self._shelf.directory)
        except OSError:
            return  # the first clip finds out, and says so
        for clip in clips:
            if 0 <= now_s - clip.written_s < _HOUR_S:
                self._written_at_s.append(time.monotonic() - (now_s - clip.written_s))

    def _tidy(self) -> None:
        self.stage.wait("old clips to be freed", _WORK_S)
        try:
            self._shelf.tidy()
            self._shelf.check()  # that old ones could be deleted does not say that new ones can be written
            self._note_disk("ok")
        except ShelfError as error:
            self._note_disk(error.state, error)

    def _decide(self, offer: ClipOffer) -> None:
        try:
            reason = self._reason_against(offer) or self._write(offer)
        except Exception as error:  # the thread's boundary, and the rule: where anything is wrong there is no clip
            if isinstance(error, ClipError):
                _LOGGER.warning("clip %s: %s", offer.event_id, error)
            else:
                _LOGGER.exception("clip %s: a fault inside", offer.event_id)
            reason = "unchecked"
        if reason:
            self._withhold(offer, reason)

    def _reason_against(self, offer: ClipOffer) -> str:
        now_s = time.monotonic()
        if now_s >= self._stop_at_s:
            return "stop"
        if not len(offer.samples):
            return "gap"
        if len(self._written_at_s) == self._config.max_per_hour and now_s - self._written_at_s[0] < _HOUR_S:
            return "rate"
        return "speech" if not self._detector.score(offer.samples, offer.sample_rate_hz) < SPEECH_THRESHOLD else ""

    def _write(self, offer: ClipOffer) -> str:
        key = self._key
        content = seal(Clip(self._about(offer), flac_from_samples(offer.samples, offer.sample_rate_hz)), key)
        try:
            self._shelf.put(offer.event_id, content)
        except TooLargeError as error:
            _LOGGER.warning("clip %s: %s", offer.event_id, error)
            return "quota"
        except ShelfError as error:
            self._note_disk(error.state, error)
            return "disk"
        self._note_disk("ok")
        with self._lock:
            self._written += 1
        self._written_at_s.append(time.monotonic())
        _LOGGER.info("clip %s: kept, %d bytes", offer.event_id, len(content))
        self._tell(offer, None, len(content), key)
        return ""

    def _about(self, offer: ClipOffer) -> JsonObject:
        return {
            "schema": SCHEMA,
            "event_id": offer.event_id,
            "node": self._node,
            "source": offer.source,
            "label": offer.label,
            "start": rfc3339_from_epoch(offer.start.epoch_s),
            "end": rfc3339_from_epoch(offer.end.epoch_s),
            "event_start": rfc3339_from_epoch(offer.event_start.epoch_s),
            "clock": "synced" if offer.start.synced else "unsynced",
        }

    def _withhold(self, offer: ClipOffer, reason: str) -> None:
        with self._lock:
            self._withheld[reason] += 1
        _LOGGER.info("clip %s: not kept (%s)", offer.event_id, reason)
        self._tell(offer, reason)

    def _tell(
        self,
        offer: ClipOffer,
        withheld: Optional[str],
        size_bytes: Optional[int] = None,
        key: Optional[PublicKey] = None,
    ) -> None:
        values = {
            "event_id": offer.event_id,
            "label": offer.label,
            "clip": offer.event_id if key is not None else None,
            "withheld": withheld,
            "start": offer.start,
            "end": offer.end,
            "duration_s": len(offer.samples) / float(offer.sample_rate_hz),
            "size_bytes": size_bytes,
            "key": key.fingerprint.hex() if key is not None else None,
            "replayed": False,
        }
        self._publish(self._factory.build("clip", offer.end, values, offer.source))

    def _note_disk(self, state: str, error: Optional[ShelfError] = None) -> None:
        was, self._disk_state = self._disk_state, state
        if error is not None and was != state:
            _LOGGER.error("clips: %s; none is kept until it is mended", error)
        elif error is None and was != "ok":
            _LOGGER.warning("clips: %s takes clips again", self._shelf.directory)


def clips_off() -> JsonObject:
    """The fields of `health` of a node that keeps none."""
    return {"clips_state": "off"}
