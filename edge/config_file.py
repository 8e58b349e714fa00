"""The configuration file: TOML, read strictly. An unknown key is an error that names the nearest known one."""

import difflib
import math
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from edge.config import Config, NodeConfig, SourceConfig
from edge.config_conditions import check_config
from edge.errors import ConfigError
from engines.errors import shown

_MAX_BYTES = 1 << 18
_MAX_CHARACTERS = 1024  # of a string
_MAX_DOTS = 100  # in a line: Python's TOML readers take time by the square of the parts of a key
_MAX_COMPLAINT = 300  # characters of theirs, which may cite the file at length
_TYPE_NAMES = {str: "a string in quotes", int: "a whole number", float: "a number", bool: "true or false"}


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
    tables = {
        name: _read_table(type(default), "[%s]" % name, values.get(name, {}))
        for name, default in Config._field_defaults.items()
    }
    config = Config(
        node=_read_table(NodeConfig, "[node]", values.get("node", {})),
        source=tuple(
            _read_table(SourceConfig, "[[source]] %d" % number, table) for number, table in enumerate(sources, start=1)
        ),
        **tables,
    )
    check_config(config)
    return config


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
    check_config(changed)
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
