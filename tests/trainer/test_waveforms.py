"""Clips in memory: what is decoded, what is cut off, what is refused."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.datasets import UNKNOWN_LABEL, read_dataset
from trainer.data.waveforms import read_waveform, read_waveforms
from trainer.errors import TrainerError


def test_appended_digital_silence_is_taken_off(fixtures):
    padded, rate = soundfile.read(str(fixtures / "dog-182395.ogg"))
    assert len(padded) == 5 * rate
    samples = read_waveform(fixtures / "dog-182395.ogg", rate)
    assert len(samples) == 70208
    assert samples[-1] != 0.0
    np.testing.assert_allclose(samples, padded[: len(samples)], atol=1e-6)


@given(
    sounding=st.integers(1000, 4000), before=st.integers(0, 500), inside=st.integers(0, 500), after=st.integers(0, 5000)
)
@settings(max_examples=25, deadline=None)
def test_only_the_tail_of_zeros_goes(tmp_path_factory, sounding, before, inside, after):
    path = tmp_path_factory.mktemp("zeros") / "clip.wav"
    half = np.full(sounding // 2, 0.25)
    kept = np.concatenate([np.zeros(before), half, np.zeros(inside), half])
    soundfile.write(str(path), np.concatenate([kept, np.zeros(after)]), 8000, subtype="PCM_16")
    np.testing.assert_array_equal(read_waveform(path, 8000), kept.astype(np.float32))


def test_channels_are_averaged_and_the_rate_is_changed(tmp_path):
    at_s = np.arange(44100) / 44100
    stereo = np.stack([np.sin(2 * np.pi * 500 * at_s), np.zeros_like(at_s)], axis=1) * 0.8
    soundfile.write(str(tmp_path / "stereo.wav"), stereo, 44100)
    mono = read_waveform(tmp_path / "stereo.wav", 22050)
    assert mono.ndim == 1
    assert mono.dtype == np.float32
    assert len(mono) == pytest.approx(22050, abs=2)
    middle = slice(2000, 20000)
    np.testing.assert_allclose(
        mono[middle], 0.4 * np.sin(2 * np.pi * 500 * np.arange(len(mono)) / 22050)[middle], atol=2e-3
    )


def test_unreadable_files_are_refused_by_name(tmp_path):
    picture = tmp_path / "picture.wav"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty.wav").touch()
    for path in (picture, tmp_path / "empty.wav", tmp_path / "missing.wav", tmp_path):
        with pytest.raises(TrainerError, match="cannot be read as sound") as raised:
            read_waveform(path, 22050)
        assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros(8000), np.full(100, 0.5), np.full(8000, np.nan), np.r_[np.full(4000, 0.5), np.inf]],
    ids=["no sample", "all zeros", "too short", "NaN", "infinity"],
)
def test_sound_that_cannot_be_trained_on_is_refused(tmp_path, samples):
    soundfile.write(str(tmp_path / "clip.wav"), samples, 8000, subtype="FLOAT")
    with pytest.raises(TrainerError, match=r"clip\.wav"):
        read_waveform(tmp_path / "clip.wav", 8000)


def test_labels_follow_the_models_order_and_strangers_are_unknown(urbansound8k):
    clips = read_dataset(urbansound8k).clips
    waveforms = read_waveforms(clips, ["siren", "dog_bark"], 22050)
    expected = {"siren": 0, "dog_bark": 1, "car_horn": UNKNOWN_LABEL}
    assert [expected[clip.category] for clip in clips] == waveforms.labels.tolist()
    assert [clip.fold for clip in clips] == waveforms.folds.tolist()
    for clip, samples in zip(clips, waveforms.samples, strict=True):
        np.testing.assert_array_equal(samples, read_waveform(clip.path, 22050))


def test_a_selection_keeps_its_fields_together(urbansound8k):
    waveforms = read_waveforms(read_dataset(urbansound8k).clips, ["siren"], 22050)
    chosen = waveforms.select(waveforms.folds == 2)
    assert len(chosen) == 3
    assert set(chosen.folds) == {2}
    assert {clip.source_id for clip in chosen.clips} == {"111671", "175846", "192236"}
    assert chosen.labels.tolist() == [0 if clip.category == "siren" else UNKNOWN_LABEL for clip in chosen.clips]
