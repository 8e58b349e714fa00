"""The node's configuration: what can be set, and the defaults. `edge.config_file` reads it, strictly."""

import re
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

from edge.errors import ConfigError
from edge.levels.local_day import LocalCalendar, minutes_of_starts

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
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

    @property
    def tells_bands(self) -> bool:
        """Whether third octaves are in the messages."""
        return self.enabled and self.third_octaves


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
