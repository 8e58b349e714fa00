"""Built engines on disk: `<state dir>/engines/<key>.engine` with a `.json` beside each.

An engine file is code that runs in this process. So only what the running user owns, and what nobody else may write,
is read; its digest stands in the sidecar; and anything that is not as it was written counts as not there.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from engines.errors import CompileError
from engines.whole_file import LEFTOVERS, write_whole

_LOGGER = logging.getLogger(__name__)
_SCHEMA = 1  # raise it whenever the way of building changes: older engines are then built anew
_MAX_SIDECAR_BYTES = 1 << 16
_MAX_ENGINE_BYTES = 1 << 30
_LOCK_POLL_S = 0.5


class EngineKey(NamedTuple):
    """Everything that an engine depends on; with any other value it is another engine."""

    model_sha256: str  # of the ONNX it is built from
    precision: str
    tensorrt: str
    compute_capability: str  # "5.3"
    device: str
    driver: str

    @property
    def digest(self) -> str:
        """The name of its files."""
        text = json.dumps([str(_SCHEMA)] + list(self))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]

    @property
    def timing_name(self) -> str:
        """The file of timings that all engines of this device and version share."""
        text = json.dumps([self.tensorrt, self.compute_capability, self.device, self.driver])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32] + ".timing"


class EngineCache:
    """The engines of one installation.

    Args:
        directory: made on the first write, for this user alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def path_of(self, key: EngineKey) -> Path:
        """Where the key's engine lies, or would."""
        return self.directory / (key.digest + ".engine")

    def read(self, key: EngineKey) -> Optional[bytes]:
        """The key's plan; None where there is none that may be used.  What is damaged is removed."""
        facts = self._sidecar(self.path_of(key))
        if facts is None or facts.get("refused") is not None:
            return None
        return self._read_verified(self.path_of(key), facts)

    def refusal(self, key: EngineKey) -> Optional[str]:
        """Why building this very key was given up before; None where it was not."""
        facts = self._sidecar(self.path_of(key))
        why = None if facts is None else facts.get("refused")
        return why if isinstance(why, str) and why.strip() else None

    def store(self, key: EngineKey, plan: bytes, facts: Dict[str, Any]) -> Path:
        """Keep a plan that has passed its self-test, and remove those that it replaces.  Raises CompileError."""
        path = self.path_of(key)
        self._write(path, plan, dict(facts, key=dict(key._asdict()), refused=None))
        self._remove_replaced(key)
        return path

    def refuse(self, key: EngineKey, why: str) -> None:
        """Remember that building this key fails for good, so that no later start tries again.  Raises CompileError."""
        path = self.path_of(key)
        _remove(path)
        self._write_sidecar(path, b"", {"key": dict(key._asdict()), "refused": why})

    def forget(self, key: EngineKey) -> None:
        """Remove the key's engine or refusal."""
        for path in (self.path_of(key), _sidecar_of(self.path_of(key))):
            _remove(path)

    def read_timing(self, key: EngineKey) -> bytes:
        """What earlier builds on this device measured; b"" where nothing usable is kept."""
        path = self.directory / key.timing_name
        facts = self._sidecar(path)
        return b"" if facts is None else self._read_verified(path, facts) or b""

    def store_timing(self, key: EngineKey, content: bytes) -> None:
        """Keep timings for the next build.  Raises CompileError."""
        if content:
            self._write(self.directory / key.timing_name, content, {})

    @contextlib.contextmanager
    def locked(self, timeout_s: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the folder against other builders, in this process and in others.

        Args:
            on_wait: called about twice a second while another one builds; may raise to give up.

        Raises:
            CompileError: the folder cannot be written, or the other one did not end in time.
        """
        lock = self._open_lock()
        try:
            deadline_s = time.monotonic() + timeout_s
            while not _try_lock(lock):
                if time.monotonic() >= deadline_s:
                    raise CompileError(
                        "another process has been building in %s for %d s; stop it, or wait for it"
                        % (self.directory, timeout_s)
                    )
                on_wait()
                time.sleep(_LOCK_POLL_S)
            for leftover in self.directory.glob(LEFTOVERS):
                _remove(leftover)  # megabytes, of a build that was cut off
            yield
        finally:
            os.close(lock)  # and the lock with it

    def _open_lock(self) -> int:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(str(self.directory / ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def _sidecar(self, path: Path) -> Optional[Dict[str, Any]]:
        content = _read_own(_sidecar_of(path), _MAX_SIDECAR_BYTES)
        if content is None:
            return None
        try:
            facts = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict) or facts.get("schema") != _SCHEMA:
            _LOGGER.warning("engine cache: %s is damaged and removed; what it stood for is built again", path.name)
            _remove(path)
            _remove(_sidecar_of(path))
            return None
        return facts

    def _read_verified(self, path: Path, facts: Dict[str, Any]) -> Optional[bytes]:
        content = _read_own(path, _MAX_ENGINE_BYTES)
        if content is None:
            return None
        # what is hashed is what is used: nobody can exchange the file in between
        if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
            _LOGGER.warning("engine cache: %s is damaged and removed; it is built again", path.name)
            _remove(path)
            _remove(_sidecar_of(path))
            return None
        return content

    def _write(self, path: Path, content: bytes, facts: Dict[str, Any]) -> None:
        _remove(_sidecar_of(path))  # an engine without a sidecar counts as none, so a stop in between is harmless
        self._write_file(path, content)
        self._write_sidecar(path, content, facts)

    def _write_sidecar(self, path: Path, content: bytes, facts: Dict[str, Any]) -> None:
        values = dict(facts, schema=_SCHEMA, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        self._write_file(_sidecar_of(path), (json.dumps(values, indent=1, sort_keys=True) + "\n").encode("utf-8"))

    def _write_file(self, path: Path, content: bytes) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, content, 0o600)
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def _remove_replaced(self, key: EngineKey) -> None:
        """Engines of the same network and precision for versions or devices that this machine no longer has."""
        for sidecar in self.directory.glob("*.engine.json"):
            path = sidecar.with_suffix("")
            facts = None if path == self.path_of(key) else self._sidecar(path)
            other = facts.get("key") if facts is not None else None
            if isinstance(other, dict) and all(
                other.get(field) == getattr(key, field) for field in ("model_sha256", "precision", "device")
            ):
                _remove(path)
                _remove(sidecar)


def _sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_own(path: Path, most_bytes: int) -> Optional[bytes]:
    """A file's content, where it is this user's own and nobody else's to write."""
    try:
        # not blocking: somebody may have put a pipe there
        descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENOENT:
            _LOGGER.warning("engine cache: %s is passed over: %s", path, error.strerror)
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            _LOGGER.warning(
                "engine cache: %s belongs to user %d with mode %o; only files that user %d owns and nobody else may "
                "write are loaded: it is passed over",
                path,
                found.st_uid,
                stat.S_IMODE(found.st_mode),
                os.geteuid(),
            )
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        _LOGGER.warning("engine cache: %s is passed over: %s", path, error.strerror)
        return None
    finally:
        os.close(descriptor)
    return content if len(content) <= most_bytes else None


def _remove(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(str(path))
    except OSError as error:
        _LOGGER.warning("engine cache: %s cannot be removed: %s", path, error.strerror)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unwritable(directory: Path, error: OSError) -> CompileError:
    return CompileError(
        "engines cannot be kept in %s: %s; free space there, or give a state directory that this user may write"
        % (directory, error.strerror)
    )
