"""The configuration is read strictly: what is not meant is refused in one line that says what was meant."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Config
from edge.config_file import config_from_mapping, load_config
from edge.errors import ConfigError

LEAST = '[node]\nname = "corner"\n[[source]]\nname = "mic"\ntype = "microphone"\n'
CALIBRATION = {"calibration_offset_db": 120.5, "calibrated_on": "2026-10-01", "calibration_method": "data_sheet"}


def load_text(tmp_path, text):
    path = tmp_path / "soundclr-edge.toml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return load_config(path)


def refusal(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    message = str(caught.value)
    assert message.isprintable() and str(tmp_path / "soundclr-edge.toml") in message
    return message


def with_source(**values):
    """A mapping with one stdin source changed by these values."""
    source = {"name": "pipe", "type": "stdin", "sample_rate_hz": 16000}
    source.update(values)
    return {"node": {"name": "corner"}, "source": [source]}


def test_the_least_configuration_has_the_defaults_of_all_else(tmp_path):
    config = load_text(tmp_path, LEAST)
    assert config.node.name == "corner" and config.source[0].name == "mic"
    assert config.mqtt.port == 1883 and config.model.hop_s == 1.0 and config.node.latitude_deg is None


def test_a_whole_number_serves_where_a_number_is_expected(tmp_path):
    config = load_text(tmp_path, LEAST + "[gate]\nfloor_dbfs = -60\n")
    assert config.gate.floor_dbfs == -60.0 and isinstance(config.gate.floor_dbfs, float)


@pytest.mark.parametrize(
    "addition, given_name, meant",
    [
        ("[mqqt]\n", "'mqqt'", "'mqtt'"),
        ("[sources]\n", "'sources'", "'source'"),
        ('[mqtt]\nhots = "broker"\n', "'hots'", "'host'"),
        ("[model]\nhop = 1.0\n", "'hop'", "'hop_s'"),
        ("[gate]\nfloor_dbsf = -60.0\n", "'floor_dbsf'", "'floor_dbfs'"),
        ('[mqtt]\n"ho\\nt\\u001B" = "broker"\n', r"'ho\nt\x1b'", "'host'"),
        ('["mqt\\n"]\n', r"'mqt\n'", "'mqtt'"),
        ("sampel_rate_hz = 48000\n", "'sampel_rate_hz'", "'sample_rate_hz'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(tmp_path, addition, given_name, meant):
    where = LEAST.index("[[source]]")
    text = LEAST + addition if addition.startswith("s") else LEAST[:where] + addition + LEAST[where:]
    message = refusal(tmp_path, text)
    assert "unknown" in message and given_name in message and "did you mean " + meant in message


def test_a_streams_calibration_is_taken_as_it_is():
    source = config_from_mapping(with_source(**CALIBRATION)).source[0]
    assert (source.calibration_offset_db, source.calibrated_on) == (120.5, "2026-10-01")


def test_an_unknown_name_like_none_is_refused_with_all_known_ones(tmp_path):
    message = refusal(tmp_path, LEAST + "[mqtt]\nzzz = 1\n")
    assert "did you mean" not in message and "keepalive_s" in message and "[mqtt]" in message


@pytest.mark.parametrize(
    "table, key, value, expected",
    [
        ("mqtt", "host", "5", "a string in quotes"),
        ("mqtt", "host", '["a"]', "a string in quotes"),
        ("mqtt", "port", '"1883"', "a whole number"),
        ("mqtt", "port", "1883.0", "a whole number"),
        ("mqtt", "port", "true", "a whole number"),
        ("mqtt", "tls", "1", "true or false"),
        ("mqtt", "tls", '"yes"', "true or false"),
        ("model", "hop_s", '"1.0"', "a number"),
        ("model", "hop_s", "true", "a number"),
        ("model", "hop_s", "nan", "a finite number"),
        ("gate", "floor_dbfs", "-inf", "a finite number"),
        ("gate", "floor_dbfs", "1" + 400 * "0", "less"),
        ("mqtt", "port", "0x" + 5000 * "f", "less"),
        ("events", "merge_gap_s", "2020-01-01", "a number"),
        ("publish", "health_interval_s", "{a = 1}", "a number"),
        ("mqtt", "password_file", '"a\\u0000b"', "a string without NUL"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path, table, key, value, expected):
    message = refusal(tmp_path, LEAST + "[%s]\n%s = %s\n" % (table, key, value))
    assert "[%s]: %s is " % (table, key) in message and "expected " + expected in message


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "[[source]]"),
        ('[node]\nname = "corner"\n', "[[source]]"),
        ('[node]\nname = "corner"\n[source]\nname = "mic"\ntype = "microphone"\n', "[[source]]"),
        ('source = []\n[node]\nname = "corner"\n', "[[source]]"),
        ('source = [1]\n[node]\nname = "corner"\n', "[[source]] 1 is 1; expected a table"),
        ('node = 1\n[[source]]\nname = "mic"\ntype = "microphone"\n', "[node] is 1; expected a table"),
        ('[[source]]\nname = "mic"\ntype = "microphone"\n', "[node] lacks name"),
        ('[node]\nsite = "x"\n[[source]]\nname = "mic"\ntype = "microphone"\n', "[node] lacks name"),
        ('[node]\nname = "corner"\n[[source]]\nname = "mic"\n', "[[source]] 1 lacks type"),
        (LEAST + '[[source]]\ntype = "microphone"\n', "[[source]] 2 lacks name"),
        (LEAST + "[[source]]\n", "[[source]] 2 lacks name, type"),
        (LEAST + "mqtt = 5\n", "unknown"),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, complaint):
    assert complaint in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "slug",
    [
        "status",
        "info",
        "health",
        "check",
        "summary",
        "",
        "Corner",
        "main st",
        "a/b",
        "a#",
        "-a",
        "_a",
        "a" * 33,
        "caf\xe9",
        "a\n",
        "+",
    ],
)
def test_a_name_that_is_no_slug_or_reserved_is_refused(slug):
    for mapping in ({"node": {"name": slug}, "source": with_source()["source"]}, with_source(name=slug)):
        with pytest.raises(ConfigError, match="1 to 32 of a-z, 0-9, _ and -"):
            config_from_mapping(mapping)


@pytest.mark.parametrize("slug", ["a", "0", "main-st_5", "a" * 32, "statuses"])
def test_a_slug_is_taken(slug):
    assert config_from_mapping(with_source(name=slug)).source[0].name == slug


def test_two_sources_of_one_name_are_refused(tmp_path):
    assert "only once" in refusal(tmp_path, LEAST + LEAST[LEAST.index("[[source]]") :])


def test_there_is_one_standard_input():
    mapping = with_source()
    mapping["source"].append(dict(mapping["source"][0], name="other"))
    with pytest.raises(ConfigError, match="only one standard input"):
        config_from_mapping(mapping)


@pytest.mark.parametrize(
    "table, key, low, high",
    [
        ("node", "latitude_deg", -90.0, 90.0),
        ("node", "longitude_deg", -180.0, 180.0),
        ("mqtt", "port", 1, 65535),
        ("mqtt", "keepalive_s", 5, 3600),
        ("mqtt", "replay_rate_hz", 0.1, 10000.0),
        ("model", "threads", 1, 64),
        ("model", "hop_s", 0.1, 60.0),
        ("gate", "over_background_db", 0.0, 60.0),
        ("gate", "floor_dbfs", -160.0, 0.0),
        ("events", "confirm_s", 0.0, 60.0),
        ("events", "confirm_share", 1e-6, 1.0),
        ("events", "off_ratio", 1e-6, 1.0),
        ("events", "min_duration_s", 0.0, 60.0),
        ("events", "merge_gap_s", 0.0, 600.0),
        ("events", "max_event_s", 1.0, 3600.0),
        ("publish", "classification_interval_s", 0.1, 1e6),
        ("publish", "state_interval_s", 0.1, 1e6),
        ("publish", "health_interval_s", 0.1, 1e6),
    ],
)
def test_ranges_hold_their_ends_and_nothing_beyond(table, key, low, high):
    step = 1 if isinstance(low, int) else 0.01
    for value in (low, high):
        mapping = with_source()
        mapping.setdefault(table, {})[key] = value
        assert getattr(getattr(config_from_mapping(mapping), table), key) == value
    for value in (low - step, high + step) if high != 1e6 else (low - step,):
        mapping = with_source()
        mapping.setdefault(table, {})[key] = value
        with pytest.raises(ConfigError, match=r"\[%s\]: .*expected" % table):
            config_from_mapping(mapping)


@pytest.mark.parametrize(
    "mqtt, complaint",
    [
        ({"host": ""}, "host is empty"),
        ({"root": ""}, "root"),
        ({"root": "a/#"}, "root"),
        ({"root": "/a"}, "root"),
        ({"root": "a/"}, "root"),
        ({"root": "a//b"}, "root"),
        ({"root": "+"}, "root"),
        ({"password_file": "/etc/password"}, "without username"),
        ({"username": "corner", "username_file": "/etc/user"}, "give one of them"),
        ({"tls": True, "tls_min_version": "1.1"}, 'expected "1.2" or "1.3"'),
        ({"tls": True, "certificate_file": "a.pem"}, "give both or neither"),
        ({"tls": True, "key_file": "a.pem"}, "give both or neither"),
        ({"ca_file": "a.pem"}, "tls = true"),
        ({"certificate_file": "a.pem", "key_file": "b.pem"}, "tls = true"),
    ],
)
def test_settings_of_the_broker_that_do_not_fit_are_refused(mqtt, complaint):
    with pytest.raises(ConfigError, match=complaint):
        config_from_mapping(dict(with_source(), mqtt=mqtt))


@pytest.mark.parametrize(
    "source, complaint",
    [
        ({"type": "radio"}, "'radio'"),
        ({"type": "file"}, "needs path"),
        ({"type": "microphone", "path": "a.wav"}, "path belongs to"),
        ({"sample_rate_hz": 0}, "needs the stream's rate"),
        ({"sample_rate_hz": 7999}, "8000 to 192000"),
        ({"type": "microphone", "sample_rate_hz": 192001}, "8000 to 192000"),
        ({"channels": 0}, "channels is 0"),
        ({"channels": 65}, "channels is 65"),
        ({"channels": -1}, "channels is -1"),
        ({"channel": -2}, "channel is -2"),
        ({"channel": 1}, "channel is 1 of 1"),
        ({"channels": 2, "channel": 2}, "channel is 2 of 2"),
        ({"sample_format": "s16be"}, "'s16be'"),
        ({"calibration_offset_db": 120.0}, "go together"),
        ({"calibrated_on": "2026-10-01", "calibration_method": "calibrator"}, "go together"),
        (dict(CALIBRATION, calibration_offset_db=12.0), "calibration_offset_db is 12.0"),
        (dict(CALIBRATION, calibrated_on="October"), "'October'"),
        (dict(CALIBRATION, calibration_method="ear"), "'ear'"),
        (dict(CALIBRATION, type="microphone"), "soundclr-edge calibrate"),
    ],
)
def test_settings_of_a_source_that_do_not_fit_are_refused(source, complaint):
    with pytest.raises(ConfigError, match=complaint):
        config_from_mapping(with_source(**source))


@pytest.mark.parametrize(
    "source",
    [
        {"channels": 2, "channel": 1},
        {"type": "microphone", "channels": 0, "channel": 5, "sample_rate_hz": 0},
        {"type": "file", "path": "a.wav", "channel": 3, "sample_rate_hz": 0},
    ],
)
def test_settings_of_a_source_that_fit_are_taken(source):
    config_from_mapping(with_source(**source))


@pytest.mark.parametrize(
    "text",
    [
        "[node",
        "name = corner",
        "a = 1\na = 2",
        "\x00",
        '[node]\nname = "corner\n',
        "x = " + 5000 * "[",
        "\ufeff[node]\n",
    ],
)
def test_what_is_not_toml_is_refused(tmp_path, text):
    assert "is not TOML" in refusal(tmp_path, text)


@pytest.mark.parametrize("content", [b"\xff\xfe[\0n\0", b'name = "caf\xe9"\n', b"\x89PNG\r\n\x1a\n"])
def test_what_is_not_utf_8_is_refused(tmp_path, content):
    assert "is not UTF-8" in refusal(tmp_path, content)


def test_a_file_too_long_is_refused_and_not_cut(tmp_path):
    assert "256 KiB" in refusal(tmp_path, LEAST + "# filler\n" * 120000)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match="%s.*give another with --config" % reason):
            load_config(path)


SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.sampled_from([10**400, dt.timezone.utc, "microphone", "file", "stdin", "mic", "auto"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def some_table(fields):
    keys = st.sampled_from(sorted(set(fields))) | st.text(max_size=5)
    return VALUES | st.dictionaries(keys, SCALARS, max_size=4)


NAMED = st.fixed_dictionaries({"name": st.just("mic"), "type": st.sampled_from(["microphone", "file", "stdin"])})
DEFAULTS = Config(None, ())
SOURCE_KEYS = ["device", "path", "sample_rate_hz", "channels", "channel", "sample_format", "realtime", "loop"]
SOURCES = st.lists(
    st.builds(lambda a, b: dict(b, **a), NAMED, st.dictionaries(st.sampled_from(SOURCE_KEYS), SCALARS, max_size=3)),
    min_size=1,
    max_size=2,
)
MAPPINGS = st.builds(
    lambda node, source, others: dict(others, node=node, source=source),
    st.just({"name": "corner"}) | some_table(["name", "site", "latitude_deg"]),
    SOURCES | VALUES,
    st.dictionaries(
        st.sampled_from(["mqtt", "model", "gate", "events", "publish", "nodes"]),
        some_table(
            DEFAULTS.mqtt._fields
            + DEFAULTS.model._fields
            + DEFAULTS.gate._fields
            + DEFAULTS.events._fields
            + DEFAULTS.publish._fields
        ),
        max_size=3,
    ),
)


@settings(max_examples=300, deadline=None)
@given(MAPPINGS)
def test_any_tables_give_a_configuration_or_one_line(mapping):
    try:
        config = config_from_mapping(mapping)
    except ConfigError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert isinstance(config, Config) and len(config.source) == len(mapping["source"])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=50))
def test_any_content_of_a_file_gives_a_configuration_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as caught:  # no text of this length is likely to be a whole configuration
        load_config(path)
    assert "\n" not in str(caught.value)
