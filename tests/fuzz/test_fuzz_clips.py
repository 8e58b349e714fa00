"""Clips and keys that are not as they were written: one clear line, and no sound that was not sealed.

Whoever has a node's public key can seal anything, so what is inside an intact box is no more to be believed than the
box.
"""

import struct
from pathlib import Path

import nacl.public
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clips.archive import list_clips, open_clip
from edge.clips.keys import PublicKey, make_key_files, read_public_key, read_secret_key
from edge.clips.sealed import Clip, flac_from_samples, seal
from edge.errors import ClipError
from tests.fuzz.inputs import fuzzed, one_input
from tests.fuzz.mutations import damaged_bytes, damaged_json

ABOUT = {
    "schema": 1,
    "event_id": "abc-mic-1-1",
    "label": "siren",
    "start": "2026-10-01T12:14:56.000Z",
    "node": "corner",
}
FLAC = flac_from_samples(np.sin(np.arange(4000) * 0.1).astype(np.float32) * 0.1, 16000)
SECRET = nacl.public.PrivateKey(b"\x07" * 32)
PUBLIC = PublicKey(SECRET.public_key.encode())
EXAMPLE = seal(Clip(ABOUT, FLAC), PUBLIC)
LENGTHS = st.sampled_from([0, 1, 4, 65535, 65536, 65537, 1 << 31, (1 << 32) - 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    (folder / "state" / "clips").mkdir(parents=True)
    (folder / "test.key").write_text(
        "soundclr-clips-secret-key-1 %s %s\n" % (SECRET.encode().hex(), PUBLIC.fingerprint.hex())
    )
    return folder


def open_content(folder, content):
    """As the command does it.  Returns whether there is sound now."""
    path = folder / "state" / "clips" / "clip.clip"
    path.write_bytes(content)
    (listed,) = list_clips(folder / "state")
    assert listed.bytes == len(content) and len(listed.key) in (0, 16)
    sound = folder / "sound"
    key = read_secret_key(folder / "test.key")
    for form in ("flac", "wav"):
        target = sound / ("clip." + form)
        if target.exists():
            target.unlink()
        opened = open_clip(path, key, sound, form)
        assert opened.path == target and target.stat().st_size > 0
        opened.description.encode("utf-8")
        assert len(opened.description.splitlines()) == 1


@fuzzed(share=2, examples=200)
@given(content=st.one_of(damaged_bytes([EXAMPLE]), st.binary(max_size=200)))
def test_damaged_files(folder, content):
    with one_input("clips, damaged file", ClipError):
        open_content(folder, content)
        assert content[8:] == EXAMPLE[8:], "what was damaged has been opened"


def sealed_box(content):
    return EXAMPLE[:16] + nacl.public.SealedBox(SECRET.public_key).encrypt(content)


@fuzzed(share=3, examples=200)
@given(
    about=damaged_json([ABOUT]),
    flac=st.one_of(st.just(FLAC), damaged_bytes([FLAC]), st.binary(max_size=50)),
    length=st.one_of(st.none(), LENGTHS),
)
def test_intact_boxes_with_anything_in_them(folder, about, flac, length):
    with one_input("clips, anything sealed", ClipError):
        open_content(folder, sealed_box(struct.pack("<I", len(about) if length is None else length) + about + flac))


@fuzzed(share=1, examples=200)
@given(data=st.data())
def test_damaged_keys(tmp_path_factory, data):
    stem = tmp_path_factory.getbasetemp() / "pair"
    if not Path(str(stem) + ".pub").exists():
        make_key_files(stem)
    for kind, read in ((".pub", read_public_key), (".key", read_secret_key)):
        content = Path(str(stem) + kind).read_bytes()
        damaged = Path(str(stem) + ".damaged")
        damaged.write_bytes(data.draw(damaged_bytes([content])))
        with one_input("keys of clips", ClipError):
            read(damaged)
            assert damaged.read_bytes().strip() == content.strip(), "a damaged key is taken"
