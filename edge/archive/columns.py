"""The tables' columns: names, units and what may be empty. Levels are named as in the node's messages (contract v1)."""

from typing import Dict, NamedTuple, Sequence, Tuple

from edge.level_fields import CALIBRATION, EVENT_LEVELS, LOCAL_DAY, MEASURED_LEVELS, QUALITY, SUMMARY, level_pair
from edge.message_fields import BAND_PLACEHOLDER, LABEL_PLACEHOLDER, Field

_RECORDER = Field("recorder", "text", "which recorder: the files' path without the times in it")
_FILE = Field("file", "text", "the recording in which it begins")
_START = Field("start", "time", "UTC of its beginning; empty where nobody says when the recording began", True)
_END = Field("end", "time", "UTC of its end", True)
_START_S = Field("start_s", "seconds", "its beginning, from that of its file")

EVENTS = (
    _RECORDER,
    _FILE,
    Field("event_id", "text", "names it; the same sound and settings give the same name"),
    Field("label", "text", "the class"),
    _START,
    _END,
    _START_S,
    Field("end_s", "seconds", "its end, from the beginning of the same file, also where it lies in a later one"),
    Field("duration_s", "seconds", "how long it lasted"),
    Field("start_uncertainty_s", "seconds", "half width of the span in which the true start lies"),
    Field("end_reason", "text", "why it ended", choices=("quiet", "gap", "stop")),
    Field("score_max", "score", "highest score of its windows"),
    Field("score_mean", "score", "mean score of its windows"),
) + EVENT_LEVELS
CLASSIFICATIONS = (
    _RECORDER,
    _FILE,
    _START,
    _END,
    _START_S,
    Field("end_s", "seconds", "its end, from the same"),
    Field("label", "text", "the best of the known classes; empty for digital silence", True),
    Field("score", "score", "its score"),
    Field("foreign", "score", "0 to 1: how unlike anything known"),
    Field("accepted", "text", "labels that passed gate, rejection and their thresholds, with spaces between"),
    Field("reason", "text", "why nothing was accepted", True, ("silence", "below_gate", "foreign", "unsure")),
    Field("level_dbfs", "level", "loudest 125 ms, dB re full scale", True),
    Field("background_dbfs", "level", "running background, dB re full scale", True),
    Field("score_" + LABEL_PLACEHOLDER, "score", "probability of this class among the known ones"),
)
_LEFT_OUT = ("replayed", "under_range_percent")  # a recording is history, and nobody said what its microphone can hear
_QUALITY = tuple(field for field in QUALITY if field.name not in _LEFT_OUT)
_SUMMARY = tuple(field for field in SUMMARY if field.name not in _LEFT_OUT)
_PERCENTILES = tuple(field for field in SUMMARY if field.name[:4] in ("la10", "la50", "la90"))
LEVELS = (
    (_RECORDER, _FILE, _START, _START_S, Field("duration_s", "seconds", "how much of it the recording holds"))
    + _QUALITY
    + MEASURED_LEVELS
    + level_pair("lzeq_" + BAND_PLACEHOLDER, "third octave, where they are configured; by its nominal frequency")
    + CALIBRATION
)
MINUTES = (
    _RECORDER,
    Field("file", "text", "the recording, where nobody says when it began", True),
    Field("start_s", "seconds", "its beginning, from that of such a file", True),
) + tuple(field._replace(nullable=True) if field.kind == "time" else field for field in _SUMMARY)
HOURS = (_RECORDER,) + _SUMMARY
DAYS = HOURS + LOCAL_DAY
FILES = (
    (
        _RECORDER,
        Field("file", "text", "the recording"),
        Field("status", "text", "what became of it", choices=("heard", "cut_short", "damaged", "unreadable", "failed")),
        Field("error", "text", "what is wrong with it", True),
        _START,
        _END,
        Field("duration_s", "seconds", "as its header says", True),
        Field("heard_s", "seconds", "of it that was heard"),
        Field("sample_rate_hz", "count", "samples a second", True),
        Field("channels", "count", "how many; their mean was heard", True),
        Field("size_bytes", "count", "of the file", True),
        Field("events", "count", "events that began in it"),
        Field("label", "text", "answer for the file as a whole, where it was heard by itself: the best class", True),
        Field("score", "score", "its score", True),
        Field("foreign", "score", "0 to 1: how unlike anything known", True),
        Field("accepted", "flag", "whether gate, rejection and threshold let it pass", True),
        Field("reason", "text", "why not", True, ("silence", "below_gate", "foreign", "unsure")),
    )
    + tuple(field._replace(nullable=True) for field in _QUALITY)
    + MEASURED_LEVELS
    + _PERCENTILES
    + CALIBRATION
)


class Table(NamedTuple):
    """One table of the output."""

    name: str
    what: str
    fields: Tuple[Field, ...]


TABLES: Dict[str, Table] = {
    table.name: table
    for table in (
        Table("events", "what was heard, and how loud", EVENTS),
        Table("minutes", "levels of each UTC minute, percentiles, time with each class", MINUTES),
        Table("hours", "the same of each UTC hour", HOURS),
        Table("days", "the same of each UTC day, and Lden of the local day that ended in it", DAYS),
        Table("levels", "levels of each second", LEVELS),
        Table("files", "what became of each recording, and its levels", FILES),
        Table("classifications", "the answer for each window", CLASSIFICATIONS),
    )
}
# the table that tells of the others' columns
COLUMNS = tuple(Field(name, "text", "") for name in ("table", "column", "kind", "description"))
DEFAULT_TABLES = ("events", "files", "levels", "minutes", "hours", "days")


def columns_of(table: Table, labels: Sequence[str], bands: Sequence[str]) -> Tuple[Field, ...]:
    """The table's columns in their order, one for each label or third octave where a field stands for several."""
    columns = []
    for field in table.fields:
        for placeholder, names in ((LABEL_PLACEHOLDER, labels), (BAND_PLACEHOLDER, bands)):
            if placeholder in field.name:
                columns += [field._replace(name=field.name.replace(placeholder, name)) for name in names]
                break
        else:
            columns.append(field)
    return tuple(columns)
