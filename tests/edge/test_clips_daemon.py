"""Clips in a whole node: a recording in, a broker and a state directory out, and speech that nobody keeps."""

import json
import os
import threading
import time

import numpy as np
import pytest
import soundfile

from edge.check import run_checks
from edge.cli import main
from edge.clips.keys import make_key_files, read_secret_key
from edge.clips.sealed import samples_from_flac, unseal
from edge.clips.shelf import stored_clips
from edge.config import (
    ClipsConfig,
    Config,
    EventsConfig,
    ModelConfig,
    MqttConfig,
    NodeConfig,
    PublishConfig,
    SourceConfig,
)
from edge.config_file import config_from_mapping
from edge.daemon import Daemon
from edge.errors import ConfigError, EdgeError
from edge.reload import Reload, is_new_node
from engines.bundle import load_bundle
from tests.edge.socket_broker import SocketBroker, wait_until
from tests.edge.test_clips_speech import spoken
from tests.engines.bundles import write_tiny_bundle

RATE_HZ = 16000
HANG_S = 120.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def street(path, voice_at_s=None, voice_rms=0.0):
    """A quiet bed, a low tone from 3.0 s to 5.0 s, and quiet again for 3 s; perhaps somebody speaks."""
    samples = (2e-3 * np.random.RandomState(1).randn(8 * RATE_HZ)).astype(np.float32)
    samples[3 * RATE_HZ : 5 * RATE_HZ] += 0.2 * np.sin(2 * np.pi * 440.0 * np.arange(2 * RATE_HZ) / RATE_HZ)
    if voice_at_s is not None:
        voice = voice_rms / np.sqrt(np.mean(spoken() ** 2)) * spoken()
        at = int(voice_at_s * RATE_HZ)
        samples[at : at + len(voice)] += voice
    soundfile.write(str(path), samples, RATE_HZ, subtype="PCM_16")
    return path


def config_of(bundle, tmp_path, port=1, **clips):
    return Config(
        NodeConfig("corner"),
        (SourceConfig("tape", "file", path=str(tmp_path / "street.wav"), realtime=False),),
        MqttConfig(port=port),
        ModelConfig(bundle=str(bundle.path), hop_s=0.25),
        events=EventsConfig(confirm_s=0.5, off_ratio=0.9, merge_gap_s=0.5),
        publish=PublishConfig(health_interval_s=0.2),
        clips=ClipsConfig(**clips),
    )


def run_node(bundle, tmp_path, **clips):
    """Hear the street once.  Returns what was published, by the last level of its topic."""
    with SocketBroker() as broker:
        config = config_of(bundle, tmp_path, broker.port, **clips)
        daemon = Daemon(config, bundle, "test", threading.Event(), state_directory=tmp_path / "state")
        thread = threading.Thread(target=daemon.run)
        thread.start()
        thread.join(HANG_S)
        assert not thread.is_alive()
        assert wait_until(
            lambda: ("soundclr/corner/status", b"offline") in [(m.topic, m.payload) for m in list(broker.published)]
        )
        told = {}
        for message in broker.published:
            if message.payload[:1] == b"{":
                told.setdefault(message.topic.split("/")[-1], []).append(json.loads(message.payload.decode()))
        return told


def test_a_reload_takes_the_key_that_the_same_file_holds_now(bundle, tmp_path):
    public_path, _ = make_key_files(tmp_path / "office")
    other_path, other_secret_path = make_key_files(tmp_path / "other")
    street(tmp_path / "street.wav")
    stop, wanted = threading.Event(), threading.Event()
    with SocketBroker() as broker:
        clips = dict(enabled=True, public_key_file=str(public_path), labels=("low",), max_per_hour=3600)
        config = config_of(bundle, tmp_path, broker.port, **clips)
        config = config._replace(source=(config.source[0]._replace(loop=True),))
        daemon = Daemon(config, bundle, "test", stop, state_directory=tmp_path / "state")
        daemon.offer_reload(wanted, lambda: config)
        thread = threading.Thread(target=daemon.run)
        thread.start()

        def keys_told():
            told = [json.loads(one.payload.decode()) for one in list(broker.published) if one.topic.endswith("/clip")]
            return [one["key"] for one in told if one["clip"] is not None]

        try:
            assert wait_until(keys_told, HANG_S)
            os.replace(str(other_path), str(public_path))
            wanted.set()
            expected = read_secret_key(other_secret_path).fingerprint.hex()
            assert wait_until(lambda: keys_told()[-1] == expected, HANG_S)
        finally:
            stop.set()
            thread.join(HANG_S)
        assert not thread.is_alive()
        (newest,) = stored_clips(tmp_path / "state" / "clips")[-1:]
        unseal(newest.path.read_bytes(), read_secret_key(other_secret_path), "newest")


def test_a_clip_of_what_was_asked_for_is_on_the_node_and_opens_elsewhere(bundle, tmp_path):
    public_path, secret_path = make_key_files(tmp_path / "office")
    street(tmp_path / "street.wav")
    told = run_node(
        bundle,
        tmp_path,
        enabled=True,
        public_key_file=str(public_path),
        labels=("low",),
        pre_roll_s=1.0,
        max_clip_s=1.5,
    )
    (end,) = [one for one in told["event"] if one["phase"] == "end" and one["label"] == "low"]
    (clip,) = told["clip"]
    assert clip["withheld"] is None and clip["event_id"] == end["event_id"] == clip["clip"]
    (stored,) = stored_clips(tmp_path / "state" / "clips")
    opened = unseal(stored.path.read_bytes(), read_secret_key(secret_path), "a")
    samples, rate_hz = samples_from_flac(opened, "a")
    whole, _ = soundfile.read(str(tmp_path / "street.wav"), dtype="int16")
    assert rate_hz == RATE_HZ and len(samples) == pytest.approx(2.5 * RATE_HZ, abs=1)
    at = next(i for i in range(len(whole) - len(samples)) if np.array_equal(whole[i : i + 50], samples[:50]))
    assert np.array_equal(whole[at : at + len(samples)], samples)
    assert at / float(RATE_HZ) == pytest.approx(3.0 - 1.0, abs=0.6)  # the event's start is known so well
    assert stored.path.stat().st_mode & 0o777 == 0o600 and stored.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "voice_at_s, voice_rms", [(1.5, 0.004), (3.2, 0.07)], ids=["softly in the pre-roll", "6 dB below the tone"]
)
def test_a_clip_with_speech_is_not_written_and_the_event_is_told_all_the_same(bundle, tmp_path, voice_at_s, voice_rms):
    public_path, _ = make_key_files(tmp_path / "office")
    street(tmp_path / "street.wav", voice_at_s, voice_rms)
    told = run_node(bundle, tmp_path, enabled=True, public_key_file=str(public_path), labels=("low",), pre_roll_s=2.0)
    assert [one["phase"] for one in told["event"] if one["label"] == "low"] == ["start", "end"]
    (clip,) = told["clip"]
    assert (clip["clip"], clip["withheld"]) == (None, "speech")
    assert stored_clips(tmp_path / "state" / "clips") == []


def test_without_clips_nothing_is_written_and_health_says_off(bundle, tmp_path):
    street(tmp_path / "street.wav")
    told = run_node(bundle, tmp_path)
    assert "clip" not in told and not (tmp_path / "state" / "clips").exists()
    health = told["health"][-1]
    assert health["clips_state"] == "off" and health["clips_kept"] is None


def test_clips_that_are_left_when_they_are_turned_off_go_at_their_age(bundle, tmp_path):
    street(tmp_path / "street.wav")
    folder = tmp_path / "state" / "clips"
    folder.mkdir(parents=True)
    for name, age_s in (("old", 8 * 86400.0), ("young", 6 * 86400.0)):
        (folder / (name + ".clip")).write_bytes(b"x" * 100)
        os.utime(str(folder / (name + ".clip")), (time.time() - age_s, time.time() - age_s))
    told = run_node(bundle, tmp_path)
    assert [clip.name for clip in stored_clips(folder)] == ["young"] and "clip" not in told
    health = told["health"][-1]
    assert (health["clips_state"], health["clips_kept"], health["clips_freed"]) == ("off", 1, 1)


def wrong_settings(tmp_path):
    public_path, secret_path = make_key_files(tmp_path / "office")
    right = dict(enabled=True, public_key_file=str(public_path), labels=("low",))
    return {
        "the secret key": dict(right, public_key_file=str(secret_path)),
        "no such file": dict(right, public_key_file=str(tmp_path / "absent")),
        "no key": dict(right, public_key_file=str(tmp_path)),
        "no such label": dict(right, labels=("low", "lion")),
    }


@pytest.mark.parametrize("case", ["the secret key", "no such file", "no key", "no such label"])
def test_what_cannot_be_right_is_refused_at_the_start_by_check_and_by_a_reload(bundle, tmp_path, case):
    street(tmp_path / "street.wav")
    config = config_of(bundle, tmp_path, **wrong_settings(tmp_path)[case])
    with pytest.raises(ConfigError, match=r"\[clips\]"):
        Daemon(config, bundle, "test", threading.Event(), state_directory=tmp_path / "state")
    reload = Reload(lambda: config, config_of(bundle, tmp_path), bundle)
    assert wait_until(lambda: reload.is_over) and reload.config is None and "[clips]" in reload.complaint
    path = tmp_path / "node.toml"
    path.write_text(toml_of(config))
    (result,) = [one for one in run_checks(path) if one.name == "clips"]
    assert not result.ok and "[clips]" in result.detail
    assert main(["run", "--config", str(path), "--state-dir", str(tmp_path / "state")]) == 2


def toml_of(config):
    clips = config.clips
    return '[node]\nname = "corner"\n[model]\nbundle = %s\n[[source]]\nname = "tape"\ntype = "file"\npath = %s\n' % (
        json.dumps(config.model.bundle),
        json.dumps(config.source[0].path),
    ) + "[clips]\nenabled = true\npublic_key_file = %s\nlabels = %s\n" % (
        json.dumps(clips.public_key_file),
        json.dumps(list(clips.labels)),
    )


def test_check_says_what_is_kept_and_to_which_key(bundle, tmp_path):
    public_path, secret_path = make_key_files(tmp_path / "office")
    street(tmp_path / "street.wav")
    path = tmp_path / "node.toml"
    path.write_text(toml_of(config_of(bundle, tmp_path, public_key_file=str(public_path), labels=("low",))))
    (result,) = [one for one in run_checks(path) if one.name == "clips"]
    assert result.ok and read_secret_key(secret_path).fingerprint.hex() in result.detail


def test_clips_without_a_state_directory_are_refused(bundle, tmp_path):
    public_path, _ = make_key_files(tmp_path / "office")
    config = config_of(bundle, tmp_path, enabled=True, public_key_file=str(public_path), labels=("low",))
    with pytest.raises(ConfigError, match="state directory"):
        Daemon(config, bundle, "test", threading.Event())


def test_turning_clips_on_or_off_is_a_new_node(bundle, tmp_path):
    old, new = config_of(bundle, tmp_path), config_of(bundle, tmp_path, enabled=True)
    assert is_new_node(old, new, is_same_model=True) and not is_new_node(old, old, is_same_model=True)


@pytest.mark.parametrize(
    "clips, complaint",
    [
        ({"enabled": True}, "encrypted or not at all"),
        ({"enabled": True, "public_key_file": "/x"}, "without labels"),
        ({"labels": ["siren", "children_playing"]}, "children_playing"),
        ({"labels": ["street_music"]}, "made of people's voices"),
        ({"labels": "siren"}, "a list of strings"),
        ({"labels": ["siren", 3]}, "a string in quotes"),
        ({"labels": [["siren"]]}, "a string in quotes"),
        ({"pre_roll_s": 31}, "0 to 30"),
        ({"max_clip_s": 0.5}, "1 to 60"),
        ({"quota_bytes": 10}, "at least 1000000"),
        ({"max_age_days": 0}, "above 0"),
        ({"max_per_hour": 0}, "1 to 3600"),
        ({"plain": True}, "unknown key"),
    ],
)
def test_a_configuration_that_promises_too_little_or_too_much_is_refused(clips, complaint):
    tables = {"node": {"name": "corner"}, "source": [{"name": "mic", "type": "microphone"}], "clips": clips}
    with pytest.raises(EdgeError, match=r"\[clips\]") as caught:
        config_from_mapping(tables)
    assert complaint in str(caught.value)
