"""What a person does with clips: see which there are, open them elsewhere, delete them."""

from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from edge.clips.keys import SecretKey, write_new
from edge.clips.sealed import SUFFIX, fingerprint_of, read_sealed, samples_from_flac, unseal, wav_from_samples
from edge.clips.shelf import FOLDER, StoredClip, stored_clips
from edge.errors import ClipError
from edge.records import JsonObject
from edge.rfc3339 import rfc3339_from_epoch

_BEGINNING_BYTES = 4096


class ListedClip(NamedTuple):
    """One line of the list."""

    name: str
    written: str  # UTC
    bytes: int
    key: str  # fingerprint; empty where the file is none of ours


class OpenedClip(NamedTuple):
    """A clip that can be listened to."""

    path: Path
    about: JsonObject

    @property
    def description(self) -> str:
        """One line for people."""
        values = [self.about.get(name) for name in ("label", "start", "node", "source")]
        return "%.32s at %.32s, heard by %.32s/%.32s" % tuple(_printable(value) for value in values)


def list_clips(state_directory: Path) -> List[ListedClip]:
    """The clips of a node, the oldest first.  Raises ClipError: they cannot be read."""
    listed = []
    for clip in _stored(state_directory):
        try:
            with open(str(clip.path), "rb") as file:
                key = fingerprint_of(file.read(_BEGINNING_BYTES), clip.name).hex()
        except FileNotFoundError:
            continue  # the node has freed it meanwhile
        except OSError as error:
            raise ClipError("clip %s cannot be read: %s; run this as root" % (clip.path, error.strerror)) from error
        except ClipError:
            key = ""
        listed.append(ListedClip(clip.name, rfc3339_from_epoch(clip.written_s), clip.bytes, key))
    return listed


def open_clip(path: Path, key: SecretKey, folder: Path, form: str) -> OpenedClip:
    """Decrypt a clip into a file of its name in `folder`, for its owner alone.

    Args:
        form: "flac" or "wav".

    Raises:
        ClipError: it cannot be opened, or the file is there already, or cannot be written.
    """
    clip = unseal(read_sealed(path), key, str(path))
    samples, sample_rate_hz = samples_from_flac(clip, str(path))  # also where FLAC is wanted: it shall be sound
    content = clip.flac if form == "flac" else wav_from_samples(samples, sample_rate_hz)
    stem = path.name[: -len(SUFFIX)] if path.name.endswith(SUFFIX) else path.name
    target = folder / ("%s.%s" % (stem, form))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_new(target, content, 0o600)
    except OSError as error:
        raise ClipError(
            "%s cannot be written: %s; move it away, or give another folder with --output" % (target, error.strerror)
        ) from error
    return OpenedClip(target, dict(clip.about, sample_rate_hz=sample_rate_hz, samples=len(samples)))


def delete_clips(state_directory: Path, names: Optional[Sequence[str]]) -> List[str]:
    """Delete clips by name, all of them where None.  Returns the names that are not there.  Raises ClipError."""
    found = {clip.name: clip for clip in _stored(state_directory)}
    wanted = list(found) if names is None else list(names)
    for name in wanted:
        if name in found:
            try:
                found[name].path.unlink()
            except FileNotFoundError:
                continue  # the node has freed it meanwhile
            except OSError as error:
                raise ClipError(
                    "clip %s cannot be deleted: %s; run this as the service's user or as root"
                    % (found[name].path, error.strerror)
                ) from error
    return [name for name in wanted if name not in found]


def _stored(state_directory: Path) -> List[StoredClip]:
    try:
        return stored_clips(state_directory / FOLDER)
    except OSError as error:
        raise ClipError(
            "clips in %s cannot be read: %s; run this as the service's user or as root, or give the node's state "
            "directory with --state-dir" % (state_directory / FOLDER, error.strerror)
        ) from error


def _printable(value: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in value) if isinstance(value, str) else "-"
