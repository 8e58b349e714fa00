"""`soundclr-edge compile`: build the engine for this very device, as the service's user."""

import grp
import logging
import os
import pwd
from pathlib import Path
from typing import List

from edge.errors import ConfigError
from engines.bundle import Bundle
from engines.compile import CompileOptions, PreparedEngine, prepare_engine

_LOGGER = logging.getLogger(__name__)
_DEVICE_GROUPS = ("video", "render")  # whom a Jetson's device nodes belong to; the unit gives them to the service


def compile_for_this_device(bundle: Bundle, state_directory: Path, options: CompileOptions) -> PreparedEngine:
    """Build or find the bundle's engine.  Run by root, this process becomes the state directory's owner for good.

    Raises:
        ConfigError: root was not told whose directory it is.
        EngineError: there is nothing to build with, or it failed.
    """
    if os.geteuid() == 0:
        become_owner(state_directory)
    return prepare_engine(bundle, state_directory, options)


def become_owner(directory: Path) -> None:
    """Give root's rights up for those of a directory's owner; what is written then is the owner's.

    Engines are code, so the service loads only files of its own user: root's would be of no use to it.

    Raises:
        ConfigError: the directory is not there, so nobody knows whose it would be.
    """
    try:
        owner = os.stat(str(directory))
    except OSError as error:
        raise ConfigError(
            "state directory %s: %s; start the service once, which makes it, or give the service's with --state-dir"
            % (directory, error.strerror)
        ) from error
    if owner.st_uid == 0:
        return
    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
        groups = os.getgrouplist(name, owner.st_gid)
        home = pwd.getpwuid(owner.st_uid).pw_dir
    except KeyError:  # systemd's dynamic users have no entry once the service has ended
        name, groups, home = str(owner.st_uid), [owner.st_gid], "/"
    os.setgroups(sorted(set(groups) | set(_device_group_ids())))
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
    os.environ["HOME"] = home  # root's own may not even be looked at
    _LOGGER.info("working as %s, whose %s is", name, directory)


def _device_group_ids() -> List[int]:
    ids = []
    for name in _DEVICE_GROUPS:
        try:
            ids.append(grp.getgrnam(name).gr_gid)
        except KeyError:  # not every system has both
            continue
    return ids
