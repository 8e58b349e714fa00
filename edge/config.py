"""The node's configuration: TOML, read strictly. An unknown key is an error that names the nearest known one."""

import datetime as dt
import difflib
import math
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edge.clips.voices import labels_of_voices
from edge.errors import ConfigError
from edge.levels.local_day import LocalCalendar, minutes_of_starts
from edge.rfc3339 import epoch_s_from_rfc3339
from edge.sources.start_time import FROM_FILE
from engines.compile import PRECISION_NAMES
from engines.errors import shown
from engines.runtimes import RUNTIME_NAMES

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_MAX_BYTES = 1 << 18
_MAX_CHARACTERS = 1024  # of a string
_MAX_DOTS = 100  # in a line: Python's TOML readers take time by the square of the parts of a key
_MAX_COMPLAINT = 300  # characters of theirs, which may cite the file at length
RESERVED_SLUGS = frozenset(["status", "info", "health", "check", "summary"])
SHIPPED_BUNDLE = Path(__file__).resolve().parent.parent / "engines" / "urban"


class NodeConfig(NamedTuple):
    """[node]"""

    name: str  # slug; part of every topic
    site: str = ""  # free text for people: "Main St / 5th Ave, north-east corner"
    latitude_deg: Optional[float] = None
    longitude_deg: Optional[float] = None


class MqttConfig(NamedTuple):
    """[mqtt]"""

    host: str = "127.0.0.1"
    port: int = 1883
    root: str = "soundclr"  # first level of every topic
    username: str = ""
    username_file: str = ""  # instead of username; files may be `$CREDENTIALS_DIRECTORY/name`, systemd's credentials
    password_file: str = ""
    tls: bool = False
    tls_min_version: str = "1.2"  # "1.2", "1.3"
    ca_file: str = ""  # with tls: the system's authorities where empty
    certificate_file: str = ""  # with tls: this client's own certificate
    key_file: str = ""
    keepalive_s: int = 30
    replay_rate_hz: float = 50.0  # messages a second of what the store kept while the broker was away


class ModelConfig(NamedTuple):
    """[model]"""

    bundle: str = str(SHIPPED_BUNDLE)
    runtime: str = "auto"  # "auto", "tensorrt", "onnxruntime"
    precision: str = "auto"  # of TensorRT: "auto", "fp32", "fp16", "int8"
    workspace_mib: int = 128  # scratch memory that a layer of TensorRT's may take
    threads: int = 1
    hop_s: float = 1.0  # time from one classification to the next


class GateConfig(NamedTuple):
    """[gate]: what is loud enough to be worth naming. Depends on the microphone, so it lives here."""

    over_background_db: float = 3.0  # loudest 125 ms of the window over the running background
    floor_dbfs: float = -75.0  # below this nothing is named
    floor_db: Optional[float] = None  # of a calibrated source, instead: LAFmax of the window, dB re 20 uPa


class LevelsConfig(NamedTuple):
    """[levels]: sound levels, before the sound is resampled for the model."""

    enabled: bool = True
    third_octaves: bool = False
    noise_floor_db: Optional[float] = None  # of a calibrated source, LAeq: levels below it are under range
    noise_floor_dbfs: Optional[float] = None  # of one that is not calibrated


class EventsConfig(NamedTuple):
    """[events]: when windows become an event."""

    confirm_s: float = 2.0  # an event starts when, of the windows of this time,
    confirm_share: float = 0.6  # this share is accepted: K of N that do not depend on the hop
    off_ratio: float = 0.6  # hysteresis: an event lasts while the score stays above this share of its threshold
    min_duration_s: float = 0.3
    merge_gap_s: float = 2.0  # a pause shorter than this does not end an event
    max_event_s: float = 60.0  # an update is sent each time an event has lasted this long again


class StoreConfig(NamedTuple):
    """[store]: what must not be lost, in the state directory."""

    kind: str = "sqlite"  # "sqlite", or "memory": nothing is written, and a restart forgets
    max_bytes: int = 500000000  # beyond that the oldest goes
    max_age_days: float = 30.0


class PublishConfig(NamedTuple):
    """[publish]"""

    classification_interval_s: float = 1.0  # at most one classification message in this time
    state_interval_s: float = 10.0
    health_interval_s: float = 30.0


class SummaryConfig(NamedTuple):
    """[summary]: the place's own day, of which Lden is made."""

    time_zone: str = ""  # as in the IANA's list, such as Europe/Berlin; no Lden where empty
    day_starts: str = "07:00"  # by local clocks
    evening_starts: str = "19:00"
    night_starts: str = "23:00"


class PrometheusConfig(NamedTuple):
    """[prometheus]"""

    listen: str = ""  # address:port, or the port alone for loopback; no endpoint where empty


class ClipsConfig(NamedTuple):
    """[clips]: encrypted sound of events, kept on the node.  Off unless the operator turns it on."""

    enabled: bool = False
    public_key_file: str = ""  # what they are encrypted to; there are no clips without
    labels: Tuple[str, ...] = ()  # the classes whose events are kept; none that is made of voices
    pre_roll_s: float = 2.0  # sound before the event's start
    max_clip_s: float = 10.0  # of the event itself
    quota_bytes: int = 100000000  # of all clips together; beyond that the oldest goes
    max_age_days: float = 7.0
    max_per_hour: int = 20


class HomeAssistantConfig(NamedTuple):
    """[home_assistant]"""

    discovery: bool = False  # announce the node, so that its entities appear by themselves
    prefix: str = "homeassistant"  # Home Assistant's discovery prefix


class SourceConfig(NamedTuple):
    """[[source]]"""

    name: str  # slug; part of its topics
    type: str  # "microphone", "file", "stdin"
    device: str = ""  # microphone: part of the device's name; the default microphone where empty
    path: str = ""  # file
    sample_rate_hz: int = 0  # microphone: 0 takes what is best for levels; stdin: the stream's rate
    channels: int = 1  # stdin: channels of the stream; microphone: 0 takes all that the device has
    channel: int = -1  # which channel to hear, from 0; -1 the mean of all
    sample_format: str = "s16le"  # stdin: s16le, s24le, s32le, f32le
    realtime: bool = True  # file: at the pace of the street, or as fast as it goes
    loop: bool = False  # file: begin again at its end
    calibration_offset_db: Optional[float] = None  # file, stdin: dB re 20 uPa of a sound whose RMS is full scale
    calibrated_on: str = ""  # with it: YYYY-MM-DD
    calibration_method: str = ""  # with it: "calibrator" or "data_sheet"
    start_time: str = ""  # file: when it began, RFC 3339, or "file" for the time in it; empty: now


class Config(NamedTuple):
    """The whole configuration."""

    node: NodeConfig
    source: Tuple[SourceConfig, ...]
    mqtt: MqttConfig = MqttConfig()
    model: ModelConfig = ModelConfig()
    gate: GateConfig = GateConfig()
    levels: LevelsConfig = LevelsConfig()
    events: EventsConfig = EventsConfig()
    publish: PublishConfig = PublishConfig()
    store: StoreConfig = StoreConfig()
    prometheus: PrometheusConfig = PrometheusConfig()
    summary: SummaryConfig = SummaryConfig()
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()
    clips: ClipsConfig = ClipsConfig()


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or holds an unknown, missing or mistyped value.
    """
    try:
        with open(str(path), "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError("configuration %s is longer than 256 KiB; give another with --config" % path)
        tables = _parse_toml(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(
            "configuration %s cannot be read: %s; give another with --config" % (path, error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("configuration %s is not UTF-8 text (%s)" % (path, error)) from error
    except (ValueError, RecursionError) as error:  # both TOML readers' errors are ValueErrors
        raise ConfigError("configuration %s is not TOML: %s" % (path, str(error)[:_MAX_COMPLAINT])) from error
    try:
        return config_from_mapping(tables)
    except ConfigError as error:
        raise ConfigError("configuration %s: %s" % (path, error)) from error


def config_from_mapping(values: Dict[str, Any]) -> Config:
    """Check parsed tables and fill in defaults.  Raises ConfigError."""
    _refuse_unknown("table", values, list(Config._fields))
    sources = values.get("source", [])
    if not isinstance(sources, list) or not sources:
        raise ConfigError("no [[source]] table; expected at least one, with name and type")
    config = Config(
        node=_read_table(NodeConfig, "[node]", values.get("node", {})),
        source=tuple(
            _read_table(SourceConfig, "[[source]] %d" % number, table) for number, table in enumerate(sources, start=1)
        ),
        mqtt=_read_table(MqttConfig, "[mqtt]", values.get("mqtt", {})),
        model=_read_table(ModelConfig, "[model]", values.get("model", {})),
        gate=_read_table(GateConfig, "[gate]", values.get("gate", {})),
        levels=_read_table(LevelsConfig, "[levels]", values.get("levels", {})),
        events=_read_table(EventsConfig, "[events]", values.get("events", {})),
        publish=_read_table(PublishConfig, "[publish]", values.get("publish", {})),
        store=_read_table(StoreConfig, "[store]", values.get("store", {})),
        prometheus=_read_table(PrometheusConfig, "[prometheus]", values.get("prometheus", {})),
        summary=_read_table(SummaryConfig, "[summary]", values.get("summary", {})),
        home_assistant=_read_table(HomeAssistantConfig, "[home_assistant]", values.get("home_assistant", {})),
        clips=_read_table(ClipsConfig, "[clips]", values.get("clips", {})),
    )
    _check(config)
    return config


def address_from_listen(listen: str) -> Optional[Tuple[str, int]]:
    """Host and port of `127.0.0.1:9464`, `[::1]:9464` or `9464`, which is loopback; None for anything else."""
    match = re.match(r"(?:(?:\[([0-9a-fA-F:.]+)\]|([\w.-]*)):)?(\d{1,5})\Z", listen)
    if match is None or not 1 <= int(match.group(3)) <= 65535:
        return None
    return match.group(1) or match.group(2) or "127.0.0.1", int(match.group(3))


def calendar_of(summary: SummaryConfig) -> Optional[LocalCalendar]:
    """The place's calendar; None where no time zone is given.  Raises ConfigError."""
    try:
        if not summary.time_zone:
            minutes_of_starts(*summary[1:])
            return None
        return LocalCalendar(*summary)
    except ConfigError as error:
        raise ConfigError("[summary]: %s" % error) from error


def with_start_time(config: Config, start_time: str) -> Config:
    """The same with another beginning for its recordings; as it is where `start_time` is "".  Raises ConfigError."""
    if not start_time:
        return config
    if not any(source.type == "file" for source in config.source):
        raise ConfigError("--start-time %s, and no source is a file; leave it out" % start_time)
    changed = config._replace(
        source=tuple(
            source._replace(start_time=start_time) if source.type == "file" else source for source in config.source
        )
    )
    _check(changed)
    return changed


def _parse_toml(text: str) -> Dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _MAX_DOTS and not line.lstrip().startswith("#"):
            raise ValueError("line %d has more than %d dots" % (number, _MAX_DOTS))
    return dict(tomllib.loads(text))


def _refuse_unknown(what: str, given: Dict[str, Any], known: List[str]) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name[:64], known, n=1)
            raise ConfigError(
                "unknown %s %s%s; known are %s"
                % (what, shown(name), ", did you mean %r" % near[0] if near else "", ", ".join(known))
            )


def _read_table(kind: Any, where: str, given: Any) -> Any:
    if not isinstance(given, dict):
        raise ConfigError("%s is %s; expected a table" % (where, shown(given)))
    _refuse_unknown("key in %s:" % where, given, list(kind._fields))
    required = [name for name in kind._fields if name not in kind._field_defaults]
    missing = [name for name in required if name not in given]
    if missing:
        raise ConfigError("%s lacks %s" % (where, ", ".join(missing)))
    return kind(
        **{name: _value_of_type(where, name, value, kind.__annotations__[name]) for name, value in given.items()}
    )


def _value_of_type(where: str, name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, int) and abs(value) >= 1 << 63:  # TOML's own bound; Python reads longer ones
        raise ConfigError("%s: %s is a number of more than 64 bits; expected less" % (where, name))
    if isinstance(value, str) and len(value) > _MAX_CHARACTERS:
        raise ConfigError(
            "%s: %s is %d characters long; expected at most %d" % (where, name, len(value), _MAX_CHARACTERS)
        )
    if isinstance(value, str) and "\0" in value:
        raise ConfigError("%s: %s is %s; expected a string without NUL" % (where, name, shown(value)))
    if kind in (float, Optional[float]) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind == Tuple[str, ...]:
        if not isinstance(value, list):
            raise ConfigError("%s: %s is %s; expected a list of strings" % (where, name, shown(value)))
        return tuple(_value_of_type(where, "%s: item %d" % (name, n), item, str) for n, item in enumerate(value, 1))
    expected = float if kind == Optional[float] else kind
    if not isinstance(value, expected) or isinstance(value, bool) != (expected is bool):
        raise ConfigError("%s: %s is %s; expected %s" % (where, name, shown(value), _TYPE_NAMES[expected]))
    if expected is float and not math.isfinite(value):
        raise ConfigError("%s: %s is %r; expected a finite number" % (where, name, value))
    return value


_TYPE_NAMES = {str: "a string in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _check(config: Config) -> None:
    names = [source.name for source in config.source]
    for what, slug in [("node name", config.node.name)] + [("source name", name) for name in names]:
        if not SLUG.match(slug) or slug in RESERVED_SLUGS:
            raise ConfigError(
                "%s %s; expected 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit, and "
                "none of %s" % (what, shown(slug), ", ".join(sorted(RESERVED_SLUGS)))
            )
    if len(set(names)) != len(names):
        raise ConfigError("source names %s; expected each only once" % ", ".join(names))
    if sum(source.type == "stdin" for source in config.source) > 1:
        raise ConfigError("more than one source of type stdin; there is only one standard input")
    calendar_of(config.summary)
    for condition, complaint in _conditions(config):
        if not condition:
            raise ConfigError(complaint)


def _conditions(config: Config) -> List[Tuple[bool, str]]:
    mqtt, model, gate, events, publish = config.mqtt, config.model, config.gate, config.events, config.publish
    store = config.store
    latitude, longitude = config.node.latitude_deg, config.node.longitude_deg
    conditions = [
        (latitude is None or -90 <= latitude <= 90, "[node]: latitude_deg is %s; expected -90 to 90" % latitude),
        (
            longitude is None or -180 <= longitude <= 180,
            "[node]: longitude_deg is %s; expected -180 to 180" % longitude,
        ),
        (1 <= mqtt.port <= 65535, "[mqtt]: port is %d; expected 1 to 65535" % mqtt.port),
        (mqtt.host != "", "[mqtt]: host is empty; expected a name or an address"),
        (
            _is_topic(mqtt.root),
            "[mqtt]: root is %s; expected topic levels without # and +, and no / at either end" % shown(mqtt.root),
        ),
        (
            not config.home_assistant.discovery
            or (
                _is_topic(config.home_assistant.prefix)
                and not (config.home_assistant.prefix + "/").startswith(mqtt.root + "/")
            ),
            "[home_assistant]: prefix is %s; expected topic levels without # and +, no / at either end, and not those "
            "of [mqtt] root" % shown(config.home_assistant.prefix),
        ),
        (5 <= mqtt.keepalive_s <= 3600, "[mqtt]: keepalive_s is %d; expected 5 to 3600" % mqtt.keepalive_s),
        (
            0.1 <= mqtt.replay_rate_hz <= 10000,
            "[mqtt]: replay_rate_hz is %g; expected 0.1 to 10000" % mqtt.replay_rate_hz,
        ),
        (
            not (mqtt.username and mqtt.username_file),
            "[mqtt]: username and username_file are both given; give one of them",
        ),
        (
            not mqtt.password_file or bool(mqtt.username or mqtt.username_file),
            "[mqtt]: password_file without username; give both",
        ),
        (
            mqtt.tls_min_version in ("1.2", "1.3"),
            '[mqtt]: tls_min_version is %s; expected "1.2" or "1.3"' % shown(mqtt.tls_min_version),
        ),
        (
            bool(mqtt.certificate_file) == bool(mqtt.key_file),
            "[mqtt]: certificate_file and key_file go together; give both or neither",
        ),
        (
            mqtt.tls or not (mqtt.ca_file or mqtt.certificate_file),
            "[mqtt]: ca_file or certificate_file without tls = true; set it, or remove them",
        ),
        (
            model.runtime in RUNTIME_NAMES,
            "[model]: runtime is %s; expected one of %s" % (shown(model.runtime), ", ".join(RUNTIME_NAMES)),
        ),
        (
            model.precision in PRECISION_NAMES,
            "[model]: precision is %s; expected one of %s" % (shown(model.precision), ", ".join(PRECISION_NAMES)),
        ),
        (
            16 <= model.workspace_mib <= 4096,
            "[model]: workspace_mib is %d; expected 16 to 4096, and 64 to 256 on a Jetson" % model.workspace_mib,
        ),
        (1 <= model.threads <= 64, "[model]: threads is %d; expected 1 to 64" % model.threads),
        (0.1 <= model.hop_s <= 60, "[model]: hop_s is %g; expected 0.1 to 60" % model.hop_s),
        (
            0 <= gate.over_background_db <= 60,
            "[gate]: over_background_db is %g; expected 0 to 60" % gate.over_background_db,
        ),
        (-160 <= gate.floor_dbfs <= 0, "[gate]: floor_dbfs is %g; expected -160 to 0" % gate.floor_dbfs),
        (
            gate.floor_db is None or -20 <= gate.floor_db <= 140,
            "[gate]: floor_db is %s; expected -20 to 140" % gate.floor_db,
        ),
        (
            gate.floor_db is None or config.levels.enabled,
            "[gate]: floor_db needs sound levels; set enabled = true under [levels], or leave it out",
        ),
        (
            config.levels.noise_floor_db is None or -20 <= config.levels.noise_floor_db <= 140,
            "[levels]: noise_floor_db is %s; expected -20 to 140" % config.levels.noise_floor_db,
        ),
        (
            config.levels.noise_floor_dbfs is None or -160 <= config.levels.noise_floor_dbfs <= 0,
            "[levels]: noise_floor_dbfs is %s; expected -160 to 0" % config.levels.noise_floor_dbfs,
        ),
        (0 <= events.confirm_s <= 60, "[events]: confirm_s is %g; expected 0 to 60" % events.confirm_s),
        (
            0 < events.confirm_share <= 1,
            "[events]: confirm_share is %g; expected above 0 up to 1" % events.confirm_share,
        ),
        (0 < events.off_ratio <= 1, "[events]: off_ratio is %g; expected above 0 up to 1" % events.off_ratio),
        (0 <= events.min_duration_s <= 60, "[events]: min_duration_s is %g; expected 0 to 60" % events.min_duration_s),
        (0 <= events.merge_gap_s <= 600, "[events]: merge_gap_s is %g; expected 0 to 600" % events.merge_gap_s),
        (1 <= events.max_event_s <= 3600, "[events]: max_event_s is %g; expected 1 to 3600" % events.max_event_s),
        (
            min(publish.classification_interval_s, publish.state_interval_s, publish.health_interval_s) >= 0.1,
            "[publish]: an interval is below 0.1 s; expected at least that",
        ),
        (store.kind in ("sqlite", "memory"), '[store]: kind is %s; expected "sqlite" or "memory"' % shown(store.kind)),
        (store.max_bytes >= 1000000, "[store]: max_bytes is %d; expected at least 1000000" % store.max_bytes),
        (0 < store.max_age_days <= 36500, "[store]: max_age_days is %g; expected above 0" % store.max_age_days),
        (
            config.prometheus.listen == "" or address_from_listen(config.prometheus.listen) is not None,
            '[prometheus]: listen is %s; expected "127.0.0.1:9464", "[::1]:9464", or the port alone for loopback'
            % shown(config.prometheus.listen),
        ),
    ]
    conditions += _clips_conditions(config.clips)
    for source in config.source:
        conditions += _source_conditions(source)
    return conditions


def _clips_conditions(clips: ClipsConfig) -> List[Tuple[bool, str]]:
    voices = labels_of_voices(clips.labels)
    return [
        (
            not clips.enabled or clips.public_key_file != "",
            "[clips]: enabled without public_key_file; make keys with `soundclr-edge clips keygen`: clips are kept "
            "encrypted or not at all",
        ),
        (
            not clips.enabled or len(clips.labels) > 0,
            "[clips]: enabled without labels; name the sounds whose clips are wanted",
        ),
        (
            not voices,
            "[clips]: labels has %s, which is made of people's voices; this node keeps no clips of voices, so take it "
            "out" % shown(", ".join(voices)),
        ),
        (0 <= clips.pre_roll_s <= 30, "[clips]: pre_roll_s is %g; expected 0 to 30" % clips.pre_roll_s),
        (1 <= clips.max_clip_s <= 60, "[clips]: max_clip_s is %g; expected 1 to 60" % clips.max_clip_s),
        (clips.quota_bytes >= 1000000, "[clips]: quota_bytes is %d; expected at least 1000000" % clips.quota_bytes),
        (0 < clips.max_age_days <= 3650, "[clips]: max_age_days is %g; expected above 0" % clips.max_age_days),
        (1 <= clips.max_per_hour <= 3600, "[clips]: max_per_hour is %d; expected 1 to 3600" % clips.max_per_hour),
    ]


def _is_topic(text: str) -> bool:
    return bool(re.match(r"[^#+/\x00]+(/[^#+/\x00]+)*\Z", text))


def _is_time(text: str) -> bool:
    try:
        epoch_s_from_rfc3339(text)
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        dt.datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return True


def _calibration_conditions(source: SourceConfig, where: str) -> List[Tuple[bool, str]]:
    offset_db, date, method = source.calibration_offset_db, source.calibrated_on, source.calibration_method
    return [
        (
            source.type != "microphone" or (offset_db, date, method) == (None, "", ""),
            where + "a microphone's calibration is made by soundclr-edge calibrate, which binds it to the microphone; "
            'calibration_offset_db, calibrated_on and calibration_method belong to type "file" and "stdin"',
        ),
        (
            len({offset_db is None, date == "", method == ""}) == 1,
            where + "calibration_offset_db, calibrated_on and calibration_method go together; give all or none",
        ),
        (
            offset_db is None or 40 <= offset_db <= 240,
            where + "calibration_offset_db is %s; expected 40 to 240, 120 for instance" % offset_db,
        ),
        (date == "" or _is_date(date), where + "calibrated_on is %s; expected YYYY-MM-DD" % shown(date)),
        (
            method in ("", "calibrator", "data_sheet"),
            where + 'calibration_method is %s; expected "calibrator" or "data_sheet"' % shown(method),
        ),
    ]


def _source_conditions(source: SourceConfig) -> List[Tuple[bool, str]]:
    where = "[[source]] %s: " % shown(source.name)
    return _calibration_conditions(source, where) + [
        (
            source.type in ("microphone", "file", "stdin"),
            where + 'type is %s; expected "microphone", "file" or "stdin"' % shown(source.type),
        ),
        (source.type != "file" or source.path != "", where + "a file needs path"),
        (source.type == "file" or source.start_time == "", where + 'start_time belongs to type "file" alone'),
        (
            source.start_time in ("", FROM_FILE) or _is_time(source.start_time),
            where + 'start_time is %s; expected a time as "2026-10-01T12:34:56Z", or "file"' % shown(source.start_time),
        ),
        (source.type == "file" or source.path == "", where + 'path belongs to type "file" alone'),
        (
            source.type != "stdin" or 8000 <= source.sample_rate_hz <= 192000,
            where
            + "sample_rate_hz is %d; standard input needs the stream's rate, 8000 to 192000" % source.sample_rate_hz,
        ),
        (
            source.sample_rate_hz == 0 or 8000 <= source.sample_rate_hz <= 192000,
            where + "sample_rate_hz is %d; expected 8000 to 192000, or 0 for the device's own" % source.sample_rate_hz,
        ),
        (
            0 <= source.channels <= 64 and (source.channels > 0 or source.type == "microphone"),
            where + "channels is %d; expected 1 to 64" % source.channels,
        ),
        (
            source.channel >= -1
            and (source.channels == 0 or source.channel < max(1, source.channels) or source.type == "file"),
            where
            + "channel is %d of %d; expected -1 (the mean of all) or an index from 0"
            % (source.channel, source.channels),
        ),
        (
            source.sample_format in ("s16le", "s24le", "s32le", "f32le"),
            where + "sample_format is %s; expected s16le, s24le, s32le or f32le" % shown(source.sample_format),
        ),
    ]
