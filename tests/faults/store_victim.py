"""A process that lives to be killed: the real store and event messages, as fast as they go, until the end.

It says `written ID EVENT PHASE` on stdout for each message that the store reports as written, and only then. A second
thread plays the broker: it acknowledges some of what it peeks.
"""

import random
import sys
import threading
import time
from pathlib import Path

from edge.clock import UtcTime, new_boot_id
from edge.interrupted import restart_ends
from edge.messages import MessageFactory, values_from_payload
from edge.records import Keepsake
from edge.storage import database
from edge.storage.sqlite_store import SqliteStore
from edge.storage.writer import Rhythm

RHYTHM = Rhythm(patience_s=0.02, acknowledged_s=0.01, acknowledged_alone_s=0.05, look_s=0.05, tidy_s=0.1)


def main() -> None:
    """Begin and end events until killed.  Arguments: the state directory, a seed, pages between checkpoints."""
    if len(sys.argv) > 3:  # often, so that a short life sees many
        database._CHECKPOINT_PAGES = int(sys.argv[3])
    chance = random.Random(int(sys.argv[2]))
    factory = MessageFactory("soundclr", "corner", "bundle", new_boot_id(), ("siren",))
    with SqliteStore(Path(sys.argv[1]), rhythm=RHYTHM).open() as store:
        for end in restart_ends(store, factory):
            put(store, end)
        threading.Thread(target=acknowledge_some, args=(store, chance.random()), daemon=True).start()
        live(store, factory, chance)


def live(store, factory, chance):
    """Events of all kinds of lengths, some of them at the same time."""
    running, number = [], 0
    while True:
        number += 1
        if running and chance.random() < 0.5:
            event = running.pop(chance.randrange(len(running)))
            phase = "end"
        else:
            event, phase = "%d-%d" % (int(sys.argv[2]), number), "start"
            running.append(event)
        put(store, message_of(factory, event, phase))
        if chance.random() < 0.1:
            put(store, message_of(factory, event, "update")) if phase == "start" else store.flush(10.0)
        time.sleep(chance.random() * 0.004)


def put(store, message):
    """Put, and say of it when it is on the disk."""
    values = values_from_payload(message.payload)
    row = store.put(message._replace(keepsake=Keepsake("mic", values["id"].encode())))

    def tell():
        while store.sendable_row < row:
            time.sleep(0.0005)
        assert store.counts().state == "ok"
        sys.stdout.write("written %s %s %s\n" % (values["id"], values["event_id"], values["phase"]))
        sys.stdout.flush()

    tell() if values["phase"] == "end" else threading.Thread(target=tell, daemon=True).start()


def message_of(factory, event_id, phase):
    """An event message as a listener builds it."""
    now = UtcTime(time.time(), True)
    values = {
        "event_id": event_id,
        "phase": phase,
        "label": "siren",
        "start": now,
        "end": now,
        "duration_s": 0.0,
        "end_reason": "quiet" if phase == "end" else None,
        "score_max": 0.5,
        "score_mean": 0.5,
        "replayed": False,
    }
    return factory.build("event", now, values, "mic")


def acknowledge_some(store, share):
    """A broker that takes some and leaves some."""
    chance = random.Random(share)
    while True:
        for stored in store.peek(20):
            if chance.random() < share:
                store.ack(stored.row)
        time.sleep(0.002)


if __name__ == "__main__":
    main()
