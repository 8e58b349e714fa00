"""The file of a clip: sound and what is known of it, encrypted to a public key.

    8 bytes   "SCLRCLP1"
    8 bytes   fingerprint of the public key (`edge.clips.keys`)
    the rest  a sealed box of libsodium's (crypto_box_seal: X25519, XSalsa20-Poly1305), which holds
              4 bytes   little-endian length of
              n bytes   JSON in UTF-8: schema 1, event_id, node, source, label, start, end, ...
              the rest  FLAC, mono, 16 bit

The box is of a key pair that is made for this file and forgotten: who wrote a clip cannot read it again. It is opened
whole or not at all, so that no damage and no cut goes unnoticed. It does not prove who wrote it: anybody who has the
public key can.
"""

import io
import json
import struct
from pathlib import Path
from typing import Any, NamedTuple, Tuple

import numpy as np

from edge.clips.keys import FINGERPRINT_BYTES, PublicKey, SecretKey, load_nacl
from edge.errors import ClipError
from edge.records import JsonObject

SUFFIX = ".clip"
SCHEMA = 1
_MAGIC = b"SCLRCLP1"
_HEADER_BYTES = len(_MAGIC) + FINGERPRINT_BYTES
_BOX_BYTES = 48  # a box of nothing: the key made for it, and the tag
_LENGTH = struct.Struct("<I")
_MAX_FILE_BYTES = 1 << 26  # a minute and a half of 24 bit at 192 kHz has 52 MB
_MAX_JSON_BYTES = 65536
_MAX_SAMPLES = 1 << 25  # that a damaged or hostile header may promise


class Clip(NamedTuple):
    """A clip that has been opened."""

    about: JsonObject
    flac: bytes


def flac_from_samples(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Mono samples [T] in [-1, 1) as FLAC of 16 bit.  Raises ClipError: libsndfile is missing."""
    whole = np.clip(np.rint(samples * np.float32(32768.0)), -32768, 32767).astype(np.int16)
    return _encoded(whole, sample_rate_hz, "FLAC")


def wav_from_samples(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Mono samples [T], int16, as a WAV file.  Raises ClipError: libsndfile is missing."""
    return _encoded(samples, sample_rate_hz, "WAV")


def seal(clip: Clip, key: PublicKey) -> bytes:
    """The whole file."""
    public = load_nacl("public")
    text = json.dumps(clip.about, ensure_ascii=False, allow_nan=False, sort_keys=True).encode("utf-8")
    content = _LENGTH.pack(len(text)) + text + clip.flac
    box = public.SealedBox(public.PublicKey(key.value)).encrypt(content)
    return _MAGIC + key.fingerprint + box


def read_sealed(path: Path) -> bytes:
    """A clip's file.  Raises ClipError: it cannot be read, or is none."""
    try:
        with open(str(path), "rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ClipError("clip %s cannot be read: %s" % (path, error.strerror)) from error
    if len(content) > _MAX_FILE_BYTES:
        raise ClipError("clip %s is longer than any; expected a file of `soundclr-edge`'s clips" % path)
    fingerprint_of(content, str(path))
    return content


def fingerprint_of(content: bytes, name: str) -> bytes:
    """Of the key that it was encrypted to; `name` opens the message.  Raises ClipError: it is no clip, or cut off."""
    if not content.startswith(_MAGIC):
        raise ClipError("%s is no clip: it does not begin with SCLRCLP1; expected a file NAME%s" % (name, SUFFIX))
    if len(content) < _HEADER_BYTES + _BOX_BYTES:
        raise ClipError("clip %s is cut off after %d bytes; copy it once more" % (name, len(content)))
    return content[len(_MAGIC) : _HEADER_BYTES]


def unseal(content: bytes, key: SecretKey, name: str) -> Clip:
    """Open a clip.  `name` opens the message of an error.

    Raises:
        ClipError: it is no clip, for another key, damaged or cut off.
    """
    fingerprint = fingerprint_of(content, name)
    if fingerprint != key.fingerprint:
        raise ClipError(
            "clip %s is encrypted to key %s, and this is key %s; give the secret key of the former"
            % (name, fingerprint.hex(), key.fingerprint.hex())
        )
    public, exceptions = load_nacl("public"), load_nacl("exceptions")
    try:
        opened = public.SealedBox(public.PrivateKey(key.value)).decrypt(content[_HEADER_BYTES:])
    except exceptions.CryptoError as error:
        raise ClipError("clip %s is damaged or cut off: it does not open; copy it once more" % name) from error
    return _clip_from(opened, name)


def samples_from_flac(clip: Clip, name: str) -> Tuple[np.ndarray, int]:
    """Samples [T], int16, and their rate in Hz.  Raises ClipError: the sound cannot be decoded."""
    soundfile = _load_soundfile()
    try:
        with soundfile.SoundFile(io.BytesIO(clip.flac)) as file:
            if file.format != "FLAC" or file.channels != 1:
                raise ClipError(
                    "clip %s holds %s of %d channels; expected FLAC, mono" % (name, file.format, file.channels)
                )
            if file.frames > _MAX_SAMPLES:
                raise ClipError("clip %s promises %d samples; expected at most %d" % (name, file.frames, _MAX_SAMPLES))
            return file.read(dtype="int16"), int(file.samplerate)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ClipError("clip %s: its sound cannot be decoded (%s)" % (name, reason)) from error


def _clip_from(opened: bytes, name: str) -> Clip:
    """Anybody may have sealed it: nothing in it is believed before it is looked at."""
    complaint = "clip %s was not written by this program: %s; use the version that wrote it"
    length = _LENGTH.unpack_from(opened)[0] if len(opened) >= _LENGTH.size else _MAX_JSON_BYTES + 1
    if length > min(_MAX_JSON_BYTES, len(opened) - _LENGTH.size):
        raise ClipError(complaint % (name, "its description is cut off"))
    end = _LENGTH.size + length
    try:
        about: Any = json.loads(opened[_LENGTH.size : end].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ClipError(complaint % (name, "its description is no JSON")) from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ClipError(complaint % (name, "its description is not of schema %d" % SCHEMA))
    return Clip(about, opened[end:])


def _encoded(samples: np.ndarray, sample_rate_hz: int, form: str) -> bytes:
    soundfile, file = _load_soundfile(), io.BytesIO()
    try:
        soundfile.write(file, samples, sample_rate_hz, format=form, subtype="PCM_16")
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ClipError(
            "%d samples at %d Hz cannot be %s: %s" % (len(samples), sample_rate_hz, form, reason)
        ) from error
    return file.getvalue()


def _load_soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, libsndfile is not
        raise ClipError(
            "clips need soundfile and libsndfile (%s); install them: pip install soundfile" % error
        ) from error
    return soundfile
