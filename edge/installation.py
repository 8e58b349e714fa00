"""What makes this installation itself, when node names and cards are copied."""

import grp
import os
import pwd
import uuid
from pathlib import Path
from typing import Optional

from edge.errors import ConfigError
from engines.whole_file import write_whole

_OF_SERVICE = Path("/var/lib/soundclr-edge")
_DEVICE_GROUPS = ("audio", "video", "render")  # as install.sh gives them to the service


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


def find_service_state_directory(given: Optional[Path] = None) -> Path:
    """As `find_state_directory`, but root, who asks on the service's behalf, gets the service's own."""
    of_service = given is None and not os.environ.get("STATE_DIRECTORY") and os.geteuid() == 0 and _OF_SERVICE.is_dir()
    return _OF_SERVICE if of_service else find_state_directory(given)


def become_owner_of(state_directory: Path) -> None:
    """Where root works on the service's behalf, become the service's user for good: its home, files and devices.

    What root would write the service could not read, and root's own ~/.asoundrc names other devices.
    """
    try:
        owner = state_directory.stat().st_uid
    except OSError:
        return  # there is none yet: whoever asks makes it
    if os.geteuid() != 0 or owner == 0:
        return
    try:
        user = pwd.getpwuid(owner)
    except KeyError:
        raise ConfigError(
            "state directory %s belongs to user %d, whom this system does not know; chown it to the service's user"
            % (state_directory, owner)
        ) from None
    of_devices = {group.gr_gid for group in grp.getgrall() if group.gr_name in _DEVICE_GROUPS}
    os.setgroups(sorted(set(os.getgrouplist(user.pw_name, user.pw_gid)) | of_devices))
    os.setgid(user.pw_gid)
    os.setuid(owner)
    os.environ["HOME"] = user.pw_dir


def known_installation_id(given: Optional[Path] = None) -> Optional[str]:
    """This machine's installation id as far as whoever asks can read it: of the folder that `run` would take, else of
    the service's.  Makes none."""
    for directory in (find_state_directory(given), _OF_SERVICE):
        try:
            return (directory / "installation-id").read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            continue
    return None


def read_installation_id(directory: Path) -> str:
    """This installation's random id; made on the first call.  Raises ConfigError: the folder cannot be written."""
    path = directory / "installation-id"
    try:
        if not path.exists() or path.stat().st_size == 0:  # a power cut while versions before wrote it
            directory.mkdir(parents=True, exist_ok=True)
            write_whole(path, uuid.uuid4().hex[:8].encode("ascii") + b"\n")
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
