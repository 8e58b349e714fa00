"""What makes this installation itself, when node names and cards are copied."""

import os
import uuid
from pathlib import Path
from typing import Optional

from edge.errors import ConfigError


def find_state_directory(given: Optional[Path] = None) -> Path:
    """Where this installation keeps what must outlast a restart.

    The folder given, else systemd's $STATE_DIRECTORY, else `soundclr-edge` in $XDG_STATE_HOME (~/.local/state).
    """
    if given is not None:
        return given
    of_service = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if of_service:
        return Path(of_service)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "soundclr-edge"


def read_installation_id(directory: Path) -> str:
    """This installation's random id; made on the first call.  Raises ConfigError: the folder cannot be written."""
    path = directory / "installation-id"
    try:
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name("%s.%d" % (path.name, os.getpid()))
            temporary.write_text(uuid.uuid4().hex[:8] + "\n", encoding="ascii")
            os.replace(str(temporary), str(path))
        found = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            "installation id %s cannot be kept: %s; give a state directory that the service's user may "
            "write" % (path, error)
        ) from error
    if not found.isalnum() or len(found) > 32:
        raise ConfigError(
            "installation id %s holds %r; expected up to 32 letters and digits; remove the file" % (path, found)
        )
    return found
