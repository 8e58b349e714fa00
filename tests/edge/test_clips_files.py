"""Keys and files of clips: what opens, what is refused, and what is said of it."""

import errno
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import nacl.public
import numpy as np
import pytest
import soundfile

from edge.cli import main
from edge.clips import keys as keys_module
from edge.clips.archive import delete_clips, list_clips
from edge.clips.keys import make_key_files, read_public_key, read_secret_key
from edge.clips.sealed import Clip, flac_from_samples, samples_from_flac, seal, unseal
from edge.clips.shelf import stored_clips
from edge.errors import ClipError

ROOT = Path(__file__).resolve().parent.parent.parent
RATE_HZ = 16000
ABOUT = {"schema": 1, "event_id": "abc-mic-1-1", "label": "siren", "node": "corner", "source": "mic"}
SAMPLES = (0.2 * np.sin(np.arange(RATE_HZ) * 0.1)).astype(np.float32)


@pytest.fixture(name="keys")
def _keys(tmp_path):
    return make_key_files(tmp_path / "clips")


def sealed_clip(public_path):
    return seal(Clip(ABOUT, flac_from_samples(SAMPLES, RATE_HZ)), read_public_key(public_path))


def test_what_is_sealed_opens_with_the_secret_key_and_is_the_same_sound(keys):
    public_path, secret_path = keys
    clip = unseal(sealed_clip(public_path), read_secret_key(secret_path), "a")
    samples, rate_hz = samples_from_flac(clip, "a")
    assert clip.about == ABOUT and rate_hz == RATE_HZ
    assert np.array_equal(samples, np.rint(SAMPLES * 32768).astype(np.int16))


def test_sound_at_and_over_full_scale_is_clipped_and_not_wrapped():
    clip = Clip(ABOUT, flac_from_samples(np.array([1.0, -1.0, 2.0, -2.0, 0.0] * 100, np.float32), RATE_HZ))
    assert samples_from_flac(clip, "a")[0][:5].tolist() == [32767, -32768, 32767, -32768, 0]


def test_any_binding_of_libsodium_opens_it_by_the_documented_format(keys):
    public_path, secret_path = keys
    content = sealed_clip(public_path)
    assert content[:8] == b"SCLRCLP1"
    secret = bytes.fromhex(secret_path.read_text().split()[1])
    opened = nacl.public.SealedBox(nacl.public.PrivateKey(secret)).decrypt(content[16:])
    (length,) = struct.unpack_from("<I", opened)
    assert json.loads(opened[4 : 4 + length].decode()) == ABOUT
    samples, rate_hz = soundfile.read(io.BytesIO(opened[4 + length :]), dtype="int16")
    assert (len(samples), rate_hz) == (len(SAMPLES), RATE_HZ)


def test_two_files_of_one_clip_have_nothing_in_common_but_the_header(keys):
    one, other = sealed_clip(keys[0]), sealed_clip(keys[0])
    assert one[:16] == other[:16] and one[16:48] != other[16:48] and one[48:112] != other[48:112]


def test_every_cut_and_every_flipped_bit_is_noticed(keys):
    key = read_secret_key(keys[1])
    content = seal(Clip(ABOUT, flac_from_samples(SAMPLES[:200], RATE_HZ)), read_public_key(keys[0]))
    for end in range(len(content)):
        with pytest.raises(ClipError):
            unseal(content[:end], key, "a")
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        with pytest.raises(ClipError):
            unseal(bytes(damaged), key, "a")
    with pytest.raises(ClipError):
        unseal(content + b"\0", key, "a")


def test_another_key_is_named(keys, tmp_path):
    other_public, other_secret = make_key_files(tmp_path / "other")
    with pytest.raises(ClipError) as caught:
        unseal(sealed_clip(keys[0]), read_secret_key(other_secret), "a.clip")
    assert read_public_key(keys[0]).fingerprint.hex() in str(caught.value)
    assert read_public_key(other_public).fingerprint.hex() in str(caught.value)


def test_key_files_are_new_and_the_secret_one_is_its_owners_alone(keys, tmp_path):
    assert keys[1].stat().st_mode & 0o777 == 0o600
    before = keys[1].read_text()
    with pytest.raises(ClipError, match="there already"):
        make_key_files(tmp_path / "clips")
    keys[0].unlink()
    with pytest.raises(ClipError, match="cannot be made"):
        make_key_files(tmp_path / "clips")
    assert keys[1].read_text() == before


def test_a_secret_key_does_not_show_itself(keys):
    key = read_secret_key(keys[1])
    assert key.value.hex() not in repr(key) + str(key) and repr(key.value) not in repr(key)


def test_the_two_keys_are_not_taken_for_each_other(keys):
    with pytest.raises(ClipError, match="must not be on the node"):
        read_public_key(keys[1])
    with pytest.raises(ClipError, match="opens nothing"):
        read_secret_key(keys[0])


LOW_ORDER = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"  # a point by which nothing is secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519 AAAA",
        "soundclr-clips-public-key-1 " + "0" * 64,
        "soundclr-clips-public-key-2 %s %s" % ("0" * 64, "0" * 16),
        "soundclr-clips-public-key-1 %s %s" % ("1" * 64, "2" * 16),
        "soundclr-clips-public-key-1 %s 2fb3ccb8a2ddb3fe" % LOW_ORDER,
        "\0\0\0",
        "ü",
    ],
)
def test_a_file_that_holds_no_public_key_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClipError) as caught:
        read_public_key(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_point_by_which_nothing_is_secret_is_refused(tmp_path):
    import hashlib

    fingerprint = hashlib.blake2b(bytes.fromhex(LOW_ORDER), digest_size=8).hexdigest()
    (tmp_path / "key").write_text("soundclr-clips-public-key-1 %s %s\n" % (LOW_ORDER, fingerprint))
    with pytest.raises(ClipError, match="none that anything could be encrypted to"):
        read_public_key(tmp_path / "key")


def test_a_slip_in_a_copied_secret_key_is_found(keys, tmp_path):
    words = keys[1].read_text().split()
    slipped = words[1][:10] + ("0" if words[1][10] != "0" else "8") + words[1][11:]
    (tmp_path / "slipped.key").write_text(" ".join([words[0], slipped, words[2]]))
    with pytest.raises(ClipError, match="do not belong together") as caught:
        read_secret_key(tmp_path / "slipped.key")
    assert slipped not in str(caught.value)


@pytest.mark.parametrize("path", ["absent", ".", "x\0y"])
def test_a_key_file_that_cannot_be_read_is_named(tmp_path, path):
    with pytest.raises(ClipError, match="cannot be read"):
        read_public_key(tmp_path / path)


def test_without_pynacl_it_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['nacl'] = None\n"
        "from pathlib import Path; from edge.cli import main; sys.exit(main(['clips', 'keygen', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        cwd=str(Path(__file__).resolve().parent.parent.parent),
        timeout=120,
    )
    assert done.returncode == 2 and "pip install pynacl" in done.stdout and "Traceback" not in done.stdout


# The command line, as its owner uses it.


@pytest.fixture(name="node")
def _node(tmp_path, keys):
    """A state directory with three clips, and a file that is none."""
    folder = tmp_path / "state" / "clips"
    folder.mkdir(parents=True)
    for number in range(3):
        path = folder / ("abc-mic-1-%d.clip" % number)
        path.write_bytes(sealed_clip(keys[0]))
        os.utime(str(path), (1000000000 + number, 1000000000 + number))
    (folder / "notes.txt").write_text("not a clip")
    return tmp_path / "state"


def test_keys_are_made_and_clips_listed_opened_and_deleted(node, keys, tmp_path, capsys):
    assert main(["clips", "keygen", str(tmp_path / "office")]) == 0
    assert (tmp_path / "office.pub").exists() and (tmp_path / "office.key").exists()
    capsys.readouterr()
    assert main(["clips", "list", "--state-dir", str(node), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["name"] for one in listed] == ["abc-mic-1-0", "abc-mic-1-1", "abc-mic-1-2"]
    assert listed[0]["written"].startswith("2001-09-09T01:46:40")
    assert {one["key"] for one in listed} == {read_public_key(keys[0]).fingerprint.hex()}

    sound = tmp_path / "sound"
    clips = sorted(str(path) for path in (node / "clips").glob("*.clip"))
    assert main(["clips", "decrypt", "--key", str(keys[1]), "--output", str(sound), "--json"] + clips) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0]["label"] == "siren" and told[0]["sample_rate_hz"] == RATE_HZ
    for line in told:
        samples, _ = soundfile.read(line["file"], dtype="int16")
        assert np.array_equal(samples, np.rint(SAMPLES * 32768).astype(np.int16))
        assert os.stat(line["file"]).st_mode & 0o777 == 0o600
    assert main(["clips", "decrypt", "--key", str(keys[1]), "--output", str(sound), "--format", "wav", clips[0]]) == 0
    samples, _ = soundfile.read(str(sound / "abc-mic-1-0.wav"), dtype="int16")
    assert np.array_equal(samples, np.rint(SAMPLES * 32768).astype(np.int16))

    assert main(["clips", "delete", "--state-dir", str(node), "abc-mic-1-1", "no-such"]) == 1
    assert not (node / "clips" / "abc-mic-1-1.clip").exists()
    assert main(["clips", "delete", "--state-dir", str(node), "--all"]) == 0
    assert sorted(os.listdir(str(node / "clips"))) == ["notes.txt"]


def test_one_damaged_clip_does_not_keep_the_others_closed_and_nothing_is_overwritten(node, keys, tmp_path, capsys):
    clips = sorted((node / "clips").glob("*.clip"))
    clips[1].write_bytes(clips[1].read_bytes()[:-1])
    arguments = ["clips", "decrypt", "--key", str(keys[1]), "--output", str(tmp_path / "o")] + [str(c) for c in clips]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2 and "damaged or cut off" in said.err
    before = (tmp_path / "o" / "abc-mic-1-0.flac").read_bytes()
    assert main(arguments) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "o" / "abc-mic-1-0.flac").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["delete", "--state-dir", "STATE"],
        ["delete", "--state-dir", "STATE", "--all", "a"],
        ["decrypt", "--key", "STATE", "x.clip"],
        ["keygen", "STATE/absent/name"],
        ["keygen", "."],
        ["keygen", ".."],
        ["keygen", "/"],
    ],
)
def test_unusable_input_is_one_line_and_status_2(node, arguments, capsys):
    assert main(["clips"] + [word.replace("STATE", str(node)) for word in arguments]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and said.startswith("soundclr-edge: ")


LIMITED = """
import resource, signal, sys
from edge.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)  # a disk that is full after so many bytes
sys.exit(main(["clips"] + sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "limit_bytes, arguments, status",
    [(50, ["keygen", "OUT/office"], 2), (1000, ["decrypt", "--key", "KEY", "--output", "OUT", "CLIP"], 1)],
)
def test_a_full_disk_leaves_no_half_of_a_key_or_of_a_sound(node, keys, tmp_path, limit_bytes, arguments, status):
    (tmp_path / "out").mkdir()
    places = {"OUT": str(tmp_path / "out"), "KEY": str(keys[1]), "CLIP": str(node / "clips" / "abc-mic-1-0.clip")}
    for name, place in places.items():
        arguments = [word.replace(name, place) for word in arguments]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit_bytes)] + arguments,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        cwd=str(ROOT),
        timeout=120,
    )
    assert done.returncode == status and len(done.stderr.splitlines()) == 1, done.stderr
    assert os.listdir(str(tmp_path / "out")) == []


def test_a_public_key_that_cannot_be_written_takes_the_secret_one_along(tmp_path, monkeypatch):
    written = keys_module.write_new

    def write_new(path, content, mode):
        if path.suffix == ".pub":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, content, mode)

    monkeypatch.setattr(keys_module, "write_new", write_new)
    with pytest.raises(ClipError):
        make_key_files(tmp_path / "clips")
    assert os.listdir(str(tmp_path)) == []


def test_clips_that_the_node_frees_meanwhile_are_no_fault(node, monkeypatch):
    listed = stored_clips(node / "clips")
    (node / "clips" / "abc-mic-1-0.clip").unlink()
    monkeypatch.setattr("edge.clips.archive.stored_clips", lambda directory: listed)
    assert [clip.name for clip in list_clips(node)] == ["abc-mic-1-1", "abc-mic-1-2"]
    assert delete_clips(node, None) == [] and stored_clips(node / "clips") == []


def test_a_node_without_clips_lists_none(tmp_path, capsys):
    assert main(["clips", "list", "--state-dir", str(tmp_path)]) == 0
    assert "0 clips" in capsys.readouterr().out
