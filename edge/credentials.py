"""User name and password from files, systemd's credentials among them; never from argv, never logged."""

import logging
import os
import stat
from typing import NamedTuple, Optional

from edge.config import MqttConfig
from edge.errors import ConfigError

_LOGGER = logging.getLogger(__name__)
_FOLDER = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), LoadCredential=
_MAX_BYTES = 65536


class Credentials(NamedTuple):
    """What a broker knows us by."""

    username: Optional[str]
    password: Optional[str]


def read_credentials(config: MqttConfig) -> Credentials:
    """User name and password as they stand now; None for what is not configured.

    Raises:
        ConfigError: a file cannot be read, or holds nothing usable.
    """
    username = _read_line("username_file", config.username_file, False) if config.username_file else config.username
    password = _read_line("password_file", config.password_file, True) if config.password_file else None
    return Credentials(username or None, password)


def located(key: str, path: str) -> str:
    """The path that a setting of [mqtt] means: `$CREDENTIALS_DIRECTORY/name` is one of systemd's credentials.

    Raises:
        ConfigError: systemd has given none.
    """
    prefix = "$%s/" % _FOLDER
    if not path.startswith(prefix):
        return path
    folder = os.environ.get(_FOLDER)
    if not folder:
        raise ConfigError(
            "[mqtt] %s is %s, and %s is not set; systemd sets it within the service (LoadCredential=): by hand, set it "
            "to the folder of the files" % (key, path, _FOLDER)
        )
    return os.path.join(folder, path[len(prefix) :])


def _read_line(key: str, path: str, is_secret: bool) -> str:
    path = located(key, path)
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES)
            mode = os.fstat(file.fileno()).st_mode
        value = content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(
            "[mqtt] %s %s cannot be read: %s; give a file that the service's user may read"
            % (key, path, error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "[mqtt] %s %s is not UTF-8 text; write the %s alone into it" % (key, path, _name(key))
        ) from error
    if not value or "\0" in value:
        raise ConfigError(
            "[mqtt] %s %s %s; write the %s into it" % (key, path, "holds a NUL" if value else "is empty", _name(key))
        )
    if is_secret and mode & stat.S_IROTH:
        _LOGGER.warning("password file %s can be read by everybody on this machine: chmod o-r %s", path, path)
    return value


def _name(key: str) -> str:
    return {"username_file": "user name", "password_file": "password"}[key]
