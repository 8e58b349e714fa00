"""What a configuration must fulfil beyond the types of its values, table by table."""

import re

from edge.clips.voices import labels_of_voices
from edge.config import (
    RESERVED_SLUGS,
    SLUG,
    ClipsConfig,
    Config,
    EventsConfig,
    ModelConfig,
    MqttConfig,
    NodeConfig,
    PrometheusConfig,
    PublishConfig,
    StoreConfig,
    address_from_listen,
    calendar_of,
)
from edge.errors import ConfigError
from edge.source_conditions import Conditions, source_conditions
from engines.compile import PRECISION_NAMES
from engines.errors import shown
from engines.runtimes import RUNTIME_NAMES


def check_config(config: Config) -> None:
    """Refuse a configuration that cannot work.  Raises ConfigError: what was given, and what was expected."""
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


def _conditions(config: Config) -> Conditions:
    of_tables = (
        _node_conditions(config.node)
        + _mqtt_conditions(config.mqtt)
        + _home_assistant_conditions(config)
        + _model_conditions(config.model)
        + _level_conditions(config)
        + _events_conditions(config.events)
        + _publish_conditions(config.publish)
        + _store_conditions(config.store)
        + _prometheus_conditions(config.prometheus)
        + _clips_conditions(config.clips)
    )
    return of_tables + [condition for source in config.source for condition in source_conditions(source)]


def _node_conditions(node: NodeConfig) -> Conditions:
    latitude, longitude = node.latitude_deg, node.longitude_deg
    return [
        (latitude is None or -90 <= latitude <= 90, "[node]: latitude_deg is %s; expected -90 to 90" % latitude),
        (
            longitude is None or -180 <= longitude <= 180,
            "[node]: longitude_deg is %s; expected -180 to 180" % longitude,
        ),
    ]


def _mqtt_conditions(mqtt: MqttConfig) -> Conditions:
    return [
        (1 <= mqtt.port <= 65535, "[mqtt]: port is %d; expected 1 to 65535" % mqtt.port),
        (mqtt.host != "", "[mqtt]: host is empty; expected a name or an address"),
        (
            _is_topic(mqtt.root),
            "[mqtt]: root is %s; expected topic levels without # and +, and no / at either end" % shown(mqtt.root),
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
    ]


def _home_assistant_conditions(config: Config) -> Conditions:
    return [
        (
            not config.home_assistant.discovery
            or (
                _is_topic(config.home_assistant.prefix)
                and not (config.home_assistant.prefix + "/").startswith(config.mqtt.root + "/")
            ),
            "[home_assistant]: prefix is %s; expected topic levels without # and +, no / at either end, and not those "
            "of [mqtt] root" % shown(config.home_assistant.prefix),
        ),
    ]


def _model_conditions(model: ModelConfig) -> Conditions:
    return [
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
    ]


def _level_conditions(config: Config) -> Conditions:
    gate, levels = config.gate, config.levels
    return [
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
            gate.floor_db is None or levels.enabled,
            "[gate]: floor_db needs sound levels; set enabled = true under [levels], or leave it out",
        ),
        (
            levels.noise_floor_db is None or -20 <= levels.noise_floor_db <= 140,
            "[levels]: noise_floor_db is %s; expected -20 to 140" % levels.noise_floor_db,
        ),
        (
            levels.noise_floor_dbfs is None or -160 <= levels.noise_floor_dbfs <= 0,
            "[levels]: noise_floor_dbfs is %s; expected -160 to 0" % levels.noise_floor_dbfs,
        ),
    ]


def _events_conditions(events: EventsConfig) -> Conditions:
    return [
        (0 <= events.confirm_s <= 60, "[events]: confirm_s is %g; expected 0 to 60" % events.confirm_s),
        (
            0 < events.confirm_share <= 1,
            "[events]: confirm_share is %g; expected above 0 up to 1" % events.confirm_share,
        ),
        (0 < events.off_ratio <= 1, "[events]: off_ratio is %g; expected above 0 up to 1" % events.off_ratio),
        (0 <= events.min_duration_s <= 60, "[events]: min_duration_s is %g; expected 0 to 60" % events.min_duration_s),
        (0 <= events.merge_gap_s <= 600, "[events]: merge_gap_s is %g; expected 0 to 600" % events.merge_gap_s),
        (1 <= events.max_event_s <= 3600, "[events]: max_event_s is %g; expected 1 to 3600" % events.max_event_s),
    ]


def _publish_conditions(publish: PublishConfig) -> Conditions:
    return [
        (
            min(publish.classification_interval_s, publish.state_interval_s, publish.health_interval_s) >= 0.1,
            "[publish]: an interval is below 0.1 s; expected at least that",
        ),
    ]


def _store_conditions(store: StoreConfig) -> Conditions:
    return [
        (store.kind in ("sqlite", "memory"), '[store]: kind is %s; expected "sqlite" or "memory"' % shown(store.kind)),
        (store.max_bytes >= 1000000, "[store]: max_bytes is %d; expected at least 1000000" % store.max_bytes),
        (0 < store.max_age_days <= 36500, "[store]: max_age_days is %g; expected above 0" % store.max_age_days),
    ]


def _prometheus_conditions(prometheus: PrometheusConfig) -> Conditions:
    return [
        (
            prometheus.listen == "" or address_from_listen(prometheus.listen) is not None,
            '[prometheus]: listen is %s; expected "127.0.0.1:9464", "[::1]:9464", or the port alone for loopback'
            % shown(prometheus.listen),
        ),
    ]


def _clips_conditions(clips: ClipsConfig) -> Conditions:
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
