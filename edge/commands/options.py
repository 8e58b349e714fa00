"""What several commands share: options, what their values may be, and the configuration that they name."""

import argparse
import os
from pathlib import Path
from typing import Optional

from edge.config import Config, NodeConfig, SourceConfig
from edge.config_file import load_config
from edge.errors import ConfigError

Commands = argparse._SubParsersAction  # argparse names this type only privately
_DEFAULT_CONFIG = "soundclr-edge.toml"


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that names the configuration."""
    parser.add_argument(
        "--config",
        type=Path,
        default=None,
        help="TOML file (default: %s in $CONFIGURATION_DIRECTORY or /etc/soundclr-edge)" % _DEFAULT_CONFIG,
    )


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """The option that names the folder of what outlasts restarts."""
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=None,
        help="folder that outlasts restarts (default: $STATE_DIRECTORY; for root the service's own; else "
        "soundclr-edge in $XDG_STATE_HOME or ~/.local/state)",
    )


def add_start_time(parser: argparse.ArgumentParser) -> None:
    """The option that says when a recording began."""
    parser.add_argument(
        "--start-time",
        default="",
        metavar="TIME",
        help='when a recording began, as 2026-10-01T12:34:56Z, or "file": the time in its name or header '
        "(default: the configuration's, else now)",
    )


def positive(text: str) -> float:
    """A number above 0, of an option."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("%s; expected a number above 0" % text)
    return value


def found_config(given: Optional[Path]) -> Optional[Path]:
    """The configuration given, else the one in its folder; None where neither is."""
    if given is not None:
        return given
    folder = Path(os.environ.get("CONFIGURATION_DIRECTORY", "/etc/soundclr-edge").split(":")[0])
    return folder / _DEFAULT_CONFIG if (folder / _DEFAULT_CONFIG).exists() else None


def required_config(given: Optional[Path]) -> Config:
    """The configuration given or found.  Raises ConfigError: there is none, or it is wrong."""
    path = found_config(given)
    if path is None:
        raise ConfigError(
            "no configuration: neither --config nor /etc/soundclr-edge/%s is there; copy "
            "systemd/soundclr-edge.example.toml and give it with --config" % _DEFAULT_CONFIG
        )
    return load_config(path)


def optional_config(given: Optional[Path]) -> Config:
    """The configuration given or found, else one of defaults alone.  Raises ConfigError: it is wrong."""
    path = found_config(given)
    return load_config(path) if path is not None else Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))
