"""The speech detector on real street sound, with a synthetic voice in it and without."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import edge.clips.speech
from edge.clips.speech import SPEECH_THRESHOLD, SpeechDetector
from edge.errors import EdgeError

RATE_HZ = 16000
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def spoken():
    """A second of a synthetic voice."""
    samples, _ = soundfile.read(str(Path(edge.clips.__file__).parent / "spoken.flac"), dtype="float32")
    return samples


@pytest.fixture(scope="module")
def detector():
    return SpeechDetector()


def test_it_proves_itself(detector):
    detector.run_selftest()


def load(name):
    samples, rate_hz = soundfile.read(str(FIXTURES / name), dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate_hz


@pytest.mark.parametrize("snr_db", [0, -6])
@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.ogg")))
def test_speech_is_found_in_every_street_sound(detector, name, snr_db):
    sound, rate_hz = load(name)
    voice = soxr.resample(spoken(), RATE_HZ, rate_hz)[: len(sound)]
    gain = np.sqrt(np.mean(sound[: len(voice)] ** 2) / np.mean(voice**2)) * 10.0 ** (snr_db / 20.0)
    sound[: len(voice)] += gain * voice
    assert detector.score(sound.astype(np.float32), rate_hz) >= SPEECH_THRESHOLD


@pytest.mark.parametrize("name", ["siren-67358.ogg", "siren-111671.ogg", "siren-90014.ogg", "engine-186935.ogg"])
def test_sirens_and_engines_are_not_taken_for_speech(detector, name):
    assert detector.score(*load(name)) < SPEECH_THRESHOLD


@pytest.mark.parametrize("gain_db", [-40, 0, 20])
def test_it_does_not_matter_how_loud_the_microphone_is(detector, gain_db):
    sound, rate_hz = load("engine-186935.ogg")
    voice = soxr.resample(spoken(), RATE_HZ, rate_hz)[: len(sound)]
    sound[: len(voice)] += voice * np.sqrt(np.mean(sound**2) / np.mean(voice**2))
    sound *= 0.05 / np.sqrt(np.mean(sound**2)) * 10.0 ** (gain_db / 20.0)
    assert detector.score(np.clip(sound, -1, 1).astype(np.float32), rate_hz) >= SPEECH_THRESHOLD


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 5000])
def test_silence_of_any_length_is_no_speech(detector, samples):
    assert detector.score(np.zeros(samples, np.float32), RATE_HZ) < SPEECH_THRESHOLD


def test_sound_that_is_no_numbers_cannot_be_judged(detector):
    with pytest.raises(EdgeError):
        detector.score(np.array([0.0, np.nan] * 1000, np.float32), RATE_HZ)


def test_a_network_that_was_exchanged_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "silero.onnx"
    content = bytearray(Path(edge.clips.speech._MODEL).read_bytes())
    content[100000] ^= 1
    changed.write_bytes(bytes(content))
    monkeypatch.setattr("edge.clips.speech._MODEL", changed)
    with pytest.raises(EdgeError, match="not the one that was measured"):
        SpeechDetector()


def test_a_detector_that_answers_wrongly_fails_its_self_test(detector, monkeypatch):
    class Deaf:
        def run(self, _, inputs):
            return np.zeros((len(inputs["input"]), 1), np.float32), inputs["state"]

    deaf = SpeechDetector()
    monkeypatch.setattr(deaf, "_session", Deaf())
    with pytest.raises(EdgeError, match="does not work here"):
        deaf.run_selftest()

    class Mad(Deaf):
        def run(self, _, inputs):
            return np.full((len(inputs["input"]), 1), np.nan, np.float32), inputs["state"]

    monkeypatch.setattr(deaf, "_session", Mad())
    with pytest.raises(EdgeError, match="no probability"):
        deaf.score(np.zeros(1000, np.float32), RATE_HZ)
