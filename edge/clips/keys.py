"""The two keys of clips: a public one on the node, by which it can write and not read, a secret one that stays away.

Both are X25519 keys (libsodium's crypto_box, through PyNaCl), each a file of one line:

    soundclr-clips-public-key-1 <64 hexadecimal digits of the key> <16 digits: the fingerprint of the public key>

The fingerprint is BLAKE2b of the public key, 8 bytes. It tells keys apart for people and for clips, and finds slips of
the hand: any 32 bytes are a public key, and clips for one whose secret key nobody has would be lost.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Any, NamedTuple, Tuple

from edge.errors import ClipError
from engines.errors import shown

FINGERPRINT_BYTES = 8
_MAX_BYTES = 4096
_LINE = re.compile(r"soundclr-clips-(public|secret)-key-1 ([0-9a-f]{64}) ([0-9a-f]{16})\Z")


class PublicKey(NamedTuple):
    """What clips are encrypted to."""

    value: bytes  # 32 bytes

    @property
    def fingerprint(self) -> bytes:
        """The key's name."""
        return _fingerprint_of(self.value)


class SecretKey(NamedTuple):
    """What opens clips."""

    value: bytes  # 32 bytes
    fingerprint: bytes  # of the public key that belongs to it

    def __repr__(self) -> str:  # not the key: into no log, no traceback
        return "SecretKey(%s)" % self.fingerprint.hex()


def load_nacl(module: str) -> Any:
    """One of PyNaCl's modules.  Raises ClipError: it is not installed."""
    import importlib

    try:
        return importlib.import_module("nacl." + module)
    except ImportError as error:
        raise ClipError(
            "clips need the Python package PyNaCl, which is missing (%s); install it: pip install pynacl" % error
        ) from error


def make_key_files(stem: Path) -> Tuple[Path, Path]:
    """Write a new pair of keys, STEM.pub and STEM.key.  Returns their paths.

    Raises:
        ClipError: one of them is there already, or cannot be written.
    """
    if stem.name in ("", ".."):
        raise ClipError("%s is no name of key files; give one such as ./clips" % shown(str(stem)))
    secret = load_nacl("public").PrivateKey.generate()
    public_value = secret.public_key.encode()
    fingerprint = _fingerprint_of(public_value).hex()
    public_path, secret_path = stem.with_name(stem.name + ".pub"), stem.with_name(stem.name + ".key")
    if public_path.exists():
        raise ClipError("key file %s is there already; give another name, or move it away" % public_path)
    _write_key(secret_path, "secret", secret.encode(), fingerprint, 0o600)
    try:
        _write_key(public_path, "public", public_value, fingerprint, 0o644)
    except ClipError:
        secret_path.unlink()  # of no use alone, and in the way of the next attempt
        raise
    return public_path, secret_path


def read_public_key(path: Path) -> PublicKey:
    """The public key in a file.  Raises ClipError: there is none that could be used."""
    kind, value, fingerprint = _read_line(path, "public")
    if kind == "secret":
        raise ClipError(
            "%s is the secret key; it must not be on the node: move it away, and give the public one (.pub)" % path
        )
    key = PublicKey(value)
    if key.fingerprint != fingerprint:
        raise ClipError("public key %s: key and fingerprint do not belong together; copy the file once more" % path)
    _try_key(path, key)
    return key


def read_secret_key(path: Path) -> SecretKey:
    """The secret key in a file.  Raises ClipError: there is none that could be used."""
    kind, value, fingerprint = _read_line(path, "secret")
    if kind == "public":
        raise ClipError("%s is the public key, which opens nothing; give the secret one (.key)" % path)
    if _fingerprint_of(load_nacl("public").PrivateKey(value).public_key.encode()) != fingerprint:
        raise ClipError("secret key %s: key and fingerprint do not belong together; copy the file once more" % path)
    return SecretKey(value, fingerprint)


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not be there yet, whole or not at all.  Raises OSError."""
    try:
        with os.fdopen(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except OSError:
        with contextlib.suppress(OSError):  # never made, or the disk refuses
            path.unlink()
        raise


def _fingerprint_of(public_value: bytes) -> bytes:
    return hashlib.blake2b(public_value, digest_size=FINGERPRINT_BYTES).digest()


def _read_line(path: Path, wanted: str) -> Tuple[str, bytes, bytes]:
    """Kind, key and fingerprint; the content is cited only where it is no secret."""
    try:
        with open(str(path), "rb") as file:
            content = file.read(_MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path that is none
        reason = getattr(error, "strerror", None) or error
        raise ClipError(
            "%s key %s cannot be read: %s; give another file" % (wanted, shown(str(path)), reason)
        ) from error
    match = _LINE.match(content.decode("ascii", "replace").strip())
    if match is None:
        raise ClipError(
            "%s key %s holds no key of clips; expected the file that `soundclr-edge clips keygen` wrote"
            % (wanted, path)
        )
    return match.group(1), bytes.fromhex(match.group(2)), bytes.fromhex(match.group(3))


def _try_key(path: Path, key: PublicKey) -> None:
    """libsodium refuses points by which nothing would be secret."""
    public, exceptions = load_nacl("public"), load_nacl("exceptions")
    try:
        public.SealedBox(public.PublicKey(key.value)).encrypt(b"")
    except exceptions.CryptoError as error:
        raise ClipError(
            "public key %s is none that anything could be encrypted to (%s); make a new pair: soundclr-edge clips "
            "keygen" % (path, error)
        ) from error


def _write_key(path: Path, kind: str, value: bytes, fingerprint: str, mode: int) -> None:
    line = "soundclr-clips-%s-key-1 %s %s\n" % (kind, value.hex(), fingerprint)
    try:
        write_new(path, line.encode("ascii"), mode)
    except OSError as error:
        raise ClipError(
            "key file %s cannot be made: %s; give another name, or move it away" % (path, error.strerror)
        ) from error
