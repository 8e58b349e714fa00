"""The one definition of all v1 messages. Payloads are built from it, JSON Schema is derived from it.

v1 may gain fields, never rename or drop one. `<label>` in a name stands for one field for each of the bundle's labels,
`<source>` for one for each of the node's sources, `<band>` for one for each third octave that the source measures.
"""

from typing import Dict, NamedTuple, Tuple

from edge.level_fields import (
    CALIBRATION,
    EVENT_LEVELS,
    LOCAL_DAY,
    MEASURED_LEVELS,
    QUALITY,
    SOUND_LEVELS,
    SUMMARY,
    level_pair,
)
from edge.message_fields import Field
from edge.sources.faults import FAULTS


class MessageType(NamedTuple):
    """One kind of message."""

    topic: str  # with <root>, <node>, <source>
    qos: int
    retain: bool
    durable: bool
    description: str
    fields: Tuple[Field, ...]  # after the common ones; of JSON objects
    bare_choices: Tuple[str, ...] = ()  # the payload is one of these words and no JSON

    @property
    def has_source(self) -> bool:
        """Whether it tells of one source and not of the node."""
        return "<source>" in self.topic


_STATUS = ("online", "offline")
WHY_WITHHELD = (
    ("speech", "speech was found, or may be there"),
    ("unchecked", "nobody could say whether there is speech"),
    ("rate", "enough of them in an hour"),
    ("quota", "larger than all of them together may be"),
    ("disk", "the disk did not take it"),
    ("busy", "too many at once"),
    ("gap", "its sound was lost"),
    ("stop", "the node was stopped"),
)
WITHHELD = tuple(reason for reason, _ in WHY_WITHHELD)

MESSAGE_TYPES: Dict[str, MessageType] = {
    "status": MessageType(
        "<root>/<node>/status", 1, True, False, "The node itself; offline is its last will.", (), _STATUS
    ),
    "source_status": MessageType(
        "<root>/<node>/<source>/status",
        1,
        True,
        False,
        "The microphone itself; means something only while the node is online.",
        (),
        _STATUS,
    ),
    "info": MessageType(
        "<root>/<node>/info",
        1,
        True,
        False,
        "What the node is; on every connection.",
        (
            Field("version", "text", "of the node's software"),
            Field("python", "text", "version of the interpreter"),
            Field("machine", "text", "architecture and system"),
            Field("runtime", "text", "what runs the model, with its version"),
            Field("started", "time", "UTC of the daemon's start"),
            Field("labels", "texts", "the model's classes"),
            Field("sources", "texts", "names of the node's sources"),
            Field("window_s", "seconds", "sound that one classification looks at"),
            Field("hop_s", "seconds", "time from one classification to the next"),
            Field("site", "text", "where the node stands, for people", True),
            Field("latitude_deg", "degrees", "north positive", True),
            Field("longitude_deg", "degrees", "east positive", True),
            Field("model_sha256", "text", "digest of the model's file", True),
            Field(
                "installation", "text", "random id of the installation; another node under this name has another", True
            ),
            Field("namesake", "text", "installation of another node heard under this name since the start", True),
        ),
    ),
    "health": MessageType(
        "<root>/<node>/health",
        0,
        False,
        False,
        "How the node fares.",
        (
            Field("uptime_s", "seconds", "since the daemon's start"),
            Field("sources_online", "count", "sources that deliver sound now"),
            Field("sources_configured", "count", "sources that ought to"),
            Field("windows", "count", "windows classified since the start"),
            Field("gaps", "count", "stretches of sound lost since the start"),
            Field("lost_s", "seconds", "sound lost since the start, as far as it could be counted"),
            Field("mqtt_reconnects", "count", "connections after the first"),
            Field("mqtt_sent", "count", "messages handed to the broker"),
            Field("mqtt_dropped", "count", "messages that were not durable and found no connection, or no room"),
            Field("mqtt_in_flight", "count", "durable messages sent and not yet acknowledged"),
            Field("store_waiting", "count", "durable messages not yet acknowledged"),
            Field("store_dropped", "count", "durable messages lost because the store was full"),
            Field(
                "store_state",
                "text",
                "how the store fares: on disk, or in memory because it shall be so, or because the disk fails",
                choices=("ok", "memory", "full", "read_only", "failing", "stalled"),
            ),
            Field("store_rows", "count", "messages in the store, the acknowledged ones that are kept as well"),
            Field("store_bytes", "count", "what they take up"),
            Field("store_oldest_s", "seconds", "age of the oldest message not yet acknowledged; null if none", True),
            Field("store_set_aside", "count", "store files since the start that could not be read and were moved away"),
            Field(
                "clips_state",
                "text",
                "how the keeping of clips fares: off, in order, or what hinders it",
                True,
                ("off", "ok", "full", "read_only", "failing", "stalled"),
            ),
            Field("clips_kept", "count", "encrypted clips on the node; null where clips are off", True),
            Field("clips_bytes", "count", "what they take up", True),
            Field("clips_written", "count", "clips written since the start", True),
            Field("clips_freed", "count", "clips deleted since the start, for age or to make room", True),
        )
        + tuple(
            Field("clips_withheld_" + reason, "count", "clips not kept since the start: " + why, True)
            for reason, why in WHY_WITHHELD
        )
        + (
            Field("cpu_ratio", "number", "processor time per time since the last of these; 1 is one core", True),
            Field("memory_mb", "number", "resident memory of the daemon, MB", True),
            Field("temperature_c", "number", "hottest sensor of the board", True),
            Field(
                "memory_pss_mb", "number", "memory of the daemon and its children, shared pages shared out, MB", True
            ),
            Field("file_descriptors", "count", "open files and sockets of the daemon", True),
            Field("threads", "count", "threads of the daemon", True),
            Field("throttled", "flag", "whether the board slows itself down; null where it does not tell", True),
            Field("throttled_by", "text", "by what, for people", True),
            Field("inference_p50_ms", "number", "median of a hop's work: resampling, log-mel, network, decision", True),
            Field("inference_p99_ms", "number", "the same, 99 % of the last 600 hops; of the slowest source", True),
            Field("latency_p50_ms", "number", "median of the time from a window's last sound to its message", True),
            Field("latency_p99_ms", "number", "the same, 99 % of the last 600 hops; of the slowest source", True),
            Field("fault_<source>", "text", "what keeps it from hearing; null where nothing does", True, tuple(FAULTS)),
            Field("sample_rate_hz_<source>", "count", "rate at which it hears; 0 before its first sound"),
            Field("gaps_<source>", "count", "stretches of its sound lost since the start"),
            Field("lost_s_<source>", "seconds", "of its sound lost since the start, as far as it could be counted"),
            Field(
                "calibration_<source>",
                "text",
                "what its levels re 20 uPa rest on, or why there are none, for people",
                True,
            ),
            Field("restarts_<source>", "count", "new starts of its capture process; 0 where it has none"),
            Field("stalls_<source>", "count", "times it gave nothing although it was open"),
            Field("overflows_<source>", "count", "times the device had to drop sound"),
            Field("skips_<source>", "count", "times the node was behind and dropped its oldest sound"),
            Field("drifts_<source>", "count", "times it gave more or less sound than it should, against the clock"),
            Field("withheld_s_<source>", "seconds", "of what it gave and what was no sound: muted, stuck, drifting"),
        ),
    ),
    "classification": MessageType(
        "<root>/<node>/<source>/classification",
        0,
        False,
        False,
        "What one window was found to hold.",
        (
            Field("start", "time", "UTC of the window's first sample"),
            Field("end", "time", "UTC of its end"),
            Field("label", "text", "the best of the known classes; null for digital silence", True),
            Field("score", "score", "probability of that class among the known ones"),
            Field("foreign", "score", "how unlike anything known"),
            Field("accepted_label", "text", "best class that passes gate, rejection and threshold; null if none", True),
            Field(
                "reason",
                "text",
                "why none is accepted; null where one is",
                True,
                ("silence", "below_gate", "foreign", "unsure"),
            ),
        )
        + SOUND_LEVELS
        + (Field("score_<label>", "score", "probability of one class among the known ones"),),
    ),
    "state": MessageType(
        "<root>/<node>/<source>/state",
        1,
        False,
        False,
        "What sounds now; on change, and regularly.",
        SOUND_LEVELS
        + level_pair("laeq", "A-weighted mean level since the last of these that came by the clock")
        + level_pair("lafmax", "highest A-weighted Fast level since then")
        + CALIBRATION
        + (
            Field("active_<label>", "switch", "whether an event of this class is running"),
            Field("fault", "text", "what keeps the source from hearing; null where nothing does", True, tuple(FAULTS)),
            Field("fault_detail", "text", "the same in one line for people", True),
        ),
    ),
    "event": MessageType(
        "<root>/<node>/<source>/event",
        1,
        False,
        True,
        "Start, update (of long ones) and end of one sounding of one class; exactly one end for each start.",
        (
            Field("event_id", "text", "the same from start to end"),
            Field("phase", "text", "where in its life the event is", choices=("start", "update", "end")),
            Field("label", "text", "class of the sound"),
            Field("start", "time", "UTC of the sound's beginning"),
            Field("end", "time", "UTC of the sound's end; so far, until phase is end"),
            Field("duration_s", "seconds", "end minus start"),
            Field("end_reason", "text", "null before the end", True, ("quiet", "gap", "restart", "stop")),
            Field("score_max", "score", "highest score so far"),
            Field("score_mean", "score", "mean score so far"),
            Field("start_uncertainty_s", "seconds", "half width of the span that holds the true start", True),
            Field("replayed", "flag", "sent late, from the store: history, not news"),
        )
        + EVENT_LEVELS,
    ),
    "clip": MessageType(
        "<root>/<node>/<source>/clip",
        1,
        False,
        True,
        "What became of the clip of an event whose class was to be kept: written on the node, encrypted, or withheld.",
        (
            Field("event_id", "text", "of the event"),
            Field("label", "text", "class of the sound"),
            Field(
                "clip", "text", "name of the clip on the node, which never sends it; null where it is withheld", True
            ),
            Field("withheld", "text", "why there is none; null where there is one", True, WITHHELD),
            Field("start", "time", "UTC of the first sample, pre-roll included"),
            Field("end", "time", "UTC of the end of its sound"),
            Field("duration_s", "seconds", "of the sound"),
            Field("size_bytes", "count", "of the encrypted file; null where there is none", True),
            Field("key", "text", "fingerprint of the public key it is encrypted to; null where there is none", True),
            Field("replayed", "flag", "sent late, from the store: history, not news"),
        ),
    ),
    "level": MessageType(
        "<root>/<node>/<source>/level",
        0,
        False,
        False,
        "Sound levels of one second.",
        (
            Field("start", "time", "UTC of the second's beginning"),
            Field("end", "time", "UTC of its end"),
        )
        + QUALITY
        + MEASURED_LEVELS
        + CALIBRATION
        + level_pair("lzeq_<band>", "third octave, by its nominal frequency: 31_5hz, 1000hz, 16000hz"),
    ),
    "summary": MessageType(
        "<root>/<node>/<source>/summary", 1, False, True, "Levels and events of one UTC minute.", SUMMARY
    ),
    "summary_hour": MessageType(
        "<root>/<node>/<source>/summary/hour", 1, False, True, "Levels and events of one UTC hour.", SUMMARY
    ),
    "summary_day": MessageType(
        "<root>/<node>/<source>/summary/day",
        1,
        False,
        True,
        "Levels and events of one UTC day, and Lden of the local day whose night has last ended.",
        SUMMARY + LOCAL_DAY,
    ),
    "check": MessageType(
        "<root>/<node>/check",
        1,
        False,
        False,
        "Written and read back to prove the broker's ACL.",
        (Field("nonce", "text", "what must come back"),),
    ),
}
