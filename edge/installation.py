"""What makes this installation itself, when node names and cards are copied."""

import os
import uuid
from pathlib import Path

from edge.errors import ConfigError


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
